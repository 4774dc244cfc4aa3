"""Machines that are short of memory: nothing new is sent there for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..dispatching.batches import Slot
from ..records import WorkerFacts

# What a worker answers that begins nothing new, and when it is asked again.
REASON = "memory"
RETRY_SECONDS = 2.0
# Who refuses again within this is still short, and nobody has to be told again.
SAME_SECONDS = 10.0


@dataclass(slots=True)
class Shortages:
    """Slots that are kept empty, and until when."""

    _kept: dict[Slot, float] = field(default_factory=dict[Slot, float])
    _told: dict[str, float] = field(default_factory=dict[str, float])

    def refused(
        self, worker: str, workers: Mapping[str, WorkerFacts], now: float
    ) -> tuple[list[Slot], bool]:
        """The slots to keep empty: all of its machine; and whether this is news."""
        facts = workers.get(worker)
        if facts is None:
            return [], False
        slots = [
            Slot(each.name, number)
            for each in workers.values()
            # A machine that nobody looked at is the worker's own.
            if each.name == worker or (each.place and each.place == facts.place)
            for number in range(each.slots)
        ]
        self._kept.update(dict.fromkeys(slots, now + RETRY_SECONDS))
        machine = facts.place or worker
        is_news = now - self._told.get(machine, float("-inf")) > SAME_SECONDS
        self._told[machine] = now
        return slots, is_news

    def over(self, now: float) -> list[Slot]:
        """The slots that may be tried again."""
        slots = [slot for slot, until in self._kept.items() if until <= now]
        for slot in slots:
            del self._kept[slot]
        return slots
