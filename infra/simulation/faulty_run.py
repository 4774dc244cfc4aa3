"""A campaign on a virtual clock whose fleet suffers a schedule of faults.

The dispatcher is the one that runs campaigns. Around it stands what a campaign does with its
facts: a loss is noticed after a while, what a lost worker still says no longer counts, and a
killed campaign goes on from what was committed.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence

from ..dispatching.batches import Batch, Cancel, Command, Rules, Send, Stop
from ..dispatching.dispatcher import Dispatcher
from ..dispatching.durations import Durations
from ..engine.attempts import lost_attempt, most_excused
from ..engine.patience import SILENCE_SECONDS
from ..faults.experiment import FaultStep, read_limits
from ..faults.schedule import FaultSchedule
from ..records import Attempt, Case, Outcome
from .campaign import TICK_SECONDS
from .limits import LimitsWatch
from .sessions import Flight, Sessions, SimulatedWorker, facts_of

# What was measured on real fleets: until a death is told, and until the dead is back.
NOTICED_SECONDS = 0.5
RESTARTED_SECONDS = 2.0
RESUMED_SECONDS = 2.0
# How soon a fault that finds no target looks again.
LOOK_SECONDS = 0.05

MakeDispatcher = Callable[[Rules, Durations], Dispatcher]
# Lets a fault act on a run; False when it finds no target now.
Suffer = Callable[["FaultyRun", FaultStep], bool]


class FaultyRun(Sessions):
    """A campaign on a virtual clock whose fleet suffers a schedule."""

    def __init__(self, schedule: FaultSchedule, dispatcher: MakeDispatcher, suffer: Suffer) -> None:
        chance = random.Random(schedule.seed)
        stage = schedule.stage
        self.cases = [
            Case(id=f"test_{file}.py::test_case[{n}]", group=f"test_{file}.py", index=index)
            for index, (file, n) in enumerate(
                (file, n) for file in range(stage.files) for n in range(stage.cases_in_file)
            )
        ]
        seconds = {
            case.index: stage.case_seconds * (0.8 + 0.4 * chance.random()) for case in self.cases
        }
        super().__init__([f"cpu-{number}" for number in range(1, stage.workers + 1)], seconds)
        self._make = dispatcher
        self._suffer = suffer
        self.schedule = schedule
        self.flights: dict[str, Flight] = {}
        self.history: list[str] = []
        self.epoch = 0
        # The campaign is not there, or hears and does nothing before.
        self.away = True
        self.deaf_until = 0.0
        self.attempts: dict[str, list[Attempt]] = {}
        self._commits = 0
        self.injected: list[FaultStep] = []
        # Sentences on the others.
        self.left_out: list[str] = []
        # Whose turn it is.
        self._turn = 0
        self._killed: Counter[int] = Counter()
        self.problems: list[str] = []
        self.limits = LimitsWatch(read_limits(schedule.limits))
        # Those the campaign counts on, with their incarnations.
        self._known: dict[str, str] = {}

    def play(self) -> None:
        """To the end, or until it is clear that there will be none."""
        self._begin_campaign()
        self._inject_due()
        self._tick()
        self._act()
        while not self.is_over() and self.now <= self.schedule.deadline:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
            self._act()
        self.limits.ended(self.now)
        self._leave_out_rest()

    def is_over(self) -> bool:
        return not self.away and self.dispatcher.done

    def tell(self, what: str) -> None:
        """A line of the history."""
        self.history.append(f"{self.now:.6f} {what}")

    # The campaign ---------------------------------------------------------------------------

    def _begin_campaign(self) -> None:
        """The first time or again: from what was committed."""
        self.epoch += 1
        self.away = False
        self._known = {}
        # Its process knew of whom a session was killed; the next one does not.
        self._killed.clear()
        self.dispatcher = self._make(Rules(), Durations())
        self.tell(f"campaign begins, epoch {self.epoch}")
        for worker in self.workers.values():
            if worker.alive:
                self._join(worker)
        self.dispatcher.add_cases(self.cases, self.now, past=self.attempts)

    def lose_campaign(self, back_after: float) -> None:
        """Its process dies: what nobody has committed is lost, and somebody resumes it."""
        if self.away:
            return
        self.away = True
        self.tell("campaign dies")
        self.limits.ended(self.now)
        for flight in list(self.flights.values()):
            self._drop(flight)
            self.kill_flight(flight)
        self.at(self.now + max(RESUMED_SECONDS, back_after), self._begin_campaign)

    def _act(self) -> None:
        if not self.away and self.now >= self.deaf_until:
            self._obey(self.dispatcher.decide(self.now))

    def _tick(self) -> None:
        # A campaign looks around at least so often, whether anything happens or not.
        self.at(self.now + TICK_SECONDS, self._tick)

    def _obey(self, commands: Sequence[Command]) -> None:
        for command in commands:
            flight = self.flights.get(command.batch.id)
            match command:
                case Send():
                    self.limits.sent(command.batch, self.now)
                    self._begin(command.batch)
                case Stop() if flight is not None:
                    # What it has done and not told of is done again elsewhere.
                    self.excused += len(flight.unrecorded)
                    flight.stopping = True
                case Cancel() if flight is not None:
                    self.excused += len(flight.unrecorded)
                    flight.dead = True
                    self.say(flight, lambda flight=flight: self.hear_end(flight, died=True))
                case _:
                    pass

    def hear_done(self, case: Case, attempt: Attempt) -> None:
        self.attempts.setdefault(case.id, []).append(attempt)
        self._commits += 1
        if attempt.outcome is not Outcome.INFRA_LOST:
            self.limits.settled(case.id)
        elif self._losses(case) <= Rules().infra_retries:
            self.limits.lost(case.id, self.now)
        self.tell(f"commit {attempt.id} {attempt.outcome} on {attempt.worker}")
        # A fault that is due comes after what is being heard now.
        self.at(self.now, self._inject_due)
        self._obey(self.dispatcher.finished(case, attempt))

    def _losses(self, case: Case) -> int:
        return sum(each.outcome is Outcome.INFRA_LOST for each in self.attempts[case.id])

    def _lose(self, lost: Sequence[tuple[Batch, Case]], why: str) -> None:
        for batch, case in lost:
            worker = self.workers[batch.slot.worker]
            self.hear_done(
                case,
                lost_attempt(
                    batch,
                    case,
                    epoch=self.epoch,
                    incarnation=worker.facts.incarnation,
                    started=self.now,
                    now=self.now,
                    why=why,
                ),
            )

    # Workers --------------------------------------------------------------------------------

    def kill(self, worker: SimulatedWorker, back_after: float = 0.0) -> None:
        """It dies; that is noticed, and it is back under its name."""
        if not worker.alive:
            return
        worker.alive = False
        incarnation = worker.facts.incarnation
        for flight in self.flights_on(worker):
            self.kill_flight(flight)
        self.at(self.now + NOTICED_SECONDS, lambda: self._leave(worker, incarnation, "it died"))
        self.at(self.now + max(RESTARTED_SECONDS, back_after), lambda: self._come_back(worker))

    def kill_session(self, worker: SimulatedWorker) -> None:
        """The process that runs its cases dies; nobody knows whether the case did it."""
        worker.loaded.clear()
        for flight in self.flights_on(worker):
            self.kill_flight(flight)
            self.say(flight, lambda flight=flight: self._hear_of_death(flight))

    def silence(self, worker: SimulatedWorker, seconds: float) -> None:
        """Nothing of it is heard for so long; after a while it is taken for lost."""
        worker.unheard_until = max(worker.unheard_until, self.now + seconds)
        if seconds <= SILENCE_SECONDS:
            return
        incarnation = worker.facts.incarnation
        self.at(
            self.now + SILENCE_SECONDS, lambda: self._leave(worker, incarnation, "it said nothing")
        )
        self.at(worker.unheard_until, lambda: self._heard_again(worker, incarnation))

    def _heard_again(self, worker: SimulatedWorker, incarnation: str) -> None:
        if worker.alive and worker.facts.incarnation == incarnation:
            for flight in self.flights_on(worker):
                self.kill_flight(flight)
            self._join(worker)

    def _leave(self, worker: SimulatedWorker, incarnation: str, why: str) -> None:
        name = worker.facts.name
        if self.away or self._known.get(name) != incarnation:
            return
        del self._known[name]
        self.tell(f"worker {name} is lost: {why}")
        self.limits.given_up(name, self.now)
        for flight in list(self.flights.values()):
            if flight.batch.slot.worker == name:
                self._drop(flight)
        self._lose(self.dispatcher.worker_lost(name), f"worker {name} died: {why}")

    def _come_back(self, worker: SimulatedWorker) -> None:
        worker.lives += 1
        worker.alive = True
        worker.loaded = set()
        worker.facts = facts_of(worker.facts.name, worker.lives)
        self._join(worker)

    def _join(self, worker: SimulatedWorker) -> None:
        name = worker.facts.name
        if not self.away and name not in self._known:
            self._known[name] = worker.facts.incarnation
            self.tell(f"worker {name} joins as {worker.facts.incarnation}")
            self.dispatcher.worker_joined(worker.facts)

    # Batches --------------------------------------------------------------------------------

    def _begin(self, batch: Batch) -> None:
        if any(each.batch.slot == batch.slot for each in self.flights.values()):
            self.problems.append(f"{batch.id} was sent to {batch.slot}, which was taken")
        if batch.slot.worker not in self._known:
            self.problems.append(f"{batch.id} was sent to {batch.slot.worker}, which is lost")
        self.tell(f"batch {batch.id} of {len(batch.cases)} to {batch.slot.worker}")
        self.flights[batch.id] = self.start(batch, self.epoch)

    def hear_start(self, flight: Flight, case: Case) -> None:
        self.dispatcher.started(flight.batch.id, case, self.now)

    def _hear_of_death(self, flight: Flight) -> None:
        case = flight.running
        if case is not None:
            excused = self._killed[case.index] < most_excused(Rules().infra_retries)
            outcome = Outcome.INFRA_LOST if excused else Outcome.CRASHED
            self._killed[case.index] += 1
            self.hear_done(case, self.attempt(flight, case, outcome, self.now))
        self.hear_end(flight, died=True)

    def hear_end(self, flight: Flight, *, died: bool) -> None:
        self.flights.pop(flight.batch.id, None)
        lost = self.dispatcher.batch_ended(flight.batch.id, died=died)
        self._lose(lost, "its batch ended without a word of it")

    def _drop(self, flight: Flight) -> None:
        """Nobody listens to it any more."""
        flight.dropped = True
        if not flight.dead:
            self.excused += len(flight.unrecorded)
        self.flights.pop(flight.batch.id, None)

    def deliver(self, flight: Flight, hear: Callable[[], None]) -> None:
        if flight.dropped or flight.epoch != self.epoch or self.away:
            self.tell(f"a word of {flight.epoch}.{flight.batch.id} no longer counts")
        elif self.now < self.deaf_until:
            self.at(self.deaf_until, lambda: self.deliver(flight, hear))
        else:
            hear()

    # Faults ---------------------------------------------------------------------------------

    def _inject_due(self) -> None:
        while self._turn < len(self.schedule.faults) and not self.is_over():
            fault = self.schedule.faults[self._turn]
            at, after = fault.trigger.at, fault.trigger.after
            if at is not None and self.now < at:
                self.at(at, self._inject_due)
                return
            if after is not None and self._commits < after:
                return
            if not self._suffer(self, fault):
                self.at(self.now + LOOK_SECONDS, self._inject_due)
                return
            self._turn += 1

    def strike(self, fault: FaultStep, workers: Sequence[SimulatedWorker]) -> None:
        """A fault is about to act on them: those the campaign has given work are to be missed."""
        if self.away:
            return
        busy = {flight.batch.slot.worker for flight in self.flights.values()}
        for name in (worker.facts.name for worker in workers):
            if name in busy and name in self._known:
                self.limits.struck(fault, name, self.now)

    def leave_out(self, fault: FaultStep, why: str) -> None:
        """Say why a fault was not injected."""
        self.left_out.append(f"{fault.name} was not injected: {why}")

    def _leave_out_rest(self) -> None:
        for fault in self.schedule.faults[self._turn :]:
            first = fault is self.schedule.faults[self._turn]
            self.leave_out(
                fault, self._why_not(fault) if first else "the one before it was not either"
            )

    def _why_not(self, fault: FaultStep) -> str:
        at, after = fault.trigger.at, fault.trigger.after
        if at is not None and self.now < at:
            return f"it was due at {at:g} s, and the campaign was over after {self.now:.1f} s"
        if after is not None and self._commits <= after:
            return f"it was due after {after} commits, and there were {self._commits} in all"
        return f"there was no {fault.selector} when its turn came"
