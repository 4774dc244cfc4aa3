"""A fleet that grows and shrinks, on a virtual clock.

The dispatcher and the scaling policy as they are, with campaigns that arrive and workers that take
their time to boot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..dispatching.batches import Rules
from ..dispatching.durations import Durations
from ..dispatching.state import Remaining
from ..fleet.providers import Instance, Phase
from ..records import Case, Requirements
from ..scaling.demand import Demand
from ..scaling.policy import ScalingRules
from ..scaling.reconciler import Sight, next_state
from ..scaling.state import AutoState
from ..simulation.campaign import VirtualRun
from ..worker_classes import WorkerClass
from .plan import Drain, FleetPlan, Launch

PASS_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Cases that are submitted together."""

    at: float
    cases: Sequence[Case]


class Sizing(Protocol):
    """Says how many workers there should be."""

    def sizes(self, sight: Sight) -> Mapping[str, int]: ...


class Witness(Protocol):
    """Sees every case come, begin and end: for policies that go by what has happened."""

    def arrived(self, cases: Sequence[Case], now: float) -> None: ...

    def began(self, case: Case, worker: str, now: float) -> None: ...

    def ended(self, case: Case, worker: str, now: float) -> None: ...


class Fixed:
    """Always as many as at first."""

    def sizes(self, sight: Sight) -> Mapping[str, int]:
        return sight.counts


@dataclass(slots=True)
class ByPolicy:
    """The policy that `proctor up --auto` follows, with its memory."""

    rules: ScalingRules = field(default_factory=ScalingRules)
    state: AutoState | None = None
    decisions: int = 0

    def sizes(self, sight: Sight) -> Mapping[str, int]:
        self.state = next_state(sight, self.state, self.rules)
        self.decisions += sum(line["k"] == "decision" for line in self.state.pending)
        # Nobody keeps a journal here.
        self.state = AutoState(
            counts=self.state.counts,
            courses=self.state.courses,
            idle_since=self.state.idle_since,
            starting=self.state.starting,
            boots=self.state.boots,
        )
        return self.state.counts


@dataclass(slots=True, kw_only=True)
class FleetSimulation:
    """What became of it."""

    makespan: float = 0.0
    # From a case's submission to its first start, by case index.
    waits: dict[int, float] = field(default_factory=dict[int, float])
    # From launch to end, boots included.
    worker_seconds: dict[str, float] = field(default_factory=dict[str, float])
    busy_seconds: float = 0.0
    launches: int = 0
    # Workers of each class that were there, whenever that changed.
    sizes: list[tuple[float, str, int]] = field(default_factory=list[tuple[float, str, int]])
    drained_busy: int = 0


def simulate_fleet(
    arrivals: Sequence[Arrival],
    classes: Mapping[str, WorkerClass],
    sizing: Sizing,
    *,
    seconds: Callable[[Case], float],
    durations: Durations,
    counts: Mapping[str, int] | None = None,
    until: float = 0.0,
    pass_seconds: float = PASS_SECONDS,
    warm_up: Callable[[str], float] = lambda group: 0.0,
    expected: Callable[[float], Callable[[str, float], float]] | None = None,
    witness: Witness | None = None,
    speed: Callable[[str], float] = lambda worker: 1.0,
    rules: Rules | None = None,
    in_order: bool = False,
) -> FleetSimulation:
    """Play it through, at least until a time; `counts` are there and ready from the beginning.

    One dispatcher has all cases and takes the longest first, whenever they came; `in_order` has
    arrivals wait until those before them have fewer cases waiting than there are slots, as
    campaigns with a dispatcher each would.
    """
    run = _Run(
        classes,
        sizing,
        seconds=seconds,
        durations=durations,
        warm_up=warm_up,
        until=until,
        pass_seconds=pass_seconds,
        expected=expected or (lambda now: lambda name, ahead: 0.0),
        witness=witness,
        speed=speed,
        rules=rules,
        in_order=in_order,
    )
    return run.play(arrivals, counts or {})


@dataclass(slots=True)
class _Life:
    instance_class: WorkerClass
    since: float
    ready_at: float
    draining: bool = False


class _Run(VirtualRun):
    def __init__(
        self,
        classes: Mapping[str, WorkerClass],
        sizing: Sizing,
        *,
        seconds: Callable[[Case], float],
        durations: Durations,
        warm_up: Callable[[str], float],
        until: float,
        pass_seconds: float,
        expected: Callable[[float], Callable[[str, float], float]],
        witness: Witness | None,
        speed: Callable[[str], float],
        rules: Rules | None,
        in_order: bool,
    ) -> None:
        super().__init__(
            seconds=seconds, durations=durations, rules=rules, warm_up=warm_up, speed=speed
        )
        self._classes, self._sizing, self._until = classes, sizing, until
        self._pass_seconds, self._expected, self._witness = pass_seconds, expected, witness
        self._plan = FleetPlan()
        self._lives: dict[str, _Life] = {}
        self._awaited = 0
        self._in_order = in_order
        # Arrivals that those before them keep from the dispatcher, and what they come to.
        self._held: deque[tuple[Arrival, Demand]] = deque()
        self._counts: Mapping[str, int] = {}
        self._arrived: dict[int, float] = {}
        self._told = FleetSimulation()

    def play(self, arrivals: Sequence[Arrival], counts: Mapping[str, int]) -> FleetSimulation:
        self._counts = dict(counts)
        for name, count in counts.items():
            for number in range(1, count + 1):
                self._launch(self._classes[name].facts(number).name, self._classes[name], boot=0.0)
        self._awaited = len(arrivals)
        for arrival in arrivals:
            self.at(arrival.at, lambda arrival=arrival: self._arrive(arrival))
        self.at(0.0, self._pass)
        simulation = self.to_the_end()
        for name in list(self._lives):
            self._end_worker(name)
        told = self._told
        told.makespan = simulation.makespan
        for placed in simulation.placements:
            told.busy_seconds += placed.finished - placed.started
            wait = placed.started - self._arrived[placed.case.index]
            told.waits[placed.case.index] = min(wait, told.waits.get(placed.case.index, wait))
        return told

    def is_over(self) -> bool:
        waiting = self._awaited or self._held or not self.dispatcher.done
        return not waiting and self.now >= self._until

    def _arrive(self, arrival: Arrival) -> None:
        self._awaited -= 1
        self._arrived.update((case.index, self.now) for case in arrival.cases)
        if self._in_order:
            self._held.append((arrival, self._demand_of(arrival)))
        else:
            self.dispatcher.add_cases(arrival.cases, self.now)
        if self._witness is not None:
            self._witness.arrived(arrival.cases, self.now)
        self.stir()

    def before_deciding(self) -> None:
        slots = sum(
            each.instance_class.slots
            for each in self._lives.values()
            if each.ready_at <= self.now and not each.draining
        )
        while self._held:
            if sum(each.waiting for each in self.dispatcher.remaining(self.now)) >= slots:
                return
            arrival, _ = self._held.popleft()
            self.dispatcher.add_cases(arrival.cases, self.now)

    def _demand_of(self, arrival: Arrival) -> Demand:
        """What nobody has begun of it."""
        lengths: dict[Requirements, list[float]] = {}
        for case in arrival.cases:
            lengths.setdefault(case.needs, []).append(self.dispatcher.durations.estimate(case))
        remaining = tuple(
            Remaining(
                needs=needs,
                work_seconds=sum(mine),
                waiting=len(mine),
                running=0,
                longest_seconds=max(mine),
            )
            for needs, mine in lengths.items()
        )
        return Demand(campaign="", epoch=1, at=self.now, fleet="", remaining=remaining)

    def case_began(self, case: Case, worker: str) -> None:
        if self._witness is not None:
            self._witness.began(case, worker, self.now)

    def case_over(self, case: Case, worker: str) -> None:
        if self._witness is not None:
            self._witness.ended(case, worker, self.now)

    def _pass(self) -> None:
        observed = [self._instance(name, life) for name, life in self._lives.items()]
        left = self.dispatcher.remaining(self.now)
        demand = Demand(campaign="", epoch=1, at=self.now, fleet="", remaining=tuple(left))
        self._counts = self._sizing.sizes(
            Sight(
                at=self.now,
                classes=self._classes,
                counts=self._counts,
                observed=observed,
                busy=self.busy,
                demands=(demand, *(held for _, held in self._held)),
                expected=self._expected(self.now),
            )
        )
        steps = self._plan.steps(
            classes=self._classes,
            counts=self._counts,
            observed=observed,
            busy=self.busy,
            now=self.now,
        )
        for step in steps:
            match step:
                case Launch(facts=facts, worker_class=worker_class):
                    self._launch(facts.name, worker_class, boot=worker_class.boot_seconds)
                case Drain(name=name):
                    self._drain(name)
                case _:
                    pass
        self.at(self.now + self._pass_seconds, self._pass)

    def _instance(self, name: str, life: _Life) -> Instance:
        starting = Phase.STARTING if self.now < life.ready_at else Phase.RUNNING
        return Instance(
            name=name,
            worker_class=life.instance_class.name,
            phase=Phase.DRAINING if life.draining else starting,
            since=life.since,
        )

    def _launch(self, name: str, worker_class: WorkerClass, *, boot: float) -> None:
        life = _Life(worker_class, self.now, self.now + boot)
        self._lives[name] = life
        self._told.launches += 1
        self._note(worker_class.name)

        def join() -> None:
            # Drained before it had booted, it is another's name by now or nobody's.
            if self._lives.get(name) is life:
                number = int(name.rpartition("-")[2])
                self.dispatcher.worker_joined(worker_class.facts(number))
                self.stir()

        self.at(life.ready_at, join)

    def _drain(self, name: str) -> None:
        life = self._lives[name]
        if self.busy.get(name, 0):
            life.draining = True
            self._told.drained_busy += 1
            self.dispatcher.worker_draining(name)
        else:
            self._end_worker(name)

    def batch_over(self, worker: str) -> None:
        life = self._lives.get(worker)
        if life is not None and life.draining and not self.busy[worker]:
            self._end_worker(worker)

    def _end_worker(self, name: str) -> None:
        life = self._lives.pop(name)
        self.dispatcher.worker_lost(name)
        # The next one under its name starts cold.
        for number in range(life.instance_class.slots):
            self._ready.pop((name, number), None)
            self._loaded.pop((name, number), None)
        totals = self._told.worker_seconds
        of = life.instance_class.name
        totals[of] = totals.get(of, 0.0) + self.now - life.since
        self._note(of)

    def _note(self, worker_class: str) -> None:
        there = sum(each.instance_class.name == worker_class for each in self._lives.values())
        self._told.sizes.append((self.now, worker_class, there))
