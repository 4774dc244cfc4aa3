"""Bringing a fleet towards what is wanted, decided without any process."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.infra.fleet.fake_provider import FakeProvider, Weather
from proctor.infra.fleet.providers import Phase
from proctor.infra.planning.plan import (
    LONGEST_JOINED_PAUSE_SECONDS,
    Drain,
    FleetPlan,
    Forget,
    Launch,
)
from proctor.infra.worker_classes import WorkerClass

CLASSES = {name: WorkerClass(name=name, slots=1) for name in ("cpu", "gpu")}


class _World:
    """A plan and a fake provider on one clock."""

    def __init__(self, **weather: float) -> None:
        self.now = 100.0
        self.provider = FakeProvider(clock=lambda: self.now, weather=Weather(**weather))  # pyright: ignore
        self.plan = FleetPlan()

    def pass_once(self, counts: dict[str, int], busy: dict[str, int] | None = None) -> list[object]:
        steps = self.plan.steps(
            classes=CLASSES,
            counts=counts,
            observed=self.provider.observe(),
            busy=busy or {},
            now=self.now,
        )
        for step in steps:
            match step:
                case Launch(facts=facts, worker_class=worker_class):
                    self.provider.launch(facts, worker_class)
                case Drain(name=name):
                    self.provider.drain(name)
                case Forget(name=name):
                    self.provider.stop(name)
        return list(steps)

    def names(self) -> set[str]:
        return {each.name for each in self.provider.observe() if each.phase.is_there}


def test_workers_that_are_starting_count() -> None:
    """A second pass before they have joined launches nothing."""
    world = _World(boot_seconds=30)
    assert len(world.pass_once({"cpu": 2, "gpu": 1})) == 3

    assert world.pass_once({"cpu": 2, "gpu": 1}) == []
    assert world.names() == {"cpu-1", "cpu-2", "gpu-1"}


def test_idle_workers_go_first() -> None:
    """A busy one is drained only when there are not enough idle ones."""
    world = _World(drain_seconds=30)
    world.pass_once({"cpu": 3})

    steps = world.pass_once({"cpu": 1}, busy={"cpu-3": 1, "cpu-1": 1})

    assert steps == [Drain(name="cpu-2"), Drain(name="cpu-3")]


def test_workers_that_still_start_go_before_any_that_runs() -> None:
    """A fleet that shrinks keeps who can work now, also when that one idles for a moment."""
    world = _World(boot_seconds=30)
    world.pass_once({"cpu": 2})
    world.now += 31
    world.provider.stop("cpu-1")
    world.pass_once({"cpu": 2})
    # Its pause is over: it is started again.
    world.now += 1
    assert [type(step) for step in world.pass_once({"cpu": 2})] == [Launch]

    assert world.pass_once({"cpu": 1}) == [Drain(name="cpu-1")]


def test_a_draining_worker_is_not_replaced_under_its_name() -> None:
    """A scale-up while one drains takes another number."""
    world = _World(drain_seconds=30)
    world.pass_once({"cpu": 2})
    world.pass_once({"cpu": 1})

    world.pass_once({"cpu": 2})

    assert world.names() == {"cpu-1", "cpu-2", "cpu-3"}


def test_a_dead_worker_comes_back_under_its_name_after_a_pause_that_grows() -> None:
    """Deaths in a row are counted, each once however often it is seen."""
    world = _World()
    world.pass_once({"cpu": 1})
    pauses = []
    for _ in range(4):
        world.now += 1
        world.provider.preempt("cpu-1")
        died = world.now
        for tick in itertools.count():
            world.now = died + tick * 0.1
            if world.pass_once({"cpu": 1}):
                break
        pauses.append(world.now - died)

    assert world.names() == {"cpu-1"}
    assert world.plan.restarts("cpu-1") == 4
    assert pauses == sorted(pauses)
    assert pauses[3] >= 4 * pauses[0]


def test_one_that_had_joined_is_not_kept_away_for_long() -> None:
    """Whatever kills it again and again: its work waits seconds, not a minute."""
    world = _World()
    world.pass_once({"cpu": 1})
    for _ in range(12):
        world.now += 1
        # It is seen to have joined.
        world.pass_once({"cpu": 1})
        world.provider.preempt("cpu-1")
        world.pass_once({"cpu": 1})
        world.now += LONGEST_JOINED_PAUSE_SECONDS
        world.pass_once({"cpu": 1})
        assert world.names() == {"cpu-1"}


def test_a_worker_that_lived_long_is_forgiven() -> None:
    """One death a day must not add up to a minute's pause."""
    world = _World()
    world.pass_once({"cpu": 1})
    for _ in range(6):
        world.now += 3600
        world.provider.preempt("cpu-1")
        world.pass_once({"cpu": 1})
        world.now += 0.3
        world.pass_once({"cpu": 1})

    assert world.names() == {"cpu-1"}
    assert world.plan.restarts("cpu-1") == 1


def test_a_clock_that_is_put_back_keeps_nobody_away() -> None:
    """The pause after a death was told by the clock as it was."""
    world = _World()
    world.pass_once({"cpu": 1})
    world.provider.preempt("cpu-1")
    assert world.pass_once({"cpu": 1}) == []

    world.now -= 3600

    assert [type(step) for step in world.pass_once({"cpu": 1})] == [Launch]


def test_a_refused_worker_is_tried_again_late() -> None:
    """Its machine does not heal in a second, and its reason stays to be read."""
    world = _World()
    world.provider.weather.refusals["cpu-1"] = "its disk is full"
    world.pass_once({"cpu": 1})
    for _ in range(10):
        world.now += 1
        assert world.pass_once({"cpu": 1}) == []
    assert world.provider.observe()[0].phase is Phase.REFUSED

    del world.provider.weather.refusals["cpu-1"]
    world.provider.preempt("cpu-1", reason="it is refused still")
    world.now += 40
    world.pass_once({"cpu": 1})

    assert world.names() == {"cpu-1"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["want", "kill", "wait"]),
            st.sampled_from(["cpu", "gpu"]),
            st.integers(min_value=0, max_value=4),
        ),
        max_size=25,
    )
)
def test_whatever_happens_the_fleet_becomes_what_is_wanted(happenings) -> None:
    """From any state, with enough time, there are as many workers as wanted and nothing is left."""
    world = _World(boot_seconds=2, drain_seconds=3)
    counts = {"cpu": 1, "gpu": 0}
    for kind, name, number in happenings:
        match kind:
            case "want":
                counts[name] = number
            case "kill":
                if f"{name}-{number}" in world.names():
                    world.provider.preempt(f"{name}-{number}")
            case _:
                world.now += number
        world.pass_once(counts)
        for each in ("cpu", "gpu"):
            alive = [
                seen
                for seen in world.provider.observe()
                if seen.worker_class == each and seen.phase in {Phase.STARTING, Phase.RUNNING}
            ]
            assert len(alive) <= counts[each]
    for _ in range(200):
        world.now += 1
        world.pass_once(counts)

    for name, count in counts.items():
        assert sum(each.startswith(name) for each in world.names()) == count
    assert len(world.provider.observe()) == sum(counts.values())
