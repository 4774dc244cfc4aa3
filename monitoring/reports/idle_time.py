"""What lies between a makespan and the work in it: when slots had no case to run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from ...infra.records import Attempt, Outcome

_ENDS_A_SESSION = frozenset({Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY})


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTime:
    """Seconds of each slot, on average."""

    # From the campaign's first case to the slot's own, and from one that ended its session to the
    # next: a session was still starting.
    start: float = 0.0
    # From any other case to the next: most of all, files were loaded.
    between: float = 0.0
    # From the slot's last case to the campaign's.
    end: float = 0.0


def idle_time(attempts: Iterable[Attempt], slots: int) -> IdleTime:
    """Of all slots that ran something; where more were there, the rest had nothing to do."""
    lives: dict[int, dict[tuple[str, int], list[Attempt]]] = {}
    for each in attempts:
        if each.worker:
            own = lives.setdefault(each.epoch, {})
            own.setdefault((each.worker, each.slot), []).append(each)
    start = between = end = 0.0
    for by_slot in lives.values():
        began = min(each.started for ran in by_slot.values() for each in ran)
        ended = max(each.finished for ran in by_slot.values() for each in ran)
        for ran in by_slot.values():
            ran.sort(key=lambda each: each.started)
            start += ran[0].started - began
            for former, later in pairwise(ran):
                gap = max(0.0, later.started - former.finished)
                if former.outcome in _ENDS_A_SESSION:
                    start += gap
                else:
                    between += gap
            end += ended - max(each.finished for each in ran)
    count = max(slots, 1)
    return IdleTime(start=start / count, between=between / count, end=end / count)
