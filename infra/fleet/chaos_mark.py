"""The mark of a fleet that is there to be broken: a file that a person has asked for."""

from __future__ import annotations

import contextlib
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
    """A fleet is somebody's work again."""
    with contextlib.suppress(NotADirectoryError):
        mark_path(fleet).unlink(missing_ok=True)


def is_marked(fleet: Path) -> bool:
    return mark_path(fleet).exists()


def edge_directory(fleet: Path, worker: str) -> Path:
    """Where the rules for a worker's proxy are; there once it has one."""
    return fleet / "edges" / worker


def clock_file(fleet: Path, worker: str) -> Path:
    """Says by how many seconds a worker's clock lies, where it does."""
    return fleet / "clocks" / worker
