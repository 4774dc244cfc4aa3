"""The dispatcher on a virtual clock with simulated workers.

The same code that runs campaigns, fed with invented time: for `proctor run --plan`, for tests of
the dispatcher, and for questions about fleets nobody has yet.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from ..dispatching.batches import Batch, Command, Rules, Send
from ..dispatching.dispatcher import Dispatcher
from ..dispatching.durations import Durations
from ..records import Attempt, Case, Outcome, Usage, WorkerFacts

# Sending a batch and hearing of its end: what a round trip through Dask costs.
ROUND_TRIP_SECONDS = 0.011
# The dispatcher's shell asks it again at least so often.
TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where and when one execution happened."""

    case: Case
    worker: str
    slot: int
    started: float
    finished: float
    why: str


@dataclass(slots=True, kw_only=True)
class Simulation:
    """What a simulated campaign did."""

    makespan: float = 0.0
    placements: list[Placement] = field(default_factory=list[Placement])
    batches: int = 0


def lower_bound(seconds: Iterable[float], slots: int) -> float:
    """No schedule is shorter: the longest case, or all work spread evenly."""
    longest = total = 0.0
    for each in seconds:
        longest = max(longest, each)
        total += each
    return max(longest, total / max(1, slots))


def simulate(
    cases: Sequence[Case],
    workers: Sequence[WorkerFacts],
    *,
    seconds: Callable[[Case], float],
    durations: Durations,
    rules: Rules | None = None,
    warm_up: Callable[[str], float] = lambda group: 0.0,
    outcome: Callable[[Case, int], Outcome] = lambda case, attempt: Outcome.PASSED,
    speed: Callable[[str], float] = lambda worker: 1.0,
) -> Simulation:
    """Run the cases to their end; `seconds` is the truth, `durations` what is believed."""
    run = VirtualRun(
        seconds=seconds,
        durations=durations,
        rules=rules,
        warm_up=warm_up,
        outcome=outcome,
        speed=speed,
    )
    for worker in workers:
        run.dispatcher.worker_joined(worker)
    run.dispatcher.add_cases(cases, 0.0)
    return run.to_the_end()


class VirtualRun:
    """A dispatcher whose batches run on a virtual clock."""

    def __init__(
        self,
        *,
        seconds: Callable[[Case], float],
        durations: Durations,
        rules: Rules | None = None,
        warm_up: Callable[[str], float] = lambda group: 0.0,
        outcome: Callable[[Case, int], Outcome] = lambda case, attempt: Outcome.PASSED,
        speed: Callable[[str], float] = lambda worker: 1.0,
    ) -> None:
        self._seconds, self._warm_up, self._outcome, self._speed = seconds, warm_up, outcome, speed
        self.dispatcher = Dispatcher(rules=rules or Rules(), durations=durations)
        self.dispatcher.loading.whole_suite_is_known = True
        self.now = 0.0
        # By worker: how many batches it runs.
        self.busy: dict[str, int] = {}
        self._result = Simulation()
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ready: dict[tuple[str, int], set[str]] = {}
        # What slots have loaded before they needed it: the fixtures of those files come later.
        self._loaded: dict[tuple[str, int], set[str]] = {}
        self._attempts: dict[int, int] = {}
        # Batches that begin no further case.
        self._ending: set[str] = set()
        # Whether something happened that may let a batch go, and when that was last looked at.
        self._stirred = True
        self._decided = 0.0

    def to_the_end(self) -> Simulation:
        self._act()
        while not self.is_over():
            if not self._events:
                raise RuntimeError("the dispatcher waits for something that will not happen")
            self.now, _, happen = heapq.heappop(self._events)
            happen()
            self._act()
        self._result.makespan = max(
            (placement.finished for placement in self._result.placements), default=0.0
        )
        return self._result

    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.dispatcher.done

    def stir(self) -> None:
        """Something changed that may let a batch go."""
        self._stirred = True

    def before_deciding(self) -> None:
        """For those who hold cases back."""

    def batch_over(self, worker: str) -> None:
        """A worker has one batch less; for those who wait for it to be idle."""

    def case_began(self, case: Case, worker: str) -> None:
        """A worker begins a case now; for those who watch."""

    def case_over(self, case: Case, worker: str) -> None:
        """A worker is done with a case now."""

    def at(self, when: float, happen: Callable[[], None]) -> None:
        """Have something happen then."""
        heapq.heappush(self._events, (when, next(self._order), happen))

    def _act(self) -> None:
        # A thousand workers start and finish cases all the time: most of it frees no slot.
        if not self._stirred and self.now < self._decided + TICK_SECONDS and self._events:
            return
        self._stirred, self._decided = False, self.now
        self.before_deciding()
        if self.dispatcher.done:
            return
        self._obey(self.dispatcher.decide(self.now))
        if not self._events:
            self.at(self.now + TICK_SECONDS, lambda: None)

    def _obey(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Send):
                self._result.batches += 1
                self._begin(command.batch)
            else:
                self._ending.add(command.batch.id)

    def _begin(self, batch: Batch) -> None:
        slot = (batch.slot.worker, batch.slot.number)
        self.busy[batch.slot.worker] = self.busy.get(batch.slot.worker, 0) + 1
        ready = self._ready.setdefault(slot, set())
        clock = self.now + ROUND_TRIP_SECONDS
        loaded = self._loaded.setdefault(slot, set())
        clock += sum(self._load_seconds(each) for each in batch.files.ahead if each not in ready)
        loaded.update(batch.files.ahead)
        self._next(batch, list(batch.cases), clock, clock, ready)

    def _next(
        self, batch: Batch, rest: list[Case], began: float, clock: float, ready: set[str]
    ) -> None:
        over_budget = batch.budget_seconds is not None and clock - began >= batch.budget_seconds
        if not rest or (over_budget and clock > began) or batch.id in self._ending:
            self.at(clock, lambda: self._end(batch))
            return
        case, rest = rest[0], rest[1:]
        if case.group not in ready:
            ready.add(case.group)
            done = case.group in self._loaded[batch.slot]
            spared = self._load_seconds(case.group) if done else 0.0
            clock += max(0.0, self._warm_up(case.group) - spared)
        finish = clock + self._seconds(case) / self._speed(batch.slot.worker)

        def started() -> None:
            self.dispatcher.started(batch.id, case, clock)
            self.case_began(case, batch.slot.worker)

        def finished() -> None:
            self._record(batch, case, clock, finish)
            self.case_over(case, batch.slot.worker)
            self._next(batch, rest, began, finish, ready)

        self.at(clock, started)
        self.at(finish, finished)

    def _load_seconds(self, group: str) -> float:
        return self.dispatcher.durations.load_seconds(group) or 0.0

    def _record(self, batch: Batch, case: Case, started: float, finished: float) -> None:
        number = self._attempts[case.index] = self._attempts.get(case.index, 0) + 1
        self._result.placements.append(
            Placement(
                case=case,
                worker=batch.slot.worker,
                slot=batch.slot.number,
                started=started,
                finished=finished,
                why=batch.why,
            )
        )
        attempt = Attempt(
            case=case.id,
            id=f"{batch.id}/{case.index}",
            outcome=self._outcome(case, number),
            started=started,
            finished=finished,
            batch=batch.id,
            usage=Usage(wall_seconds=finished - started),
        )
        self._stirred |= not attempt.outcome.is_good
        self._obey(self.dispatcher.finished(case, attempt))

    def _end(self, batch: Batch) -> None:
        self._stirred = True
        self.busy[batch.slot.worker] -= 1
        self.dispatcher.batch_ended(batch.id)
        self.batch_over(batch.slot.worker)
