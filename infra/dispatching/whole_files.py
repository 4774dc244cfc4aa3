"""Files that stay whole: each goes to one slot, in one piece and in its order.

For suites whose cases lean on those before them in their file, as `--dist loadfile` has it. The
largest files go first. A file belongs to the slot that began it, retries too, for as long as its
worker is there and the slot takes batches; only what is left then goes elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from ..records import Case, Requirements
from .batches import Slot
from .choosing import Choice, not_begun
from .lanes import Lane
from .state import WorkerState


class WholeFiles:
    """Chooses files for slots; stands in for the chooser of suites that may be split."""

    def __init__(self, workers: Mapping[str, WorkerState]) -> None:
        self._workers = workers
        # By what its cases need and the file: the slot that began it, and which life of its worker.
        self._homes: dict[tuple[Requirements, str], tuple[Slot, str]] = {}

    def fleet_changed(self) -> None:
        """Homes are looked at when they are asked for."""

    def choose(
        self, lane: Lane, slot: Slot, worker: WorkerState, now: float = 0.0
    ) -> Choice | None:
        """A file for a free slot; None when all that waits belongs to others."""
        del now
        for case in lane.solo:
            if self._home(lane.needs, case.group) in (None, slot):
                lane.discard(case)
                return Choice([case], None, "it runs alone: it was lost or failed before")
        free: list[str] = []
        for group in lane.begun_groups():
            home = self._home(lane.needs, group.name)
            if home == slot:
                # More than one batch may hold, or found since it was sent.
                return self._take(lane, group.name, slot, worker, "the rest of its file")
            if home is None:
                free.append(group.name)
        fresh = lane.largest_untouched()
        if fresh is not None:
            free.insert(0, fresh.name)
        if not free:
            return None
        first = next(iter(lane.groups[free[0]].waiting.values()))
        return self._take(lane, free[0], slot, worker, f"{not_begun(first)}; it stays whole")

    def would_take(self, lane: Lane, worker: WorkerState, now: float) -> bool:
        """Whether the lane has anything that is not another worker's."""
        del now
        if lane.largest_untouched() is not None:
            return True
        names = {group.name for group in lane.begun_groups()} | {case.group for case in lane.solo}
        homes = (self._home(lane.needs, name) for name in names)
        return any(home is None or home.worker == worker.facts.name for home in homes)

    def _take(self, lane: Lane, name: str, slot: Slot, worker: WorkerState, why: str) -> Choice:
        self._homes[lane.needs, name] = (slot, worker.facts.incarnation)
        worker.warm[slot.number] = name
        cases: list[Case] = lane.take_front(lane.groups[name], inf)
        return Choice(cases, None, why)

    def _home(self, needs: Requirements, name: str) -> Slot | None:
        slot, life = self._homes.get((needs, name), (None, ""))
        worker = self._workers.get(slot.worker) if slot is not None else None
        if slot is None or worker is None or worker.draining or worker.facts.incarnation != life:
            return None
        # Kept empty, for want of memory or of a session that starts: nobody knows for how long.
        return None if slot.number in worker.occupied else slot
