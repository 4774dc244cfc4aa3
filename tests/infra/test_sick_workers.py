"""Sick workers are told from flaky cases, broken suites and bad luck."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from proctor.infra.engine.sick_workers import MISTAKE, SickWorkers, tail
from proctor.infra.records import Attempt, Case, Outcome

NUMBERS = count()
Fate = Callable[[str, int], Outcome]


def case(number: int, cases_in_file: int = 1) -> Case:
    file = f"test_{number // cases_in_file}.py"
    return Case(id=f"{file}::test_{number}", group=file, index=number)


def attempt(
    told: Case, worker: str, outcome: Outcome, *, batch: str = "b", life: str = "1"
) -> Attempt:
    return Attempt(
        case=told.id, id=f"a{next(NUMBERS)}", outcome=outcome, started=0, finished=1,
        worker=worker, incarnation=life, batch=batch,
    )  # fmt: skip


def play(
    fate: Fate,
    *,
    workers: int = 3,
    cases: int = 300,
    cases_in_file: int = 1,
    retries: int = 2,
    seed: int = 0,
    eager: str = "",
) -> list[str]:
    """Run cases at random workers until they pass; the names of those called sick, in order."""
    chance = random.Random(seed)
    names = [f"w{number}" for number in range(workers)]
    # A worker that fails at once is free at once: it gets more than its part.
    weights = [4 if name == eager else 1 for name in names]
    sick = SickWorkers()
    found: list[str] = []
    for number in range(cases):
        told = case(number, cases_in_file)
        for _ in range(retries + 1):
            worker = chance.choices(names, weights)[0]
            outcome = fate(worker, number)
            sick.executed(told, attempt(told, worker, outcome))
            found += [each.life.worker for each in sick.diagnose()]
            if outcome is Outcome.PASSED:
                break
    return found


def failing(is_so: bool) -> Outcome:
    return Outcome.FAILED if is_so else Outcome.PASSED


@pytest.mark.parametrize(("workers", "soon"), [(2, 60), (3, 50), (10, 80)])
def test_a_worker_on_which_everything_fails_is_sick(workers: int, soon: int) -> None:
    """It alone, once, and after few cases."""
    assert play(lambda worker, _: failing(worker == "w1"), workers=workers, cases=soon) == ["w1"]


def test_a_worker_that_fails_a_third_of_the_cases_is_sick() -> None:
    """Beside flaky cases that fail everywhere at times."""
    chance = random.Random(1)

    def fate(worker: str, number: int) -> Outcome:
        return failing(chance.random() < (0.33 if worker == "w1" else 0.02))

    assert play(fate) == ["w1"]


def test_a_sick_worker_that_fails_fast_and_so_gets_most_of_the_work_is_found() -> None:
    """Its part of the executions is counted against the evidence, and is not enough."""
    assert play(lambda worker, _: failing(worker == "w1"), eager="w1", cases=200) == ["w1"]


def test_cases_that_fail_everywhere_are_no_evidence() -> None:
    """However many there are, and wherever they ran."""
    assert play(lambda _, number: failing(number % 2 == 0)) == []
    assert play(lambda _, number: Outcome.FAILED) == []


def test_cases_that_nobody_ran_again_are_no_evidence() -> None:
    """They may fail everywhere."""
    assert play(lambda worker, _: failing(worker == "w1"), retries=0) == []


def test_one_bad_file_is_no_evidence_against_the_worker_that_had_it() -> None:
    """A service was away for a while: all of its cases failed there, and passed elsewhere."""
    sick = SickWorkers()
    for number in range(200):
        told = case(number, cases_in_file=100)
        sick.executed(told, attempt(told, "w1", failing(number < 100)))
    for number in range(200):
        told = case(number, cases_in_file=100)
        sick.executed(told, attempt(told, "w2", Outcome.PASSED))
    assert sick.diagnose() == []


def test_the_only_worker_is_never_sick() -> None:
    """There is no elsewhere."""
    flaky = random.Random(2)
    assert play(lambda *_: failing(flaky.random() < 0.5), workers=1) == []


def test_healthy_workers_are_seldom_taken_for_sick() -> None:
    """In flaky campaigns, looked at after each case: less often than is promised."""
    mistakes = 0
    for seed in range(300):
        flaky = random.Random(f"flaky {seed}")
        rate = flaky.choice((0.05, 0.2, 0.5))
        mistakes += bool(
            play(
                lambda *_, flaky=flaky, rate=rate: failing(flaky.random() < rate),
                workers=flaky.choice((2, 3, 8)),
                cases=150,
                cases_in_file=flaky.choice((1, 5)),
                seed=seed,
            )
        )
    assert mistakes <= 300 * MISTAKE


def test_the_next_life_of_a_worker_begins_well() -> None:
    """What its former one did is not held against it, and it can be found sick itself."""
    sick = SickWorkers()
    found: list[str] = []
    for number in range(120):
        told = case(number)
        life = "1" if number < 60 else "2"
        sick.executed(told, attempt(told, "w1", Outcome.FAILED, life=life))
        for name in ("w2", "w3"):
            sick.executed(told, attempt(told, name, Outcome.PASSED))
        found += [each.life.incarnation for each in sick.diagnose()]
    assert found == ["1", "2"]


def batches(ends: Iterable[tuple[str, bool]], outcome: Outcome | None = None) -> list[str]:
    sick = SickWorkers()
    found: list[str] = []
    for number, (worker, died) in enumerate(ends):
        sick.sent(f"b{number}", worker, "1")
        if outcome is not None and died:
            told = case(number)
            sick.executed(told, attempt(told, worker, outcome, batch=f"b{number}"))
        sick.ended(f"b{number}", died=died)
        found += [each.life.worker for each in sick.diagnose()]
    return found


def test_a_worker_whose_sessions_die_again_and_again_is_sick() -> None:
    """While they live elsewhere."""
    ends = [(name, name == "w1") for _ in range(20) for name in ("w1", "w2", "w3")]
    assert batches(ends) == ["w1"]


def test_sessions_that_die_everywhere_are_no_evidence() -> None:
    """Something is missing on all of them, or none of them can stand the suite."""
    assert batches([(name, True) for _ in range(50) for name in ("w1", "w2", "w3")]) == []


def test_sessions_that_a_case_ended_are_no_evidence() -> None:
    """It crashed, and would elsewhere."""
    ends = [(name, name == "w1") for _ in range(30) for name in ("w1", "w2", "w3")]
    assert batches(ends, Outcome.CRASHED) == []


@given(st.data())
def test_the_chance_is_never_told_too_small(data: st.DataObject) -> None:
    """Against the exact distribution; summed where that is cheap, bounded beyond."""
    total = data.draw(st.integers(1, 400))
    here = data.draw(st.integers(0, total))
    hits = data.draw(st.integers(0, total))
    hits_here = data.draw(st.integers(max(0, hits - (total - here)), min(hits, here)))
    exact = float(hypergeom.sf(hits_here - 1, total, hits, here))
    told = tail(hits_here, hits, here, total)
    assert told >= exact * (1 - 1e-6) - 1e-12
    if hits <= 64:
        assert told == pytest.approx(exact, rel=1e-6, abs=1e-12)
