"""What is told of slots and their sessions beside batches: taken, starting, ready, warm or cold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .batches import Slot
from .filling import Filling
from .state import WorkerState
from .urgent import Urgent


class Slots:
    """Keeps it with the workers, for whoever chooses a slot for a batch."""

    def __init__(
        self, workers: Mapping[str, WorkerState], *, filling: Filling, urgent: Urgent
    ) -> None:
        self._workers = workers
        self._filling = filling
        self._urgent = urgent

    def occupy(self, slot: Slot) -> None:
        """Something other than a batch uses the slot."""
        self._workers[slot.worker].occupied.add(slot.number)

    def vacate(self, slot: Slot, *, loaded: Iterable[str] = ()) -> None:
        """The slot is free again, and its session may have loaded groups meanwhile."""
        worker = self._workers.get(slot.worker)
        if worker is not None:
            worker.occupied.discard(slot.number)
            self._filling.freed(worker)
            worker.loaded.setdefault(slot.number, set()).update(loaded)

    def starting(self, slot: Slot, now: float) -> None:
        """The slot's session is being started."""
        self._workers[slot.worker].starting[slot.number] = now

    def ready(self, slot: Slot, incarnation: str, now: float) -> None:
        """It has started, or nobody starts it any more."""
        worker = self._workers.get(slot.worker)
        if worker is None or worker.facts.incarnation != incarnation:
            return
        since = worker.starting.pop(slot.number, None)
        if since is not None:
            self._urgent.started(now - since)

    def works(self, slot: Slot) -> None:
        """Its session has begun a case: it is there."""
        worker = self._workers[slot.worker]
        worker.starting.pop(slot.number, None)
        worker.cold.pop(slot.number, None)

    def died(self, slot: Slot) -> None:
        """Its session is gone with all that it had loaded: the next one starts cold."""
        worker = self._workers.get(slot.worker)
        if worker is not None:
            worker.loaded.pop(slot.number, None)
            worker.cold[slot.number] = None
