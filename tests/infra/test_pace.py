"""How slow a campaign is, learned from its own first cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.dispatching.pace import Pace
from proctor.infra.predictions import Prediction, Predictions
from proctor.infra.records import Case, WorkerFacts


def taught(pace: Pace, worker: str, factor: float, *, cases: int = 20) -> Pace:
    for each in range(cases):
        pace.learn(worker, 0.1 * (1 + each), 0.1 * (1 + each) * factor)
    return pace


def test_before_anything_ran_all_is_as_foreseen():
    """And on a worker that is known from earlier campaigns, as fast as it was then."""
    pace = Pace()
    pace.meet("slow", 0.5)
    assert (pace.of_all, pace.of("any"), pace.of("slow")) == (1.0, 1.0, 2.0)


def test_a_busy_machine_shows_in_the_first_cases():
    """Twenty that took 2.5 times as long tell of the twenty-first, wherever it will run."""
    pace = taught(Pace(), "cpu-1", 2.5)
    assert pace.of_all == pytest.approx(2.5, rel=0.1)
    assert pace.of("cpu-1") == pytest.approx(2.5, rel=0.1)
    assert pace.of("not-seen") == pace.of_all


def test_one_case_says_little_and_a_stall_says_nothing():
    """A case that waited for something is no news of the others."""
    once = taught(Pace(), "cpu-1", 3.0, cases=1)
    assert 1.0 < once.of_all < 2.0
    pace = taught(Pace(), "cpu-1", 1.0)
    pace.learn("cpu-1", 1.0, 500.0)
    assert pace.of_all == pytest.approx(1.0, rel=0.01)


def test_a_slow_worker_is_told_from_the_others():
    """Three that are as foreseen, and one that takes three times as long."""
    pace = Pace()
    for _ in range(12):
        for worker, factor in (("a", 1.0), ("b", 1.0), ("c", 1.0), ("slow", 3.0)):
            pace.learn(worker, 1.0, factor)
    assert pace.of("a") == pytest.approx(1.0, rel=0.1)
    assert pace.of("slow") == pytest.approx(3.0, rel=0.4)


def test_load_that_comes_is_no_property_of_who_ran_before_it_did():
    """Two workers that are equally fast, one of which has been at a long case for a while."""
    pace = Pace()
    for _ in range(10):
        pace.learn("a", 1.0, 1.0)
        pace.learn("b", 1.0, 1.0)
    taught(pace, "a", 2.0, cases=20)
    assert pace.of("b") == pytest.approx(pace.of("a"), rel=0.25)


def test_what_a_worker_is_known_for_is_no_news_of_the_campaign():
    """A worker of half the speed that takes twice as long is as foreseen."""
    pace = Pace()
    pace.meet("slow", 0.5)
    taught(pace, "slow", 2.0)
    assert pace.of("slow") == pytest.approx(2.0)
    assert pace.of_all == pytest.approx(1.0)


def test_who_comes_back_under_a_name_is_another():
    """What was learned of a worker ends with it."""
    pace = taught(Pace(), "quick", 1.0, cases=16)
    for _ in range(6):
        pace.learn("quick", 1.0, 1.0)
        pace.learn("cpu-1", 1.0, 4.0)
    slow = pace.of("cpu-1")
    pace.meet("cpu-1", 1.0)
    assert pace.of("cpu-1") == pace.of_all < slow / 2


def test_short_cases_count_by_what_they_take_together():
    """Of a millisecond the runner takes most: they tell of the campaign, not of the worker."""
    pace = Pace()
    for _ in range(40):
        pace.learn("cpu-1", 0.001, 0.002)
    assert (pace.of_all, pace.seen("cpu-1")) == (1.0, 0)
    for _ in range(960):
        pace.learn("cpu-1", 0.001, 0.002)
    assert pace.of_all == pytest.approx(2.0, rel=0.1)
    assert pace.seen("cpu-1") == 0


def test_a_few_long_cases_do_not_speak_for_thousands_of_short_ones():
    """What waited for imports the time before takes no time now; all others take what they took."""
    pace = taught(Pace(), "cpu-1", 0.05)
    for _ in range(1000):
        pace.learn("cpu-1", 0.001, 0.001)
    assert pace.of_all == pytest.approx(1.0, rel=0.01)


def facts(name: str, host: str) -> WorkerFacts:
    return WorkerFacts(
        name=name, incarnation="1", worker_class="cpu", slots=1, cpu=1, memory_bytes=1, host=host
    )


def test_a_new_case_is_judged_by_its_kin_as_if_they_had_run_at_the_usual_pace():
    """Kin that ran on a slow machine do not make a case look slow on a fast one."""
    cases = [Case(id=f"t.py::test_{n}", group="t.py", index=n) for n in range(30)]
    durations = Durations(
        cases={case.id: CaseHistory(seconds=1.0) for case in cases[:20]},
        predicted=Predictions(speeds={"old/cpu": 0.25, "new/cpu": 1.0}),
    )
    durations.meet(facts("slow", "old"))
    durations.meet(facts("fast", "new"))
    for case in cases[:20]:
        durations.learn(case, 4.0, worker="slow")
    durations.learn(cases[20], 8.0, worker="slow")
    assert durations.estimate(cases[21]) == pytest.approx(1.0, rel=0.1)
    assert durations.on("slow", cases[0]) == pytest.approx(4.0, rel=0.01)
    assert durations.on("fast", cases[0]) == pytest.approx(1.0, rel=0.01)


def test_a_machine_with_a_new_name_is_as_fast_as_its_class_was_elsewhere():
    """A container has another name each time; what its class is known for holds for it too."""
    known = {"3f1/cpu": 0.4, "9ac/cpu": 0.5, "77e/cpu": 0.6, "lab/quick-cpu": 3.0}
    durations = Durations(predicted=Predictions(speeds=known))
    durations.meet(facts("new", "b02"))
    durations.meet(facts("old", "3f1"))
    durations.meet(replace(facts("gpu", "b02"), worker_class="gpu"))
    assert durations.pace.of("new") == pytest.approx(1 / 0.5)
    assert durations.pace.of("old") == pytest.approx(1 / 0.4)
    assert durations.pace.of("gpu") == 1.0


def test_an_interval_is_narrower_once_the_pace_is_known():
    """What all cases of a campaign share is no longer uncertain; the rest is."""
    told = Prediction(seconds=1.0, low_seconds=0.5, high_seconds=2.0)
    paced = told.at(3.0, shared=0.4)
    assert paced.seconds == 3.0
    assert 1.5 < paced.low_seconds < 3.0 < paced.high_seconds < 6.0
    sure = told.at(1.0, shared=5.0)
    assert sure.low_seconds < 1.0 < sure.high_seconds
