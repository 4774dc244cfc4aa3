"""The sessions of a simulated fleet: they run batches, are held up, die, and are heard late."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..dispatching.batches import Batch
from ..dispatching.durations import Durations
from ..records import Attempt, Case, Outcome, Usage, WorkerFacts
from .campaign import ROUND_TRIP_SECONDS, VirtualRun

# A session that starts anew imports pytest first.
SESSION_SECONDS = 0.3


@dataclass(slots=True, kw_only=True)
class SimulatedWorker:
    """One worker's life, and what holds it up."""

    facts: WorkerFacts
    alive: bool = True
    lives: int = 1
    # Seconds it was held up so far: what it was about to do comes so much later.
    lag: float = 0.0
    held_until: float = 0.0
    # Nothing it says arrives before, or each word so much later until then.
    unheard_until: float = 0.0
    heard_until: float = 0.0
    delay: float = 0.0
    delayed_until: float = 0.0
    # Its disk takes nothing.
    full_until: float = 0.0
    clock_offset: float = 0.0
    clock_until: float = 0.0
    loaded: set[str] = field(default_factory=set[str])


@dataclass(slots=True, kw_only=True)
class Flight:
    batch: Batch
    epoch: int
    worker: SimulatedWorker
    rest: list[Case]
    began: float = 0.0
    stopping: bool = False
    # Whatever it still does, nobody hears of it.
    dropped: bool = False
    # Its process is no more.
    dead: bool = False
    # Executed and not yet recorded, or under way.
    unrecorded: set[int] = field(default_factory=set[int])
    running: Case | None = None


class Sessions(VirtualRun):
    """A fleet on a virtual clock; who hears of it is a subclass."""

    def __init__(self, names: list[str], seconds: Mapping[int, float]) -> None:
        super().__init__(seconds=lambda case: seconds[case.index], durations=Durations())
        self._case_seconds = seconds
        self.workers = {name: SimulatedWorker(facts=facts_of(name, 1)) for name in names}
        self.executions = 0
        # Executions that something cut off, or that were repeated on purpose: may be wasted.
        self.excused = 0
        # What sessions work on, whether anybody listens or not.
        self._running: list[Flight] = []

    @abstractmethod
    def deliver(self, flight: Flight, hear: Callable[[], None]) -> None:
        """A word of a batch arrives."""

    @abstractmethod
    def hear_start(self, flight: Flight, case: Case) -> None: ...

    @abstractmethod
    def hear_done(self, case: Case, attempt: Attempt) -> None: ...

    @abstractmethod
    def hear_end(self, flight: Flight, *, died: bool) -> None: ...

    def start(self, batch: Batch, epoch: int) -> Flight:
        """A session gets a batch."""
        worker = self.workers[batch.slot.worker]
        flight = Flight(
            batch=batch,
            epoch=epoch,
            worker=worker,
            rest=list(batch.cases),
            dead=not worker.alive,
        )
        self._running.append(flight)
        begins = max(self.now + ROUND_TRIP_SECONDS, worker.held_until, worker.unheard_until)
        if not worker.loaded:
            begins += SESSION_SECONDS

        def begin() -> None:
            flight.began = self.now
            self._go_on(flight)

        self._then(flight, begins, begin)
        return flight

    def _go_on(self, flight: Flight) -> None:
        budget = flight.batch.budget_seconds
        over = budget is not None and flight.began < self.now - budget
        if not flight.rest or flight.stopping or over:
            self._running.remove(flight)
            self.say(flight, lambda: self.hear_end(flight, died=False))
            return
        worker = flight.worker
        if self.now < worker.full_until:
            # Nothing can be written down there: the session gives up.
            self.kill_flight(flight)
            self.say(flight, lambda: self.hear_end(flight, died=True))
            return
        case = flight.rest.pop(0)
        flight.running, started = case, self.now
        flight.unrecorded.add(case.index)
        worker.loaded.add(case.group)
        self.executions += 1
        # A second try beside a straggler, or one whose end nobody will hear, is not a waste.
        self.excused += flight.batch.hedge or flight.dropped
        self.say(flight, lambda: self.hear_start(flight, case))
        self._then(
            flight,
            self.now + self._case_seconds[case.index],
            lambda: self._finish(flight, case, started),
        )

    def _finish(self, flight: Flight, case: Case, started: float) -> None:
        flight.running = None
        worker = flight.worker
        attempt = self.attempt(flight, case, Outcome.PASSED, started)
        if self.now < worker.clock_until:
            attempt = replace(
                attempt,
                started=attempt.started + worker.clock_offset,
                finished=attempt.finished + worker.clock_offset,
            )

        def heard() -> None:
            flight.unrecorded.discard(case.index)
            self.hear_done(case, attempt)

        self.say(flight, heard)
        self._go_on(flight)

    def attempt(self, flight: Flight, case: Case, outcome: Outcome, started: float) -> Attempt:
        """An execution that ends now."""
        return Attempt(
            case=case.id,
            id=f"{flight.epoch}.{flight.batch.id}.{case.id}",
            outcome=outcome,
            started=started,
            finished=self.now,
            worker=flight.worker.facts.name,
            incarnation=flight.worker.facts.incarnation,
            batch=flight.batch.id,
            epoch=flight.epoch,
            usage=Usage(wall_seconds=self.now - started),
        )

    def kill_flight(self, flight: Flight) -> None:
        """Its process is no more; what it said before may still arrive."""
        flight.dead = True
        self.excused += len(flight.unrecorded)
        if flight in self._running:
            self._running.remove(flight)

    def flights_on(self, worker: SimulatedWorker) -> list[Flight]:
        """What its sessions work on."""
        return [each for each in self._running if each.worker is worker and not each.dead]

    def hold(self, worker: SimulatedWorker, seconds: float) -> None:
        """It does nothing for so long."""
        until = self.now + seconds
        worker.lag += max(0.0, until - max(self.now, worker.held_until))
        worker.held_until = max(worker.held_until, until)

    def _then(self, flight: Flight, when: float, happen: Callable[[], None]) -> None:
        """Have a session do something then, or later by as much as it is held up until then."""
        worker, lag = flight.worker, flight.worker.lag

        def fire() -> None:
            late = worker.lag - lag
            if flight.dead:
                return
            if late > 0:
                self._then(flight, self.now + late, happen)
            else:
                happen()

        self.at(when, fire)

    def say(self, flight: Flight, hear: Callable[[], None]) -> None:
        """Have the campaign hear something of a batch: now, later, or never."""
        worker = flight.worker
        delay = worker.delay if self.now < worker.delayed_until else 0.0
        # Words arrive in the order in which they were said.
        worker.heard_until = max(self.now + delay, worker.unheard_until, worker.heard_until)
        self.at(worker.heard_until, lambda: self.deliver(flight, hear))


def facts_of(name: str, life: int) -> WorkerFacts:
    """A worker in its how-manieth life."""
    return WorkerFacts(
        name=name,
        incarnation=f"{name}-{life}",
        worker_class="cpu",
        slots=1,
        cpu=1.0,
        memory_bytes=1 << 30,
    )
