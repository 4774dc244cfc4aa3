"""How far a running campaign has come, for who asks once and from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ...infra.ledgers.epochs import epochs_of, ledger_path
from ...infra.scaling.demand import DEMAND_FILE, Demand, Reached, read_demand
from .follow import Follower, seconds_since_open, view_of
from .progress import Progress, is_end_in_sight

# Where its process has not said, journals of no more than that are read: 0.2 s of a core, which
# the tests beside us may want.
READ_BYTES = 2_000_000


def progress_of(
    directory: Path,
    *,
    wall_clock: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    most: int = READ_BYTES,
) -> Progress | None:
    """By its process's own word, however long its journals are; else by these, if they are short.

    None where nobody has said and they are long: it began just now, ends just now, or is run by
    another version.
    """
    epochs = epochs_of(directory)
    demand = read_demand(directory / DEMAND_FILE)
    if demand is not None and demand.reached and epochs and demand.epoch == epochs[-1]:
        elapsed = seconds_since_open(directory, wall_clock())
        return _told(demand, demand.reached, elapsed)
    # What is written while we look is the next look's.
    there = sum(ledger_path(directory, epoch).stat().st_size for epoch in epochs)
    if there > most:
        return None
    view = view_of(directory, wall_clock=wall_clock, clock=clock)
    follower = Follower(directory, view)
    while follower.bytes_read < there and follower.poll():
        pass
    return view.progress()


def _told(demand: Demand, reached: Reached, elapsed: float) -> Progress:
    done = sum(reached.counts.values())
    is_known = is_end_in_sight(phase=reached.phase, done=done, total=reached.total)
    slots = max(1, min(reached.slots, reached.total - done))
    return Progress(
        phase=reached.phase,
        done=done,
        total=reached.total,
        counts=reached.counts,
        elapsed_seconds=elapsed,
        left_seconds=demand.work_seconds / slots if is_known and demand.work_seconds else None,
    )
