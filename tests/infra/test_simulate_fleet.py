"""Fleets that grow and shrink on a virtual clock."""

from __future__ import annotations

import pytest

from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.planning.simulated import (
    Arrival,
    ByPolicy,
    Fixed,
    FleetSimulation,
    simulate_fleet,
)
from proctor.infra.records import Case
from proctor.infra.scaling.policy import ScalingRules
from proctor.infra.scaling.reconciler import Sight
from proctor.infra.worker_classes import WorkerClass

CLASSES = {"cpu": WorkerClass(name="cpu", slots=1, boot_seconds=30, maximum=20, idle_seconds=60)}
TEN = 10.0


def cases(count: int, *, begin: int = 0) -> list[Case]:
    return [
        Case(id=f"t{n // 5}.py::{n}", group=f"t{n // 5}.py", index=n)
        for n in range(begin, begin + count)
    ]


def play(arrivals: list[Arrival], sizing: object, **more: object) -> FleetSimulation:
    every = [case for arrival in arrivals for case in arrival.cases]
    known = Durations(cases={case.id: CaseHistory(seconds=TEN) for case in every})
    return simulate_fleet(
        arrivals, CLASSES, sizing, seconds=lambda case: TEN, durations=known, **more
    )  # fmt: skip


def test_a_fixed_fleet_is_there_from_the_beginning() -> None:
    """Two workers, ten cases of ten seconds: fifty seconds and little more."""
    done = play([Arrival(at=0, cases=cases(10))], Fixed(), counts={"cpu": 2})
    assert done.makespan == pytest.approx(50, rel=0.02)
    assert done.busy_seconds == 100
    assert done.launches == 2


def test_the_policy_grows_from_nothing_and_shrinks_to_nothing() -> None:
    """It pays for boots, for work and for the time until workers are found idle, not more."""
    rules = ScalingRules(horizon_seconds=60, headroom=0)
    done = play([Arrival(at=0, cases=cases(60))], ByPolicy(rules), until=600)
    assert len(done.waits) == 60
    # Within 60 s each case has begun; the last ten seconds of each worker come after that.
    assert done.launches == 9
    assert done.drained_busy == 0
    assert max(done.waits.values()) <= 30 + 60 + 1
    assert done.makespan <= 30 + 90
    # Nine boots of 30 s, 600 s of work, nine idle times of 60 s, and passes five seconds apart.
    assert done.worker_seconds["cpu"] == pytest.approx(270 + 600 + 540, rel=0.15)
    assert done.sizes[-1][2] == 0


def test_a_second_campaign_finds_the_workers_of_the_first() -> None:
    """Within their idle time nobody boots again."""
    rules = ScalingRules(horizon_seconds=60, headroom=0)
    arrivals = [Arrival(at=0, cases=cases(60)), Arrival(at=140, cases=cases(60, begin=60))]
    done = play(arrivals, ByPolicy(rules))
    assert done.launches == 9
    assert max(wait for index, wait in done.waits.items() if index >= 60) < 90


def test_campaigns_in_order_do_not_overtake_each_other() -> None:
    """The second has longer cases and would go first; its demand counts while it waits."""
    short, long = cases(20), cases(20, begin=20)
    arrivals = [Arrival(at=0, cases=short), Arrival(at=1, cases=long)]
    seconds = {case.id: 5.0 + 5.0 * (case.index >= 20) for case in (*short, *long)}
    seen: list[int] = []

    class Watching:
        def sizes(self, sight: Sight) -> dict[str, int]:
            seen.append(sum(e.waiting + e.running for d in sight.demands for e in d.remaining))
            return {"cpu": 4}

    known = Durations(cases={name: CaseHistory(seconds=each) for name, each in seconds.items()})
    done = simulate_fleet(
        arrivals,
        CLASSES,
        Watching(),
        seconds=lambda case: seconds[case.id],
        durations=known,
        counts={"cpu": 4},
        in_order=True,
    )
    assert len(done.waits) == 40
    assert max(seen) > 30
    starts = {index: wait + (1 if index >= 20 else 0) for index, wait in done.waits.items()}
    # Four slots: all but the last three of the first campaign begin before the second does.
    assert sum(starts[n] > min(starts[m] for m in range(20, 40)) for n in range(20)) <= 3
    assert done.makespan < 85


def test_expected_work_finds_its_workers_booted() -> None:
    """Cases that come when they were expected wait less than a boot."""
    arrivals = [Arrival(at=300, cases=cases(8))]

    def expected(now: float):
        return lambda name, ahead: 8.0 if 300 <= now + ahead < 600 else 0.0

    ahead = play(arrivals, ByPolicy(ScalingRules(ahead=True)), expected=expected)
    without = play(arrivals, ByPolicy(ScalingRules()), expected=expected)
    assert max(ahead.waits.values()) < 5
    assert max(without.waits.values()) >= 30


def test_a_busy_worker_that_must_go_finishes_first() -> None:
    """Whatever a policy says: what it runs is run once."""

    class Rash:
        def sizes(self, sight: Sight) -> dict[str, int]:
            return {"cpu": 1 if 20 < sight.at < 40 else 4}

    done = play([Arrival(at=0, cases=cases(30))], Rash(), counts={"cpu": 4})
    assert done.drained_busy > 0
    assert len(done.waits) == 30
    assert done.busy_seconds == 300
