"""Which free slot is filled next, and from which lane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..records import Requirements
from .balance import Balance
from .batches import Batch, Files, Move, Slot
from .choosing import Choice, Chooser
from .lanes import Lane
from .loading import Loading
from .state import WorkerState
from .stragglers import Idle
from .urgent import Urgent

# A wide case that free slots have passed over for so long gets a worker held for it.
AGEING_SECONDS = 5.0


class Filled(NamedTuple):
    """Cases that a slot is to get now."""

    slot: Slot
    worker: WorkerState
    lane: Lane
    choice: Choice
    files: Files

    def batch(self, name: str, moves: tuple[Move, ...]) -> Batch:
        """The batch of that name that they go in."""
        groups = self.lane.groups
        finishes = tuple(
            name
            for name in sorted({case.group for case in self.choice.cases})
            if not (name in groups and groups[name].waiting)
        )
        return Batch(
            id=name,
            slot=self.slot,
            cases=tuple(self.choice.cases),
            budget_seconds=self.choice.budget_seconds,
            finishes=finishes,
            why=self.choice.why,
            files=self.files,
            moves=moves,
        )


class Filling:
    """Goes through slots and lanes; who sends the batches keeps the books."""

    def __init__(
        self,
        workers: Mapping[str, WorkerState],
        lanes: Mapping[Requirements, Lane],
        *,
        balance: Balance,
        chooser: Chooser,
        urgent: Urgent,
        loading: Loading,
    ) -> None:
        self._workers = workers
        self._lanes = lanes
        self._balance = balance
        self._chooser = chooser
        self._urgent = urgent
        self._loading = loading
        # Workers that may have a free slot: a thousand busy ones are not looked at each time.
        self._open: dict[str, WorkerState] = {}

    def freed(self, worker: WorkerState) -> None:
        """It may have a free slot now."""
        self._open[worker.facts.name] = worker

    def gone(self, name: str) -> None:
        """Its slots are as gone as itself."""
        self._open.pop(name, None)

    def idle(self) -> list[Idle]:
        """All that is left free, in the order in which it is to be used."""
        return [
            (Slot(name, number), worker)
            for name, worker in self._in_order()
            if not worker.draining
            for number in worker.free_slots()
        ]

    def hold_for_aged_lanes(self, now: float) -> None:
        """Keep a worker free for a lane that nobody had room for, however small the rest is.

        Only where a free slot has too little beside it: whoever merely waits for a slot gets the
        next one, and keeping a scarce worker for it would cost those who need that worker.
        """
        for lane in self._lanes.values():
            lost = self._urgent.needs_worker(lane)
            if not lane or not (lost or now - lane.served_at >= AGEING_SECONDS):
                continue
            # Kept for a case that had better wait for a faster worker, a slow one would only idle.
            able = [
                worker
                for worker in self._workers.values()
                if worker.can_ever(lane.needs)
                and not worker.draining
                and self._chooser.would_take(lane, worker, now)
            ]
            if any(w.can_now(lane.needs) or w.held_for == lane.needs for w in able):
                continue
            if not (lost or any(w.free_slots() for w in able)):
                continue
            free = [w for w in able if w.held_for is None]
            if free:
                min(free, key=lambda w: len(w.flights)).held_for = lane.needs

    def fill(self, now: float) -> Iterator[Filled]:
        """What each free slot is to get; it is sent before the next one is asked for."""
        for name, worker in self._in_order():
            free = worker.free_slots()
            if not free:
                del self._open[name]
            for number in free:
                found = self._fill(Slot(name, number), worker, now)
                # Another slot of the worker may be warm for what this one had better leave alone.
                if found is not None:
                    yield found

    def _in_order(self) -> list[tuple[str, WorkerState]]:
        """Workers that may have a free slot: the fastest first, then by when they joined."""
        return sorted(
            self._open.items(), key=lambda each: (self._balance.rank(each[0]), each[1].joined)
        )

    def _fill(self, slot: Slot, worker: WorkerState, now: float) -> Filled | None:
        if worker.held_for is not None and not self._lanes[worker.held_for]:
            # Others served it meanwhile: who is kept for it would be kept for ever.
            worker.held_for = None
        # The most demanding lane that fits comes first: nobody else can serve it.
        lanes = sorted(
            (lane for lane in self._lanes.values() if lane and worker.can_now(lane.needs)),
            key=lambda lane: (self._urgent.is_next_of(lane), _demand(lane.needs)),
            reverse=True,
        )
        if worker.held_for is not None:
            lanes = [lane for lane in lanes if lane.needs == worker.held_for]
        for lane in lanes:
            if self._urgent.is_to_wait(lane, worker, slot.number, now):
                continue
            choice = self._chooser.choose(lane, slot, worker, now)
            if choice is not None:
                lane.served_at = now
                worker.held_for = None
                return Filled(slot, worker, lane, choice, self._loading.files(lane, slot, worker))
        if worker.held_for is not None and lanes:
            # It has the room by now, and somebody else is to have the case.
            worker.held_for = None
            return self._fill(slot, worker, now)
        return None


def _demand(needs: Requirements) -> tuple[float, int, float, float]:
    return (needs.gpu, len(needs.tags), float(needs.memory_bytes), needs.cpu)
