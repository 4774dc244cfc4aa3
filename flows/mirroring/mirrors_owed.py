"""Campaigns of which Prefect was not told all: found by whoever mirrors next.

Everything may be killed at once, or the server stay away for longer than a mirror waits: then a
flow run would be Running for ever, or there would be none.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from .mirror_source import Source
from .mirror_told import load_told
from .untold_note import noted

# Whoever tells of others' campaigns has told of its own, and is not waited for.
MOST = 50


def owed(state: Path, *, but: str) -> Iterator[Path]:
    """Directories of campaigns that are over, and not told whole."""
    return islice(_owed(state, but), MOST)


def _owed(state: Path, but: str) -> Iterator[Path]:
    for directory in noted(state):
        told = load_told(directory / "mirror")
        if directory.name == but or not (told.owned or told.is_abandoned):
            # Its flow run's own process says how it ended.
            continue
        source = Source(directory)
        source.poll()
        if source.picture.is_over:
            yield directory
