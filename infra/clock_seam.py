"""Where the clock of a worker can be made to lie, in a fleet that is there to be broken."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from .fleet.chaos_mark import clock_file, is_marked
from .resident_mark import fleet_of

# What messages say of moments.
MOMENTS = ("t", "t0", "t1")


def clock_offset(environ: Mapping[str, str], worker: str) -> float:
    """By how many seconds this worker's clock lies; 0 wherever nobody asked for it."""
    fleet = fleet_of(environ)
    if fleet is not None and is_marked(fleet):
        with contextlib.suppress(FileNotFoundError, ValueError):
            return float(clock_file(fleet, worker).read_text(encoding="ascii"))
    return 0.0


def shift(message: dict[str, Any], offset: float) -> None:
    """Tell moments as a clock that is off by so much would."""
    for name in MOMENTS:
        if name in message:
            message[name] += offset
