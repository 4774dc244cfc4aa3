"""Keeps pytest's search for its root inside a copy of a project.

Pytest climbs from where it starts until it finds a file with its settings. What stands above a
copy is this worker's, and says nothing of the project: another root would give every case another
id, and another file other options.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .spec import RunnerSpec

_ALWAYS = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_WITH_SECTION = {
    "pyproject.toml": re.compile(r"^\s*\[tool\.pytest(\.ini_options)?\]", re.MULTILINE),
    "tox.ini": re.compile(r"^\[pytest\]", re.MULTILINE),
    "setup.cfg": re.compile(r"^\[tool:pytest\]", re.MULTILINE),
}
# Where there are no settings, these show where a project begins.
_MARKS = ("pyproject.toml", "setup.py")
# Given twice, the later one counts: that of whoever asked.
_SETTINGS = ("-c", "--config-file")


def fenced(spec: RunnerSpec, copy: Path) -> RunnerSpec:
    """The spec, with options of its own where pytest would climb out of the copy."""
    start = Path(os.path.commonpath([*_folders(spec)] or [spec.directory]))
    inside = [each for each in (start, *start.parents) if each.is_relative_to(copy)]
    if not inside or any(map(_has_settings, inside)) or any(map(_is_settings, spec.arguments)):
        return spec
    if not any(_has_settings(each) or _has_mark(each, *_MARKS) for each in copy.parents):
        return spec
    root = _first(inside, *_MARKS) or Path(os.path.commonpath([start, spec.directory]))
    nothing = copy.parent / "no-settings.ini"
    nothing.write_text("[pytest]\n", encoding="utf-8")
    options = (f"--rootdir={root}", f"--confcutdir={root}", f"-c{nothing}")
    return replace(spec, arguments=(*options, *spec.arguments))


def _folders(spec: RunnerSpec) -> Iterator[str]:
    """Those of the files and folders that pytest is given."""
    for each in spec.arguments:
        path = os.path.normpath(Path(spec.directory, each.partition("::")[0]))
        if not each.startswith("-") and os.path.exists(path):  # noqa: PTH110 - a text all along
            yield path if os.path.isdir(path) else os.path.dirname(path)  # noqa: PTH112, PTH120


def _is_settings(argument: str) -> bool:
    return argument.startswith(_SETTINGS)


def _has_settings(folder: Path) -> bool:
    if _has_mark(folder, *_ALWAYS):
        return True
    for name, section in _WITH_SECTION.items():
        try:
            if section.search((folder / name).read_text(encoding="utf-8", errors="replace")):
                return True
        except OSError:
            continue
    return False


def _has_mark(folder: Path, *names: str) -> bool:
    return any((folder / name).is_file() for name in names)


def _first(folders: Sequence[Path], *names: str) -> Path | None:
    """The first of the folders that has the first name, else the second."""
    return next((each for name in names for each in folders if _has_mark(each, name)), None)
