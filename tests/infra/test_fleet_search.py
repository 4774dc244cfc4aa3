"""Fleets that are found are as good as those that trying everything finds."""

from __future__ import annotations

import random
from itertools import product
from math import inf

import pytest

from proctor.infra.planning.bounds import loads_of
from proctor.infra.planning.mixes import Market, cheapest_mix, least_cost
from proctor.infra.planning.options import FleetOption, Wish, Work
from proctor.infra.planning.search import find_fleets, play
from proctor.infra.records import Case, Requirements
from proctor.infra.worker_classes import WorkerClass

GIB = 2**30
CPU = WorkerClass(name="cpu", slots=2, cpu=2, memory_bytes=4 * GIB, boot_seconds=5, maximum=5)
GPU = WorkerClass(
    name="gpu", slots=1, cpu=1, memory_bytes=8 * GIB, gpu=1, boot_seconds=20, maximum=3
)
MARKET = Market(classes=(CPU, GPU), prices={"cpu": 1.0, "gpu": 6.0})


def work_of(seed: int, *, plain: int = 40, gpu: int = 6) -> Work:
    rng = random.Random(seed)
    cases = [
        Case(
            id=f"t{index // 5}.py::{index}",
            group=f"t{index // 5}.py",
            index=index,
            needs=Requirements(gpu=1.0 if index >= plain else 0.0),
        )
        for index in range(plain + gpu)
    ]
    return Work(
        cases=cases,
        seconds={case.id: rng.uniform(2, 12) for case in cases},
        warm_ups={case.group: rng.choice((0.0, 1.0)) for case in cases},
    )


def everything(work: Work) -> list[FleetOption]:
    """Every fleet of the market that can do it, played through."""
    found: list[FleetOption] = []
    for cpu, gpu in product(range(6), range(1, 4)):
        counts = {"cpu": cpu, "gpu": gpu}
        makespan = play(work, MARKET, counts)
        found.append(
            FleetOption(
                counts=counts,
                makespan=makespan,
                cost=MARKET.cost(counts, makespan),
                simulated=True,
            )
        )
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("deadline", [70.0, 100.0, 200.0])
def test_the_cheapest_fleet_in_time_is_found(seed: int, deadline: float) -> None:
    """Within three in a hundred of the best of all, and never above what the bound allows."""
    work = work_of(seed)
    in_time = [each for each in everything(work) if each.makespan <= deadline]
    planning = find_fleets(work, MARKET, Wish(deadline=deadline))
    assert planning.chosen is not None
    assert planning.certificate is not None
    assert planning.chosen.simulated
    assert planning.chosen.makespan <= deadline
    least = min(each.cost for each in in_time)
    assert planning.chosen.cost <= least * 1.03
    assert planning.certificate.least_cost is not None
    assert 0 < planning.certificate.least_cost <= least
    assert planning.certificate.bounds[0].seconds <= planning.chosen.makespan


@pytest.mark.parametrize("seed", range(3))
def test_the_quickest_fleet_within_a_budget_is_found(seed: int) -> None:
    """And the bound on its time holds for every fleet that costs no more."""
    work = work_of(seed)
    every = everything(work)
    budget = 1.3 * min(each.cost for each in every)
    least = min(each.makespan for each in every if each.cost <= budget)
    planning = find_fleets(work, MARKET, Wish(max_cost=budget))
    assert planning.chosen is not None
    assert planning.certificate is not None
    assert planning.chosen.cost <= budget
    assert planning.chosen.makespan <= least * 1.05
    assert planning.certificate.least_seconds is not None
    assert planning.certificate.least_seconds <= least


def test_no_fleet_of_all_is_below_the_proven_costs() -> None:
    """For each time, the cheapest that meets it."""
    work = work_of(7)
    loads = loads_of(work.cases, work.of, work.warm_up)
    for option in everything(work):
        assert option.makespan < inf
        bound = least_cost(loads, MARKET, within=option.makespan)
        assert bound <= option.cost * (1 + 1e-6)


def test_options_on_the_front_do_not_beat_each_other() -> None:
    """Each that takes longer costs less."""
    planning = find_fleets(work_of(1), MARKET, Wish())
    assert planning.chosen is None
    assert len(planning.front) >= 3
    assert all(each.simulated for each in planning.front)
    for quicker, slower in zip(planning.front, planning.front[1:], strict=False):
        assert quicker.makespan < slower.makespan
        assert quicker.cost > slower.cost


def test_what_no_fleet_can_do_is_proven() -> None:
    """Less time than the longest case takes; with the quickest there is."""
    work = work_of(1)
    planning = find_fleets(work, MARKET, Wish(deadline=10))
    assert planning.chosen is None
    assert planning.least_seconds > 10
    assert planning.quickest.simulated
    assert planning.quickest.makespan >= planning.least_seconds
    loads = loads_of(work.cases, work.of, work.warm_up)
    assert cheapest_mix(loads, MARKET, within=10) is None
    assert least_cost(loads, MARKET, within=10) == inf


def test_a_class_keeps_its_minimum() -> None:
    """Also where it has nothing to do."""
    market = Market(
        classes=(
            CPU,
            WorkerClass(name="spare", slots=1, cpu=1, memory_bytes=GIB, minimum=2, maximum=4),
            GPU,
        ),
        prices={"cpu": 1.0, "spare": 3.0, "gpu": 6.0},
    )
    planning = find_fleets(work_of(1), market, Wish(deadline=200))
    assert planning.chosen is not None
    assert planning.chosen.counts["spare"] >= 2


def test_without_a_gpu_case_no_gpu_is_paid_for() -> None:
    """Plain workers do it for a sixth."""
    planning = find_fleets(work_of(2, gpu=0), MARKET, Wish(deadline=100))
    assert planning.chosen is not None
    assert planning.chosen.counts["gpu"] == 0


def test_cases_that_take_no_time_need_a_fleet_all_the_same() -> None:
    """Durations of nothing must not divide by nothing."""
    cases = [Case(id=f"a.py::{n}", group="a.py", index=n) for n in range(3)]
    work = Work(cases=cases, seconds={case.id: 0.0 for case in cases})
    planning = find_fleets(work, MARKET, Wish(deadline=60))
    assert planning.chosen is not None
    assert planning.chosen.counts == {"cpu": 1, "gpu": 0}


def test_a_fleet_that_never_ends_takes_for_ever_and_says_so() -> None:
    """Nobody can run the GPU cases there: the clock is stopped long after it should be over."""
    assert play(work_of(1), MARKET, {"cpu": 3, "gpu": 0}) == inf
