"""Named statements: SQL stands in files, one `-- name:` section each, and nowhere else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARK = "-- name:"


@cache
def load_sql(file: str) -> Mapping[str, str]:
    """The statements of a file by name, in their order."""
    found: dict[str, list[str]] = {}
    section: list[str] = []
    for line in read_sql(file).splitlines():
        if line.startswith(_MARK):
            name = line.removeprefix(_MARK).strip()
            if name in found:
                raise ValueError(f"{file} has two statements called {name!r}")
            section = found[name] = []
        else:
            section.append(line)
    return MappingProxyType({name: "\n".join(lines).strip() for name, lines in found.items()})


def read_sql(file: str) -> str:
    """A whole SQL file of this folder."""
    return files(__package__ or "").joinpath(file).read_text(encoding="utf-8")
