"""What a campaign can be told: read once at the top, each value with its origin.

Three layers, the later before the earlier: `[tool.proctor]` in the nearest pyproject.toml, the
environment's PROCTOR_*, and flags. Every value that is given is checked, also one that a later
layer overrides.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from .cores import core_count
from .errors import BadSetting
from .memory_reserve import read_reserve
from .project_file import ProjectFile, find_project_file
from .quantities import format_duration, format_size
from .requirements import PatternRule, rule_to_mapping
from .setting_readers import (
    Given,
    Reader,
    environment_python,
    is_unicode,
    python_command,
    read_command,
    read_count,
    read_fleet,
    read_limit,
    read_math_threads,
    read_memory_limit,
    read_name,
    read_optional_limit,
    read_path,
    read_patterns,
    read_prefect,
    read_python,
    read_rules,
    read_size,
    read_slots,
    read_state,
    read_switch,
    read_word,
    read_words,
    without_credentials,
)
from .suggestions import guess, known

PREFIX = "PROCTOR_"
DEFAULT = "default"
# A table beside the settings: [tool.proctor.classes].
CLASSES = "classes"
# Reads the directory that a block of Prefect says, given its name and the setting `prefect`; set
# by the command line and by flows, for nothing here knows Prefect.
state_of_block: Callable[[str, str], Path] | None = None
# Variables that other parts read, of workers, of processes that faults concern, and of our tests.
_OTHERS = frozenset(
    {
        *("PROCTOR_MEMORY_RESERVE", "PROCTOR_MACHINE", "PROCTOR_WORKER_PYTHON"),
        *("PROCTOR_RESIDENT", "PROCTOR_RUNNER", "PROCTOR_FAULT"),
        *("PROCTOR_REQUIRE", "PROCTOR_TREND_DATA"),
    }
)
# What Kubernetes gives each container of a namespace that has a service called `proctor...`. Only
# who finds such a variable pays for making it a pattern.
_SERVICE_LINK = rf"{PREFIX}(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_\w+)?)"
# Flags that are not written as their key is.
_FLAGS = {"slots": "-n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Everything a campaign can be told; durations in seconds, sizes in bytes."""

    state: Path
    """The directory that holds campaigns and their history."""
    python: str
    """The interpreter with the suite's packages and pytest."""
    slots: int
    """How many cases run at a time on a fleet of our own; "auto" is one for each core."""
    fleet: str = ""
    """The address of a running scheduler; none starts a fleet of our own."""
    certs: Path | None = None
    """The certificates of a fleet on other machines; none are those of the state directory."""
    fleet_classes: tuple[str, ...] = ()
    """The workers of a fleet of our own, such as "gpu:slots=1,gpu=1"; none is one of all slots."""
    ship: str = "auto"
    """Bring the project's files to workers: "auto" to other machines, "always", or "never"."""
    ship_also: tuple[str, ...] = ()
    """What git does not have and tests need, such as "data/*.bin", for workers elsewhere."""
    setup: str = ""
    """A command that readies the project where it was brought, such as "pip install -e ."."""
    timeout: float = 600.0
    """How long a case may take that says nothing else."""
    hang_timeout: float = 300.0
    """How long a runner may be silent outside cases: importing, collecting, tearing down."""
    deadline: float | None = None
    """How long the whole campaign may take."""
    retries: int = 0
    """How often a failed case is run again."""
    infra_retries: int = 3
    """How often a case is run again that the infrastructure lost."""
    maxfail: int = 0
    """Stop after so many failed cases; 0 never stops."""
    isolate: bool = False
    """Run each case in a process of its own, forked from a warm one."""
    hedge: bool = True
    """Run a second attempt of a straggler on a slot that would idle."""
    split_files: bool = True
    """Spread a file's cases over slots that would idle; else each file stays on one slot."""
    load_all: str = "auto"
    """Sessions load all files before their first case: "auto" if cheap, "always" or "never"."""
    output_limit: int = 256 * 1024
    """How much of a case's output is kept, of its beginning and its end."""
    math_threads: str = "auto"
    """Threads of OpenMP and BLAS in a session: "auto" is a slot's cores; "all", or a number."""
    memory_limit: int = 0
    """How much memory a slot may use; "auto" (0) shares the worker's among its slots."""
    mute: tuple[str, ...] = ()
    """Patterns of cases that run and report but do not fail the campaign."""
    requirements: tuple[PatternRule, ...] = ()
    """What cases need, by pattern; markers in the code come before them."""
    fail_on_flaky: bool = False
    """Exit with 7 when cases passed only when run again."""
    history: bool = True
    """Plan with what earlier campaigns measured, and keep what this one measures."""
    import_cache: bool = True
    """Keep compiled modules in the state directory where PYTHONDONTWRITEBYTECODE is set."""
    prefect: str = "auto"
    """Where the run history is kept: "auto", "off", or the address of a server's API."""
    name: str = ""
    """What the campaign is called."""

    python_command: str = ""
    """What the interpreter was found by on the PATH: workers elsewhere have a PATH of their own."""
    project_file: Path | None = None
    """The pyproject.toml that was read, if one speaks of us."""
    classes: Mapping[str, object] = field(default_factory=dict[str, object])
    """Its table of worker classes, for whoever starts workers to read."""
    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where each value came from."""
    notes: tuple[str, ...] = ()
    """What a person should know of the environment, such as a mistyped variable."""

    @property
    def certificates(self) -> Path:
        """Where the certificates of a fleet are that other machines can reach."""
        return self.certs or self.state / "certs"

    def origin(self, key: str) -> str:
        """Say where a value came from: "pyproject.toml line 3", "PROCTOR_NAME", "--name"."""
        if key not in _READERS:
            raise BadSetting(f"there is no setting {key!r}", remedy=known(key, _READERS))
        return self.origins.get(key, DEFAULT)

    def rows(self) -> tuple[SettingRow, ...]:
        """List all settings, for people and as plain values."""
        plain = self.plain()
        return tuple(
            SettingRow(
                key=key,
                value=plain[key],
                text=_TEXTS.get(key, _plain_text)(getattr(self, key)),
                origin=self.origin(key),
            )
            for key in _READERS
        )

    def plain(self) -> dict[str, Any]:
        """Return the values as JSON has them; given as flags they yield these settings again."""
        values: dict[str, Any] = {key: getattr(self, key) for key in _READERS}
        values["state"] = str(self.state)
        values["certs"] = str(self.certs) if self.certs else None
        values["mute"] = list(self.mute)
        values["fleet_classes"] = list(self.fleet_classes)
        values["ship_also"] = list(self.ship_also)
        values["requirements"] = [rule_to_mapping(rule) for rule in self.requirements]
        # Records and screens must not hold what opens a server.
        values["prefect"] = without_credentials(self.prefect)
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One line of `proctor config show`."""

    key: str
    value: object
    text: str
    origin: str


_READERS: dict[str, Reader] = {
    "state": read_state,
    "python": read_python,
    "slots": read_slots,
    "fleet": read_fleet,
    "certs": read_path,
    "fleet_classes": read_words,
    "ship": partial(read_word, words=("auto", "always", "never")),
    "ship_also": read_patterns,
    "setup": read_command,
    "timeout": read_limit,
    "hang_timeout": read_limit,
    "deadline": read_optional_limit,
    "retries": read_count,
    "infra_retries": read_count,
    "maxfail": read_count,
    "isolate": read_switch,
    "hedge": read_switch,
    "split_files": read_switch,
    "load_all": partial(read_word, words=("auto", "always", "never")),
    "output_limit": read_size,
    "math_threads": read_math_threads,
    "memory_limit": read_memory_limit,
    "mute": read_patterns,
    "requirements": read_rules,
    "fail_on_flaky": read_switch,
    "history": read_switch,
    "import_cache": read_switch,
    "prefect": read_prefect,
    "name": read_name,
}


def load_settings(
    directory: Path, environ: Mapping[str, str], flags: Mapping[str, object]
) -> RunSettings:
    """Read the settings of a campaign started in that directory.

    A flag that is None, and a variable or name that is empty, counts as not given.
    """
    base = directory.resolve()
    # Workers read it. Whoever starts them is told here, and not in each of their logs.
    read_reserve(environ)
    project = find_project_file(base)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for given in (
        *_of_file(project, environ),
        *_of_environment(base, environ),
        *_of_flags(flags, base, environ),
    ):
        values[given.key] = _READERS[given.key](given)
        origins[given.key] = given.origin
        if given.key == "python":
            values["python_command"] = python_command(given)
    for key, default in _computed(base, environ).items():
        if key not in values:
            values[key], origins[key] = default()
    if isinstance(values["state"], str):
        named = values["state"]
        if state_of_block is None:
            raise BadSetting(
                f"state ({origins['state']}) {named!r} cannot be read here: Prefect keeps it",
                remedy="write the directory itself",
            )
        values["state"] = state_of_block(named, values.get("prefect", "auto"))
    if not is_unicode(str(values["state"])):
        # DuckDB opens no such file, and workers are told of it in JSON.
        raise BadSetting(
            f"state ({origins['state']}) {str(values['state'])!r} is no text in UTF-8",
            remedy="name a directory whose name is",
        )
    if values["state"].is_file():
        raise BadSetting(
            f"state ({origins['state']}) {values['state']} is a file",
            remedy="name the directory that holds the campaigns",
        )
    return RunSettings(
        **values,
        origins=origins,
        project_file=None if project is None else project.path,
        classes=cast("dict[str, object]", project.values.get(CLASSES, {})) if project else {},
        notes=tuple(_mistyped(environ)),
    )


def _of_file(project: ProjectFile | None, environ: Mapping[str, str]) -> Iterator[Given]:
    if project is None:
        return
    for key, value in project.values.items():
        if key == CLASSES:
            continue
        if key not in _READERS:
            raise BadSetting(
                f"{project.place(key)}: [tool.proctor] has no setting {key!r}",
                remedy=known(key, _READERS),
            )
        yield Given(
            key=key,
            value=value,
            origin=project.place(key),
            base=project.path.parent,
            environ=environ,
        )


def _of_environment(base: Path, environ: Mapping[str, str]) -> Iterator[Given]:
    for key in _READERS:
        name = f"{PREFIX}{key.upper()}"
        value = environ.get(name, "")
        if value.strip():
            yield Given(key=key, value=value, origin=name, base=base, environ=environ)


def _of_flags(
    flags: Mapping[str, object], base: Path, environ: Mapping[str, str]
) -> Iterator[Given]:
    for key, value in flags.items():
        if key not in _READERS:
            raise BadSetting(f"there is no setting {key!r}", remedy=known(key, _READERS))
        if value is None or (key == "name" and value == ""):
            continue
        negated = "no-" if value is False else ""
        origin = _FLAGS.get(key, f"--{negated}{key.replace('_', '-')}")
        yield Given(key=key, value=value, origin=origin, base=base, environ=environ)


def _computed(
    base: Path, environ: Mapping[str, str]
) -> dict[str, Callable[[], tuple[object, str]]]:
    """Defaults that depend on where we are; each is worked out only when it is needed."""
    return {
        "state": partial(_default_state, base, environ),
        "python": partial(_default_python, environ),
        "slots": lambda: (core_count(), DEFAULT),
    }


def _default_state(base: Path, environ: Mapping[str, str]) -> tuple[Path, str]:
    home = Path(environ.get("XDG_STATE_HOME", ""))
    # The XDG specification has relative paths ignored.
    if home.is_absolute():
        return home / "proctor", f"{DEFAULT} (XDG_STATE_HOME)"
    given = Given(
        key="state", value="~/.local/state/proctor", origin=DEFAULT, base=base, environ=environ
    )
    return read_path(given), DEFAULT


def _default_python(environ: Mapping[str, str]) -> tuple[str, str]:
    active = environ.get("VIRTUAL_ENV", "")
    if active and environment_python(Path(active)).exists():
        return str(environment_python(Path(active))), f"{DEFAULT} (VIRTUAL_ENV)"
    # Started by a relative path, it may hold "..": one interpreter, one spelling.
    return os.path.abspath(sys.executable), DEFAULT  # noqa: PTH100 - it must stay a link.


def _mistyped(environ: Mapping[str, str]) -> Iterator[str]:
    """Find variables with our prefix that nothing of ours reads."""
    for name in sorted(environ):
        key = name.removeprefix(PREFIX).lower()
        is_ours = key in _READERS or name in _OTHERS
        if name.startswith(PREFIX) and not is_ours and not re.fullmatch(_SERVICE_LINK, name):
            hint = guess(key, _READERS) or "`proctor config show` has all there are"
            yield f"{name} is no setting and was not read; {hint}"


def _plain_text(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "+".join(cast("list[str]", value)) if isinstance(value, list) else str(value)


def _rules_text(rules: tuple[PatternRule, ...]) -> str:
    texts: list[str] = []
    for rule in rules:
        stated = rule_to_mapping(rule)
        match = stated.pop("match")
        texts.append(
            f"{match}: {' '.join(f'{key}={_short(value)}' for key, value in stated.items())}"
        )
    return "; ".join(texts) or "none"


_TEXTS: dict[str, Callable[[Any], str]] = {
    "fleet": lambda value: value or "none",
    "certs": lambda value: str(value) if value else "none",
    "fleet_classes": lambda value: " ".join(value) or "none",
    "ship_also": lambda value: ", ".join(value) or "none",
    "timeout": format_duration,
    "hang_timeout": format_duration,
    "deadline": lambda value: "none" if value is None else format_duration(value),
    "output_limit": format_size,
    "memory_limit": lambda value: format_size(value) if value else "auto",
    "mute": lambda value: ", ".join(value) or "none",
    "requirements": _rules_text,
    "prefect": without_credentials,
    "name": lambda value: value or "none",
}
