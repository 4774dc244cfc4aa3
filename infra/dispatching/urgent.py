"""What was lost goes before all else: it waits only where nobody could begin it sooner.

A batch runs for seconds and a session starts for seconds, so what a dead worker leaves behind is
not simply put in line: the batch ends whose current case is over soonest, and a slot whose session
only starts is not given what another could begin meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..records import Case
from .durations import Durations
from .lanes import Lane
from .state import Flight, WorkerState

# What a session takes to start, until one was seen to.
STARTING_SECONDS = 1.5
# A start that takes longer than others did may take as long again as this.
LEAST_SECONDS = 0.1
# Whatever became of a start by then, its slot is given what there is.
MOST_SECONDS = 60.0
# A hundred losses at once are not matched with a thousand slots at every message.
LOOK_SECONDS = 0.02


class _Room(NamedTuple):
    """Where and when something could begin; without a flight the slot is free."""

    seconds: float
    worker: str
    flight: Flight | None = None


class Urgent:
    """Knows which waiting cases were lost, and what has to end for them."""

    def __init__(self, workers: Mapping[str, WorkerState], durations: Durations) -> None:
        self._workers = workers
        self._durations = durations
        self._lost: dict[int, Case] = {}
        self._start_seconds = STARTING_SECONDS
        self._due = float("-inf")

    def __bool__(self) -> bool:
        return bool(self._lost)

    def add(self, case: Case) -> None:
        """A case was lost, and waits again."""
        self._lost[case.index] = case
        self._due = float("-inf")

    def is_next_of(self, lane: Lane) -> bool:
        """Whether what the lane gives next was lost."""
        return bool(self._lost) and bool(lane.solo) and lane.solo[0].index in self._lost

    def needs_worker(self, lane: Lane) -> bool:
        """Whether what the lane gives next was lost, and no single batch's end is room for it."""
        if not self.is_next_of(lane):
            return False
        return not any(
            worker.can_after(flight.batch.cases[0].needs, lane.needs)
            for worker in self._workers.values()
            if not worker.draining
            for flight in worker.flights.values()
        )

    def is_to_wait(self, lane: Lane, worker: WorkerState, number: int, now: float) -> bool:
        """Whether a slot whose session starts is not given what the lane has next.

        Somebody may be able to begin it sooner, and held there it could not be had back.
        """
        if not self.is_next_of(lane):
            return False
        since = worker.starting.get(number)
        if since is not None:
            return now - since < MOST_SECONDS
        return number in worker.cold and self._is_better_elsewhere(
            lane.solo[0], worker, number, now
        )

    def _is_better_elsewhere(
        self, case: Case, worker: WorkerState, number: int, now: float
    ) -> bool:
        """Whether somebody begins it before a session that died could be there again."""
        since = worker.cold[number]
        if since is None:
            since = worker.cold[number] = now
        if now - since > self._start_seconds:
            return False
        rooms = (room for room in self._rooms(now) if room.seconds < self._start_seconds)
        return any(self._fits(room, case) for room in rooms)

    def started(self, seconds: float) -> None:
        """A session took so long to start: the next one will, too."""
        self._start_seconds = seconds

    def to_end(self, lanes: Iterable[Lane], now: float) -> list[Flight]:
        """The batches that are to end after their current cases, so that all can begin."""
        if not self._lost or now < self._due:
            return []
        self._due = now + LOOK_SECONDS
        waiting = {case.index for lane in lanes for case in lane.solo}
        self._lost = {index: case for index, case in self._lost.items() if index in waiting}
        rooms = sorted(self._rooms(now), key=lambda room: room.seconds) if self._lost else []
        ending: list[Flight] = []
        for case in self._lost.values():
            room = next((each for each in rooms if self._fits(each, case)), None)
            if room is None:
                continue
            rooms.remove(room)
            # A batch of one case ends by itself.
            if room.flight and not room.flight.stopping and len(room.flight.open) > 1:
                ending.append(room.flight)
        return ending

    def _rooms(self, now: float) -> Iterable[_Room]:
        for name, worker in self._workers.items():
            if worker.draining:
                continue
            for number in worker.free_slots():
                yield _Room(self._until_started(worker, number, now), name)
            for number, flight in worker.flights.items():
                if not flight.batch.hedge:
                    starts = self._until_started(worker, number, now)
                    yield _Room(starts + self._until_next(flight, now), name, flight)

    def _fits(self, room: _Room, case: Case) -> bool:
        worker = self._workers[room.worker]
        if room.flight is None:
            return worker.held_for in (None, case.needs) and worker.can_now(case.needs)
        if worker.held_for is not None:
            # Its batches end one after the other, until there is room for what it is held for.
            return worker.held_for == case.needs
        return worker.can_after(room.flight.batch.cases[0].needs, case.needs)

    def _until_started(self, worker: WorkerState, number: int, now: float) -> float:
        since = worker.starting.get(number)
        if since is None:
            return self._start_seconds if number in worker.cold else 0.0
        return max(LEAST_SECONDS, self._start_seconds - (now - since))

    def _until_next(self, flight: Flight, now: float) -> float:
        """Until the batch has finished a case, about."""
        worker = flight.batch.slot.worker
        if flight.running is None:
            # It ends, or is about to begin the next: the word of that is on its way.
            return (
                self._durations.on(worker, next(iter(flight.open.values()))) if flight.open else 0.0
            )
        case = flight.open[flight.running]
        left = self._durations.on(worker, case) - (now - flight.running_since)
        # What takes longer than foreseen may well take as long again.
        return abs(left)
