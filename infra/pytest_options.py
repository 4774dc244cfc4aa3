"""Options of pytest that mean something else here: taken over, refused, or named as idle. Pure.

A campaign is many pytest sessions: what counts failures, writes one report, or starts workers is
the campaign's to do, and what prints or stops at a terminal has nobody to do it for.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from .errors import UsageProblem

# By each spelling: the setting or field of a request that does it here.
_OURS = {
    "-x": "maxfail",
    "--exitfirst": "maxfail",
    "--maxfail": "maxfail",
    "--lf": "last_failed",
    "--last-failed": "last_failed",
    "--ff": "failed_first",
    "--failed-first": "failed_first",
    "--junitxml": "junitxml",
    "--junit-xml": "junitxml",
    "-n": "slots",
    "--numprocesses": "slots",
}
_VALUED = {"--maxfail", "--junitxml", "--junit-xml", "-n", "--numprocesses"}
# These would have pytest do something else than run the suite: by spelling, what does that here.
_PLAIN = "run pytest itself for that"
_ELSEWHERE = {
    "--collect-only": "`proctor run --plan` shows what would run",
    "--collectonly": "`proctor run --plan` shows what would run",
    "--co": "`proctor run --plan` shows what would run",
    "--pdb": "`proctor logs CASE` has its traceback; for a debugger run pytest itself",
    "--trace": "for a debugger run pytest itself",
    "--setup-only": _PLAIN,
    "--setuponly": _PLAIN,
    "--setup-plan": _PLAIN,
    "--setupplan": _PLAIN,
    "--fixtures": _PLAIN,
    "--funcargs": _PLAIN,
    "--fixtures-per-test": _PLAIN,
    "--markers": _PLAIN,
    "--cache-show": _PLAIN,
    "--sw": "see -x and --lf of `proctor run`",
    "--stepwise": "see -x and --lf of `proctor run`",
    "-f": _PLAIN,
    "--looponfail": _PLAIN,
    "-h": "`proctor run --help` tells what there is",
    "--help": "`proctor run --help` tells what there is",
    "-V": "`proctor --version` tells ours",
    "--version": "`proctor --version` tells ours",
}
# These run the same cases and change nothing that anybody gets to see.
_XDISTS = {
    "-d", "--dist", "--tx", "--maxprocesses", "--max-worker-restart", "--maxschedchunk",
    "--loadscope-reorder",
}  # fmt: skip
_IDLE = _XDISTS | {
    "-s", "-q", "--quiet", "--capture", "--durations", "--durations-min", "--setup-show", "--nf",
    "--new-first", "--no-header", "--no-summary", "--pastebin", "--html", "--self-contained-html",
    "--report-log", "--json-report", "--json-report-file", "--cucumberjson",
    "--cucumber-json",
}  # fmt: skip
# These change what is seen, and are often typed without the -- before them.
_PYTESTS = {
    "-v", "--verbose", "--tb", "-l", "--showlocals", "-p", "-o", "-c", "-W", "-r", "--deselect",
    "--ignore", "--ignore-glob", "--rootdir", "--confcutdir", "--strict-markers", "--basetemp",
    "--doctest-modules", "--import-mode", "--cov", "--cov-report", "--pyargs", "--runxfail",
    "--splits", "--group", "--num-shards", "--shard-id", "--test-group-count", "--test-group",
}  # fmt: skip
# Of these the value may be a word of its own, and stand for none of our paths.
_TAKE_A_WORD = {
    "--tb", "-p", "-o", "-c", "-W", "-r", "--deselect", "--ignore", "--ignore-glob", "--rootdir",
    "--confcutdir", "--basetemp", "--import-mode", "--cov-report",
}  # fmt: skip
# Or stands in one word with a short one, as in -rA.
_JOINED = re.compile(r"(-r)[A-Za-z]+|(-W).+|(-p)no:.+|(-o).+=.*")
_INSTEAD = "`proctor show` has the slowest cases, `proctor logs CASE` what a case printed"
_QUIET = "a run names nothing but failures as it is; with --json stdout has one document"
_SPREAD = "a file stays on one slot as long as none would idle; `proctor run -n 8` sets the slots"
# Of --dist: with these the cases of a file can count on those before them.
_WHOLE_FILES = {"loadfile", "loadscope"}
# As workers of pytest-xdist do; there is nobody here who would put them together.
_COVERAGE = (
    "each session leaves a .coverage.* file of its own: `coverage combine && coverage report{}`"
    " puts them together, and --cov-report and --cov-fail-under have no effect here"
)
# Written whole at the end of each session, over what another one wrote.
_OVERWRITTEN = {"--benchmark-json", "--store-durations"}
# Several short ones in a word, as -xvs; -n takes the rest of its word.
_CLUSTER = re.compile(r"-[xsqvl]{2,}")
_FILES = (
    ("pytest.toml", ("pytest",)),
    (".pytest.toml", ("pytest",)),
    ("pytest.ini", ("pytest",)),
    (".pytest.ini", ("pytest",)),
    ("pyproject.toml", ("tool", "pytest")),
    ("tox.ini", ("pytest",)),
    ("setup.cfg", ("tool:pytest",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PytestOptions:
    """What a command line for pytest comes to here."""

    # What pytest gets.
    kept: tuple[str, ...] = ()
    # "maxfail", "slots", "junitxml", "last_failed", "failed_first", where they were given.
    ours: Mapping[str, object] = field(default_factory=dict[str, object])
    # As typed: these change nothing here.
    idle: tuple[str, ...] = ()


def take_over(words: Sequence[str]) -> PytestOptions:
    """Tell ours from pytest's; what would not run the suite at all is refused."""
    kept: list[str] = []
    ours: dict[str, object] = {}
    idle: list[str] = []
    left = iter(_apart(words))
    for word in left:
        name, _, value = word.partition("=")
        if name in _ELSEWHERE:
            raise UsageProblem(f"pytest's {name} cannot be had here", remedy=_ELSEWHERE[name])
        if name in _OURS:
            if name in _VALUED and not value:
                value = next(left, "")
            ours[_OURS[name]] = _meaning(name, value)
            continue
        if name in _IDLE:
            idle.append(word)
        kept.append(word)
    return PytestOptions(kept=tuple(kept), ours=ours, idle=tuple(idle))


def without_effect(words: Sequence[str], addopts: Sequence[str]) -> str:
    """One sentence on what was given to pytest in vain; "" where there is nothing to say.

    What stands in addopts was not typed for Proctor: it is left alone, and named.
    """
    vain = _IDLE - {"--dist"} if wants_whole_files([*addopts, *words]) else _IDLE
    idle = [_option(word) for word in _apart(words) if _option(word) in vain]
    mine = [_option(word) for word in _apart(addopts) if _option(word) in _OURS]
    idle += [_option(word) for word in _apart(addopts) if _option(word) in vain | _ELSEWHERE.keys()]
    parts: list[str] = []
    if idle:
        parts.append(f"{_named(idle)} of pytest {_have(idle)} no effect here ({_INSTEAD})")
    if mine:
        parts.append(
            f"{_named(mine)} in pytest's addopts {_have(mine)} no effect here:"
            " give them to `proctor run`, or put maxfail or slots in [tool.proctor]"
        )
    given = {_option(word): None for word in (*words, *addopts)}
    over = [option for option in given if option in _OVERWRITTEN]
    if over:
        parts.append(
            f"what {_named(over)} of pytest {'writes' if len(over) == 1 else 'write'} has the cases"
            " of one session: each writes it over what another wrote (with -n 1 there is one)"
        )
    if "--cov" in given and "--no-cov" not in given:
        # A session has its own part of the cases, and would be under any limit.
        limit = _value_of("--cov-fail-under", [*addopts, *words])
        parts.append(_COVERAGE.format(f" --fail-under={limit}" if limit else ""))
    return "; ".join(parts)


def wants_whole_files(words: Sequence[str]) -> bool:
    """Whether pytest-xdist would keep each file, or each class of it, on one worker."""
    return _value_of("--dist", words) in _WHOLE_FILES


def _value_of(name: str, words: Sequence[str]) -> str:
    """The last one given, as --name=value or in the word after it."""
    value = ""
    for word, following in pairwise([*words, ""]):
        option, _, joined = word.partition("=")
        if option == name:
            value = joined or following
    return value


def remedy_for(unknown: Sequence[str], typed: Sequence[str]) -> str:
    """What to say to pytest's options that were typed as ours; "" where the first is none.

    Of what was `typed` those that are `unknown` lack their values: they were taken for paths.
    """
    names = _names_in(unknown[0])
    for name in names & _ELSEWHERE.keys():
        return _ELSEWHERE[name]
    if "--dist" in names and wants_whole_files(typed):
        return f"give it to pytest: `proctor run -- --dist {_value_of('--dist', typed)}`"
    if names & _XDISTS:
        return _SPREAD
    if names & {"-q", "--quiet"}:
        return _QUIET
    if names & _IDLE:
        return _INSTEAD
    if not names & _PYTESTS:
        return ""
    return f"give it to pytest: `proctor run -- {shlex.join(_with_values(unknown, typed))}`"


def _names_in(word: str) -> set[str]:
    joined = _JOINED.fullmatch(word)
    if joined is not None:
        return {joined[joined.lastindex or 0]}
    return {_option(each) for each in _apart([word])}


def _with_values(unknown: Sequence[str], typed: Sequence[str]) -> Iterator[str]:
    """Those that are pytest's."""
    for word, following in pairwise([*typed, ""]):
        if word in unknown and _names_in(word) & _PYTESTS:
            yield word
            if word in _TAKE_A_WORD and following and not following.startswith("-"):
                yield following


def addopts_of(directory: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    """What pytest adds to its command line there; unreadable files are pytest's to complain of."""
    words = _split(environment.get("PYTEST_ADDOPTS", ""))
    for folder in (directory, *directory.parents):
        for name, path in _FILES:
            with contextlib.suppress(OSError, ValueError):
                found = _addopts_in(folder / name, path)
                if found is not None:
                    return (*found, *words)
    return words


def _addopts_in(file: Path, path: Sequence[str]) -> tuple[str, ...] | None:
    """Those of one file; None for a file that does not configure pytest."""
    # The command line loads this module, and most of its verbs read no such file.
    import configparser
    import tomllib

    text = file.read_text(encoding="utf-8")
    if file.suffix != ".toml":
        ini = configparser.ConfigParser(interpolation=None)
        try:
            ini.read_string(text)
        except configparser.Error as problem:
            raise ValueError(str(problem)) from problem
        if path[0] in ini:
            return _split(ini[path[0]].get("addopts", ""))
        # A pytest.ini counts though it is empty.
        return () if file.name.endswith("pytest.ini") else None
    table: Any = tomllib.loads(text)
    for key in path:
        table = table.get(key)
        if not isinstance(table, dict):
            return None
    table = cast("dict[str, Any]", table)
    addopts = table.get("ini_options", table).get("addopts", ())
    return _split(addopts) if isinstance(addopts, str) else tuple(map(str, addopts))


def _apart(words: Iterable[str]) -> Iterator[str]:
    """Words as pytest reads them: -xvs is three, -n4 is -n=4."""
    for word in words:
        if _CLUSTER.fullmatch(word):
            yield from (f"-{letter}" for letter in word[1:])
        elif re.fullmatch(r"-n\w+", word):
            yield f"-n={word[2:]}"
        else:
            yield word


def _meaning(name: str, value: str) -> object:
    match _OURS[name]:
        case "maxfail":
            if name in _VALUED and not value.isdecimal():
                raise UsageProblem(f"{name} wants a number, not {value!r}", remedy="as --maxfail=3")
            return int(value) if name in _VALUED else 1
        case "slots":
            # None of its own, and all of a machine's, in pytest-xdist's words.
            return {"0": "1", "logical": "auto"}.get(value, value)
        case "junitxml":
            return value
        case _:
            return True


def _option(word: str) -> str:
    return word.partition("=")[0]


def _named(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _have(names: Sequence[str]) -> str:
    return "has" if len(set(names)) == 1 else "have"


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return ()
