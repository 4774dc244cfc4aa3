"""The `[tool.proctor]` table of a project's pyproject.toml, and where its keys stand."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import BadSetting

FILE = "pyproject.toml"
_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*[.=]""")
_TABLE = "tool.proctor"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFile:
    """A pyproject.toml that speaks of us."""

    path: Path
    # As a person standing in the invocation directory would write it.
    shown: str
    values: Mapping[str, object]
    # Keys and the lines they stand on; a key may come as several tables.
    lines: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])

    def place(self, key: str) -> str:
        """Say where a key stands, as "pyproject.toml line 12"."""
        lines = self.lines.get(key, ())
        if not lines:
            return self.shown
        noun = "line" if len(lines) == 1 else "lines"
        return f"{self.shown} {noun} {', '.join(map(str, lines))}"


def find_project_file(directory: Path) -> ProjectFile | None:
    """Return the nearest pyproject.toml with a `[tool.proctor]` table, from here upwards.

    One without such a table is passed by: a package in a larger repository need not repeat it.
    """
    start = directory.resolve()
    for folder in (start, *start.parents):
        found = _read(folder / FILE, shown=os.path.relpath(folder / FILE, start))
        if found is not None:
            return found
    return None


def _read(path: Path, *, shown: str) -> ProjectFile | None:
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadSetting(
            f"{shown} cannot be read ({error.strerror})", remedy="make it readable"
        ) from error
    except ValueError as error:
        # TOMLDecodeError and UnicodeDecodeError alike.
        raise BadSetting(f"{shown} is not valid TOML: {error}", remedy="mend that line") from error
    tool = document.get("tool", {})
    if not isinstance(tool, dict) or "proctor" not in tool:
        return None
    values = tool["proctor"]
    if not isinstance(values, dict):
        raise BadSetting(
            f"{shown}: tool.proctor is {values!r}, not a table",
            remedy='write [tool.proctor] and below it, for example, timeout = "10m"',
        )
    return ProjectFile(path=path, shown=shown, values=values, lines=_lines(text))


def _lines(text: str) -> dict[str, tuple[int, ...]]:
    """Find the lines of our keys; for people, so that what is written unusually may be missed."""
    lines: dict[str, tuple[int, ...]] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.fullmatch(line)
        key = _KEY.match(line)
        if header is not None:
            table = header[1].replace(" ", "")
            name = table.removeprefix(f"{_TABLE}.").partition(".")[0]
            if table.startswith(f"{_TABLE}."):
                lines[name] = (*lines.get(name, ()), number)
        elif key is not None and table == _TABLE:
            lines.setdefault(key[1], (number,))
    return lines
