"""What is left to do: of one batch in flight, and of all that waits or runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from ..records import Requirements
from .durations import Durations
from .lanes import Lane
from .state import Flight, Remaining

# Of a batch of thousands, so many tell how long they take.
_SAMPLED = 16


def work_left(
    waiting: Mapping[Requirements, Lane],
    flights: Iterable[Flight],
    durations: Durations,
    now: float,
) -> list[Remaining]:
    """What is left, by what it needs of a worker."""
    running: dict[Requirements, list[Flight]] = {}
    for flight in flights:
        running.setdefault(flight.batch.cases[0].needs, []).append(flight)
    pace = durations.pace.of_all
    found: list[Remaining] = []
    for needs in {**waiting, **running}:
        lane, here = waiting.get(needs), running.get(needs, [])
        if not (lane or here):
            continue
        longest = lane.longest() if lane else None
        left = [left_of(flight, durations, now) for flight in here]
        found.append(
            Remaining(
                needs=needs,
                work_seconds=(lane.work * pace if lane else 0.0) + sum(work for work, _ in left),
                waiting=lane.count if lane else 0,
                running=len(here),
                longest_seconds=max(
                    [longest[0] * pace if longest else 0.0, *(most for _, most in left)]
                ),
            )
        )
    return found


def left_of(flight: Flight, durations: Durations, now: float) -> tuple[float, float]:
    """Predicted seconds that a batch still takes, and its longest case; by a sample."""
    some = [
        durations.on(flight.batch.slot.worker, case)
        for case in islice(flight.open.values(), _SAMPLED)
    ]
    if not some:
        return 0.0, 0.0
    gone = now - flight.running_since if flight.running is not None else 0.0
    work = sum(some) * len(flight.open) / len(some)
    return max(0.0, work - gone), max(0.0, max(some) - gone)
