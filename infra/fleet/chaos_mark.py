"""The mark of a fleet that is there to be broken: a file that a person has asked for."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from ..ledgers.append_file import unwritable


def mark_path(fleet: Path) -> Path:
    return fleet / "chaos-target"


def mark(fleet: Path) -> None:
    """Say that the fleet of this directory may be broken."""
    path = mark_path(fleet)
    try:
        fleet.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as problem:
        raise unwritable(path, problem) from problem


def unmark(fleet: Path) -> None:
    """A fleet is somebody's work again.

    With the mark goes what its workers would be told by: those of the next fleet have no proxy.
    """
    with contextlib.suppress(NotADirectoryError):
        mark_path(fleet).unlink(missing_ok=True)
    for place in (_edges(fleet), _clocks(fleet)):
        shutil.rmtree(place, ignore_errors=True)


def is_marked(fleet: Path) -> bool:
    return mark_path(fleet).exists()


def edge_directory(fleet: Path, worker: str) -> Path:
    """Where the rules for a worker's proxy are; there once it has one."""
    return _edges(fleet) / worker


def clock_file(fleet: Path, worker: str) -> Path:
    """Says by how many seconds a worker's clock lies, where it does."""
    return _clocks(fleet) / worker


def _edges(fleet: Path) -> Path:
    return fleet / "edges"


def _clocks(fleet: Path) -> Path:
    return fleet / "clocks"
