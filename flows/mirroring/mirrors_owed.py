"""Campaigns of which Prefect was not told all: a note lies by each, for whoever mirrors next.

Everything may be killed at once, or the server stay away for longer than a mirror waits: then a
flow run would be Running for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from .mirror_source import Source
from .mirror_told import load_told

logger = logging.getLogger(__name__)

_NOTE = "untold"
# Whoever tells of others' campaigns has told of its own, and is not waited for.
MOST = 50


def owe(directory: Path) -> None:
    """Note that Prefect is not told all of this campaign yet."""
    (directory / "mirror" / _NOTE).touch()


def settle(directory: Path) -> None:
    (directory / "mirror" / _NOTE).unlink(missing_ok=True)


def owed(state: Path, *, but: str) -> Iterator[Path]:
    """Directories of campaigns that are over, and not told whole; the newest first.

    Campaigns are named by their time.
    """
    notes = sorted(state.glob(f"campaigns/*/mirror/{_NOTE}"), reverse=True)
    for note in notes[:MOST]:
        directory = note.parent.parent
        told = load_told(note.parent)
        if directory.name == but or not (told.owned or told.is_abandoned):
            # Its flow run's own process says how it ended.
            continue
        source = Source(directory)
        source.poll()
        if source.picture.is_over:
            yield directory
