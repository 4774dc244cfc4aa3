"""What lies between a makespan and the work in it: when slots had no case to run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...infra.records import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTime:
    """Seconds of each slot, on average."""

    # From the campaign's first case to the slot's own: its session was still starting.
    start: float = 0.0
    # From one case to the next: most of all, files were loaded.
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
            first, last = min(each.started for each in ran), max(each.finished for each in ran)
            start += first - began
            between += max(0.0, last - first - sum(each.finished - each.started for each in ran))
            end += ended - last
    count = max(slots, 1)
    return IdleTime(start=start / count, between=between / count, end=end / count)
