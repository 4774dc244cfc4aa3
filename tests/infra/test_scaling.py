"""Passes of scaling over a fake provider: what they decide, write down and survive."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proctor.infra.dispatching.state import Remaining
from proctor.infra.fleet.fake_provider import FakeProvider, Weather
from proctor.infra.fleet.files import FleetFiles, Wanted
from proctor.infra.fleet.providers import Instance, Phase
from proctor.infra.fleet.roster import Roster, Seen
from proctor.infra.ledgers.journal import Journal
from proctor.infra.ledgers.lease import Lease
from proctor.infra.planning.plan import Drain, FleetPlan, Launch
from proctor.infra.records import Requirements, WorkerFacts
from proctor.infra.scaling import reconciler as scaling
from proctor.infra.scaling.demand import DEMAND_FILE, Demand, write_demand
from proctor.infra.scaling.forecast import write_forecast
from proctor.infra.scaling.policy import ScalingRules
from proctor.infra.scaling.reconciler import Scaler, Sight, next_state, recorded
from proctor.infra.scaling.state import AutoState, read_auto
from proctor.infra.worker_classes import WorkerClass

ADDRESS = "tcp://here"
CPU = WorkerClass(name="cpu", slots=1, boot_seconds=2, idle_seconds=10, maximum=20)
GPU = WorkerClass(
    name="gpu", slots=1, gpu=1, boot_seconds=2, idle_seconds=10, cost_per_hour=2, maximum=20
)


class Killed(BaseException):
    """The process is gone at this line."""


class World:
    """A fleet without processes: a clock, a provider, and one campaign that wants something."""

    def __init__(self, state: Path) -> None:
        self.files = FleetFiles(state=state)
        self.files.directory.mkdir(parents=True)
        self.campaign = state / "campaigns" / "c"
        self.campaign.mkdir(parents=True)
        self.now = time.time()
        self.lease = Lease.acquire(self.campaign, clock=lambda: self.now)
        self.wanted = Wanted(classes={"cpu": CPU, "gpu": GPU}, auto=True, horizon_seconds=20.0)
        self.provider = FakeProvider(clock=lambda: self.now, weather=Weather(boot_seconds=2))
        self.plan = FleetPlan()
        self.busy: set[str] = set()
        self.joined: tuple[WorkerFacts, ...] = ()
        self.scaler = self.another()

    def another(self) -> Scaler:
        return Scaler(self.files, clock=lambda: self.now, cores=16)

    def demand(self, seconds: float, *, needs: Requirements | None = None, fleet: str = ADDRESS):
        self._demand = (seconds, needs or Requirements(), fleet)

    def publish(self) -> None:
        seconds, needs, fleet = self._demand
        left = Remaining(
            needs=needs, work_seconds=seconds, waiting=100, running=0, longest_seconds=1
        )
        self.lease.renew()
        write_demand(
            self.campaign / DEMAND_FILE,
            Demand(
                campaign="c", epoch=1, at=self.now, fleet=fleet,
                remaining=(left,) if seconds else (),
            ),
        )  # fmt: skip

    def roster(self) -> Roster:
        def seen(name: str) -> Seen:
            facts = WorkerFacts(
                name=name, incarnation="", worker_class="", slots=1, cpu=1, memory_bytes=1
            )
            return Seen(facts=facts, address="", last_seen=self.now, busy=1)

        here = {name: seen(name) for name in self.busy}
        there = {
            each.name: Seen(facts=each, address="", last_seen=self.now) for each in self.joined
        }
        return Roster(at=self.now, workers={**here, **there})

    def look(self) -> AutoState | None:
        self.publish()
        return self.scaler.run_once(
            self.wanted, self.provider.observe(), self.roster(), address=ADDRESS
        )

    def obey(self) -> None:
        state = read_auto(self.files.auto)
        for step in self.plan.steps(
            classes=self.wanted.classes,
            counts=state.counts if state else {},
            observed=self.provider.observe(),
            busy=dict.fromkeys(self.busy, 1),
            now=self.now,
        ):
            match step:
                case Launch(facts=facts, worker_class=worker_class):
                    self.provider.launch(facts, worker_class)
                case Drain(name=name):
                    assert name not in self.busy
                    self.provider.drain(name)
                case _:
                    self.provider.stop(step.name)

    def go_on(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.look()
            self.obey()
            self.now += 1

    def size(self, worker_class: str = "cpu") -> int:
        there = {Phase.STARTING, Phase.RUNNING}
        return sum(
            each.worker_class == worker_class and each.phase in there
            for each in self.provider.observe()
        )

    def lines(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in recorded(self.files.state) if line["k"] == kind]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_configured_rules_are_obeyed_under_what_an_operator_says(world: World) -> None:
    """A headroom of one doubles the fleet; a horizon given by hand comes before the rules'."""
    rules = ScalingRules(headroom=1.0, horizon_seconds=1000.0)
    world.wanted = replace(world.wanted, rules=rules)
    world.demand(100)
    world.go_on(4)
    assert world.size() == 10


def test_a_fleet_grows_with_demand_and_shrinks_when_it_idles(world: World) -> None:
    """Every size stands in the journal with its reason, and is graded later."""
    world.demand(100)
    world.go_on(4)
    assert world.size() == 6
    world.busy = {each.name for each in world.provider.observe()}
    world.demand(40)
    world.go_on(10)
    assert world.size() == 6
    world.busy = set()
    world.demand(0)
    world.go_on(40)
    assert world.size() == 0

    grown, shrunk = world.lines("decision")
    assert (grown["class"], grown["from"], grown["to"]) == ("cpu", 0, 6)
    assert "100 cases with 110 s of work" in grown["reason"]
    assert grown["inputs"]["worker_seconds"] == 100
    assert (shrunk["from"], shrunk["to"]) == (6, 0)
    (grade,) = world.lines("grade")
    assert grade["decision"] == grown["id"]
    assert grade["grade"] == "fair"
    assert grade["effect_seconds"] == pytest.approx(2, abs=1.1)
    world.go_on(400)
    assert {each["decision"] for each in world.lines("grade")} == {grown["id"], shrunk["id"]}


def test_workers_that_joined_are_there_before_new_ones_are_wanted(world: World) -> None:
    """What is left for them is what the others do not do."""
    world.joined = (replace(CPU.facts(1), name="cpu-1@box", slots=4, cpu=4),)
    world.demand(80)
    world.go_on(4)
    assert world.size() == 0
    world.demand(140)
    world.go_on(4)
    assert world.size() == 3
    (decision,) = world.lines("decision")
    assert "154 s of work left for 0 workers beside 4 that joined: 3 have" in decision["reason"]


def test_each_class_goes_by_its_own_work(world: World) -> None:
    """And another fleet's campaigns are none of ours."""
    world.demand(100, needs=Requirements(gpu=1))
    world.go_on(3)
    assert (world.size("cpu"), world.size("gpu")) == (0, 6)
    world.demand(1000, fleet="tcp://there")
    world.go_on(3)
    assert world.size("cpu") == 0


def test_what_no_class_offers_is_said(world: World) -> None:
    """The campaign says it too, but an operator looks here."""
    world.demand(10, needs=Requirements(gpu=8))
    state = world.look()
    assert state is not None
    assert state.problems == ("cases need cpu=1 and gpu=8, and no worker class offers that",)


def test_a_measured_boot_replaces_the_stated_one(world: World) -> None:
    """The class says 2 s; here it takes 6."""
    world.provider.weather.boot_seconds = 6
    world.demand(100)
    world.go_on(8)
    state = read_auto(world.files.auto)
    assert state is not None
    assert set(state.boots["cpu"]) == {6.0}


def test_idleness_begins_anew_when_the_clock_is_put_back() -> None:
    """Who idles since a time to come would idle, and cost, until then."""
    idle = Instance(name="cpu-1", worker_class="cpu", phase=Phase.RUNNING, since=4990.0)
    starts = Instance(name="cpu-2", worker_class="cpu", phase=Phase.RUNNING, since=4999.0)
    sight = Sight(at=1000.0, classes={"cpu": CPU}, observed=(idle, starts))
    old = AutoState(counts={"cpu": 2}, idle_since={"cpu-1": 5000.0}, starting=("cpu-2",))
    new = next_state(sight, old, ScalingRules())
    assert new.idle_since["cpu-1"] == 1000.0
    assert new.boots == {}


def test_a_quota_is_not_asked_again_and_again(world: World) -> None:
    """What was asked for counts, whether it has come or not."""
    world.provider.weather.quota = 6
    world.demand(100)
    world.go_on(10)
    assert len(world.lines("decision")) == 1


def test_a_forecast_has_workers_ready(world: World) -> None:
    """Where that is asked for; the file runs out by itself."""
    world.demand(0)
    usual, world.wanted = world.wanted, replace(world.wanted, rules=ScalingRules(ahead=True))
    write_forecast(world.files.forecast, since=world.now, hours={"cpu": [9000.0, 0.0]})
    world.go_on(2)
    assert world.size() == 2
    world.now += 7200
    world.go_on(20)
    assert world.size() == 0
    write_forecast(world.files.forecast, since=world.now, hours={"cpu": [9000.0, 0.0]})
    world.wanted = usual
    world.go_on(2)
    assert world.size() == 0


def test_a_fleet_has_as_many_workers_as_its_container_has_cores(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class that names no most is bounded by what this process may use, not by the machine."""
    monkeypatch.setattr(scaling, "core_count", lambda: 3)
    world.scaler = Scaler(world.files, clock=lambda: world.now)
    world.wanted = replace(world.wanted, classes={"cpu": replace(CPU, maximum=None)})
    world.demand(10_000)
    world.go_on(3)
    assert world.size() == 3


def test_workers_with_a_gpu_are_no_more_than_there_are_gpus() -> None:
    """The others could not be launched; simulated ones and those of a pool are not of this kind."""
    real = WorkerClass(name="gpu", slots=1, gpu=2)
    classes = {
        "real": real,
        "simulated": replace(real, simulated_gpu=True),
        "pool": replace(real, provider="work-pool"),
    }
    found = scaling.bounds(classes, cores=64, memory_bytes=0, gpus=lambda: 5)
    assert {name: each.maximum for name, each in found.items()} == {
        "real": 2,
        "simulated": 64,
        "pool": 64,
    }


def test_workers_that_state_their_memory_are_no_more_than_it_is_enough_for() -> None:
    """The machine would be promised twice; a pool's machines are others, and one may always be."""
    big = WorkerClass(name="big", slots=1, memory_bytes=10)
    classes = {
        "here": big,
        "pool": replace(big, provider="work-pool"),
        "over": replace(big, memory_bytes=90),
        "said": replace(big, maximum=7),
    }
    found = scaling.bounds(classes, cores=64, memory_bytes=35)
    assert {name: each.maximum for name, each in found.items()} == {
        "here": 3,
        "pool": 64,
        "over": 1,
        "said": 7,
    }


def test_what_the_first_start_took_is_not_what_each_takes() -> None:
    """It also starts what the later ones find; with it in mind nobody would be launched."""
    assert scaling.boot_seconds(CPU, (69.0, 3.0)) == 3.0
    assert scaling.boot_seconds(CPU, (3.0, 69.0, 4.0)) == 4.0


def test_two_processes_do_not_decide_at_once(world: World) -> None:
    """The one that comes second leaves it to the first."""
    world.demand(100)
    with scaling.alone(world.files.directory) as mine:
        assert mine
        assert world.look() is None
    assert world.look() is not None


@pytest.mark.parametrize("line", range(8))
def test_a_pass_can_be_killed_at_any_line(
    world: World, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    """Whoever passes next finds sizes and journal in one piece, each decision once."""
    points = 0

    def deadly(work: Any) -> Any:
        def act(*arguments: Any, **named: Any) -> Any:
            nonlocal points
            points += 1
            if points == line + 1:
                raise Killed
            return work(*arguments, **named)

        return act

    world.demand(100)
    with monkeypatch.context() as patch:
        patch.setattr(scaling, "read_auto", deadly(scaling.read_auto))
        patch.setattr(scaling, "live_demands", deadly(scaling.live_demands))
        patch.setattr(scaling, "write_auto", deadly(scaling.write_auto))
        patch.setattr(Journal, "append", deadly(Journal.append))
        patch.setattr(Journal, "commit", deadly(Journal.commit))
        try:
            world.look()
        except Killed:
            pass
        else:
            assert line >= 6
    world.obey()
    world.scaler = world.another()
    world.go_on(5)
    assert world.size() == 6
    world.demand(0)
    world.go_on(30)
    assert world.size() == 0

    decisions = world.lines("decision")
    assert max(Counter(each["id"] for each in decisions).values()) == 1
    assert [(each["from"], each["to"]) for each in decisions] == [(0, 6), (6, 0)]
    state = read_auto(world.files.auto)
    assert state is not None
    assert state.pending == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"counts": {}}', '{"counts": 3, "courses": 4}'])
def test_a_torn_memory_begins_anew(world: World, text: str) -> None:
    """With what was asked for; the journal stands."""
    world.files.auto.write_text(text)
    world.demand(100)
    world.go_on(3)
    assert world.size() == 6
