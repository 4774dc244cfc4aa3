"""Slots on which nothing can be begun: they are left alone, each time for longer. Pure.

A worker without the interpreter, or without a library that the suite's conftest.py imports, fails
within a second of each order: it would be asked again at once, for as long as there is work.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from ..dispatching.batches import Slot

FIRST_SECONDS = 1.0
# Well below how long workers may idle while cases wait.
MOST_SECONDS = 32.0


@dataclass(slots=True)
class Rests:
    """How often in a row each slot failed, and until when it rests."""

    _failures: dict[Slot, int] = field(default_factory=dict[Slot, int])
    _until: dict[Slot, float] = field(default_factory=dict[Slot, float])

    def failed(self, slot: Slot, now: float) -> tuple[float, bool]:
        """For how long the slot rests; and whether its worker has not failed so often before."""
        most = max(
            (times for each, times in self._failures.items() if each.worker == slot.worker),
            default=0,
        )
        times = self._failures[slot] = self._failures.get(slot, 0) + 1
        seconds = min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(times - 1, 10))
        self._until[slot] = now + seconds
        return seconds, times > most

    def worked(self, slot: Slot) -> None:
        """Something could be begun there."""
        self._failures.pop(slot, None)

    def forget_worker(self, worker: str) -> None:
        """It is gone; whoever joins under its name may be well."""
        for slots in (self._failures, self._until):
            for slot in [each for each in slots if each.worker == worker]:
                del slots[slot]

    @property
    def failing(self) -> set[str]:
        """Workers on which the last session that was to start did not."""
        return {slot.worker for slot in self._failures}

    def over(self, now: float, *, well: Collection[str]) -> list[Slot]:
        """Slots that may be tried again; all of them where nobody is well."""
        slots = [slot for slot, until in self._until.items() if until <= now or not well]
        for slot in slots:
            del self._until[slot]
        return slots

    @property
    def resting(self) -> Collection[Slot]:
        """Slots that are to be given nothing."""
        return self._until.keys()
