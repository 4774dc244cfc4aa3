"""What a suite holds, remembered by content so that an unchanged suite starts at once.

An inventory is fresh when the test files, conftests and ini file it was collected from are the
same, none was added, the interpreter has the same packages, and the variables of the environment
that those files ask for have the same values. Ids can still depend on things
outside (data files, sources): the runner reports what it really finds in a file, and the
campaign mends the difference. Nothing is trusted blindly.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import orjson

from .codec import case_from_json, case_to_json
from .ledgers.append_file import unwritable
from .records import Case

FORMAT = 3
# So many inventories of one project are kept; a suite whose own has gone is collected once more.
MOST_KEPT = 50
_INI_FILES = frozenset(
    {
        "pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini",
        "pyproject.toml", "tox.ini", "setup.cfg",
    }
)  # fmt: skip
# Variables that pytest itself asks for, and how files ask for others.
_PYTESTS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
_MAY_ASK = frozenset({".py", ".toml", ".ini", ".cfg"})
_ASKED_FOR = re.compile(
    rb"""(?:environ(?:\.(?:get|pop|setdefault))?|getenv)\s*[(\[]\s*["'](\w+)["']"""
    rb"""|["'](\w+)["']\s+(?:not\s+)?in\s+(?:os\.)?environ\b"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What tells one content of a file from another; the hash only when the rest differs."""

    size: int
    modified_ns: int
    digest: str

    @classmethod
    def of(cls, path: Path) -> Stamp:
        state = path.stat()
        return cls(
            size=state.st_size,
            modified_ns=state.st_mtime_ns,
            digest=hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest(),
        )

    def matches(self, path: str) -> bool:
        try:
            state = os.stat(path)  # noqa: PTH116 - a quarter of the cost of Path.stat, 10,000 times
        except OSError:
            return False
        if state.st_size != self.size:
            return False
        # A fresh checkout has new times and the old content.
        return state.st_mtime_ns == self.modified_ns or Stamp.of(Path(path)).digest == self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where pytest looks: what it said of itself when it collected."""

    rootdir: str
    directory: str
    arguments: tuple[str, ...]
    # The arguments that are paths; none means pytest's own testpaths or the directory.
    roots: tuple[str, ...]
    patterns: tuple[str, ...]
    norecurse: tuple[str, ...]
    site: tuple[str, ...]
    # The file that configures pytest, which may stand anywhere; empty if none does.
    ini: str = ""

    def files(self) -> Iterator[str]:
        """Test files, conftests and ini files that collection would read."""
        seen: set[str] = set()
        for root in (*self.roots, *filter(None, [self.ini])):
            for path in self._under(os.path.join(self.directory, root)):  # noqa: PTH118 - speed
                if path not in seen:
                    seen.add(path)
                    yield path
        # Conftests and ini files above the roots count as well.
        for parent in self._above():
            for name in ("conftest.py", *_INI_FILES):
                path = f"{parent}/{name}"
                if path not in seen and os.path.isfile(path):  # noqa: PTH113 - speed
                    seen.add(path)
                    yield path

    def _above(self) -> set[str]:
        """The folders from the root of it all down to each path that was named."""
        found = {self.rootdir, self.directory}
        for root in self.roots:
            path = Path(os.path.normpath(os.path.join(self.directory, root)))  # noqa: PTH118
            found.update(str(each) for each in path.parents if each.is_relative_to(self.rootdir))
        return found

    def _under(self, root: str) -> Iterator[str]:
        if os.path.isfile(root):  # noqa: PTH113 - speed
            yield root
            return
        # As pytest has it: a pattern with a separator is one of paths.
        names = [pattern for pattern in self.patterns if os.sep not in pattern]
        paths = [f"*{os.sep}{pattern}" for pattern in self.patterns if os.sep in pattern]
        for where, directories, files in os.walk(root):
            directories[:] = [
                name for name in directories if not any(fnmatch(name, p) for p in self.norecurse)
            ]
            for name in files:
                path = f"{where}/{name}"
                if (
                    name == "conftest.py"
                    or any(fnmatch(name, pattern) for pattern in names)
                    or any(fnmatch(path, pattern) for pattern in paths)
                ):
                    yield path

    def packages(self) -> str:
        """A digest of the distributions installed in the interpreter."""
        digest = hashlib.blake2b(digest_size=16)
        for directory in self.site:
            names = sorted(
                entry.name
                for entry in _scan(directory)
                if entry.name.endswith((".dist-info", ".egg-info", ".egg-link", ".pth"))
            )
            digest.update("\n".join((directory, *names)).encode(errors="surrogateescape"))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Everything a campaign needs to know of a suite to run it."""

    scope: Scope
    cases: tuple[Case, ...]
    # Ids that -k, -m or a hook deselected; None of too many.
    deselected: frozenset[str] | None
    # Files that skip themselves at import, with the reason.
    skipped_files: Mapping[str, str]
    stamps: Mapping[str, Stamp]
    packages: str
    # By name, a digest of what variables of the environment were.
    variables: Mapping[str, str]

    def why_stale(self) -> str:
        """What changed since it was taken, in a few words; empty while it is fresh."""
        present = set(self.scope.files())
        known = set(self.stamps)
        if added := present - known:
            return f"{_some(added)} is new"
        if gone := known - present:
            return f"{_some(gone)} is gone"
        for path, stamp in self.stamps.items():
            if not stamp.matches(path):
                return f"{path} changed"
        if self.packages != self.scope.packages():
            return "installed packages changed"
        for name, value in _digests(self.variables).items():
            if value != self.variables[name]:
                return f"{name} in the environment changed"
        return ""


def take(
    scope: Scope,
    cases: Sequence[Case],
    skipped_files: Mapping[str, str],
    deselected: frozenset[str] | None = frozenset(),
) -> Inventory:
    """An inventory of what was just collected."""
    # Plugins collect from files of other kinds as well: new ones of these kinds count.
    kinds = {f"*{Path(case.group).suffix}" for case in cases if Path(case.group).suffix}
    scope = replace(scope, patterns=(*scope.patterns, *sorted(kinds - {"*.py"})))
    stamps = {path: Stamp.of(Path(path)) for path in scope.files()}
    asked_for = {
        name.decode()
        for path in map(Path, stamps)
        if path.suffix in _MAY_ASK
        for found in _ASKED_FOR.findall(path.read_bytes())
        for name in found
        if name
    }
    return Inventory(
        scope=scope,
        cases=tuple(cases),
        deselected=deselected,
        skipped_files=dict(skipped_files),
        stamps=stamps,
        packages=scope.packages(),
        variables=_digests([*_PYTESTS, *asked_for]),
    )


def path_for(project: Path, *, python: str, directory: str, arguments: Sequence[str]) -> Path:
    """Where the inventory of that collection is kept."""
    told = orjson.dumps([FORMAT, python, directory, list(arguments)])
    return project / f"inventory-{hashlib.blake2b(told, digest_size=8).hexdigest()}.json"


def save(inventory: Inventory, path: Path) -> None:
    """Write it whole or not at all; the last of several writers wins."""
    try:
        content = orjson.dumps(
            {
                "format": FORMAT,
                "scope": inventory.scope,
                "cases": [case_to_json(case) for case in inventory.cases],
                "deselected": None if (aside := inventory.deselected) is None else sorted(aside),
                "skipped_files": inventory.skipped_files,
                "stamps": inventory.stamps,
                "packages": inventory.packages,
                "variables": inventory.variables,
            },
            option=orjson.OPT_NON_STR_KEYS,
        )
    except orjson.JSONEncodeError:
        # A file's name is no UTF-8. Such a suite is collected every time; nothing else is lost.
        path.unlink(missing_ok=True)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.new")
        beside.write_bytes(content)
        beside.replace(path)
        _sweep(path.parent)
    except OSError as problem:
        raise unwritable(path, problem) from problem


def _sweep(project: Path) -> None:
    """Every other choice of tests has an inventory of its own: those taken long ago go."""
    aged: list[tuple[int, Path]] = []
    for path in project.glob("inventory-*.json"):
        # Another campaign may have swept it meanwhile.
        with contextlib.suppress(FileNotFoundError):
            aged.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(aged, reverse=True)[MOST_KEPT:]:
        path.unlink(missing_ok=True)


def load(path: Path) -> Inventory | None:
    """The inventory kept there; none if there is none that this version can read."""
    try:
        kept = orjson.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return None
    if kept.get("format") != FORMAT:
        return None
    told = kept["scope"]
    return Inventory(
        scope=Scope(
            rootdir=told["rootdir"],
            directory=told["directory"],
            arguments=tuple(told["arguments"]),
            roots=tuple(told["roots"]),
            patterns=tuple(told["patterns"]),
            norecurse=tuple(told["norecurse"]),
            site=tuple(told["site"]),
            ini=told["ini"],
        ),
        cases=tuple(case_from_json(case) for case in kept["cases"]),
        deselected=None if (aside := kept["deselected"]) is None else frozenset(aside),
        skipped_files=kept["skipped_files"],
        stamps={path: Stamp(**stamp) for path, stamp in kept["stamps"].items()},
        packages=kept["packages"],
        variables=kept["variables"],
    )


def _digests(names: Iterable[str]) -> dict[str, str]:
    """Of the variables' values, which may be secrets; empty for those that are not set."""
    return {
        name: hashlib.blake2b(os.fsencode(value), digest_size=8, key=name.encode()[:64]).hexdigest()
        if (value := os.environ.get(name)) is not None
        else ""
        for name in names
    }


def _scan(directory: str) -> Iterable[os.DirEntry[str]]:
    try:
        return list(os.scandir(directory))
    except OSError:
        return ()


def _some(paths: set[str]) -> str:
    first = min(paths)
    return first if len(paths) == 1 else f"{first} (and {len(paths) - 1} more)"
