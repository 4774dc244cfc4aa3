"""What nearly all cases do at once may be the machine: nobody is alarmed, and nothing is hidden."""

from __future__ import annotations

import random

import pytest
from timed_campaigns import write_timed

from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
from proctor.monitoring.trends.analyzer import analyze
from proctor.monitoring.trends.findings import Kind, Status, TrendFinding, TrendReport

CASES, CAMPAIGNS, SHIFT = 8, 40, 28
COMMIT = f"{SHIFT:040x}"


def stepping(state, factors: dict[int, float]) -> TrendReport:
    """What is told of campaigns in which these cases take so many times as long since one."""
    chance = random.Random(4)
    for number in range(CAMPAIGNS):
        seconds = {
            f"a/t.py::t{index}": 0.5
            * (factors.get(index, 1.0) if number >= SHIFT else 1.0)
            * chance.lognormvariate(0, 0.03)
            for index in range(CASES)
        }
        write_timed(
            state,
            f"c{number:04d}",
            seconds,
            began=1.7e9 + number * 3600,
            commit=f"{number:040x}",
            project="p",
        )
    store = Store(state)
    ingest(store)
    return analyze(store)


def shifts(report: TrendReport) -> list[TrendFinding]:
    return [each for each in report.findings if each.kind is Kind.CHANGE]


def cases_of(report: TrendReport) -> set[str]:
    return {name.case for each in report.regressions for name in each.series}


@pytest.mark.parametrize(("by", "word"), [(1.5, "slower"), (0.6, "faster")])
def test_what_all_cases_do_at_once_is_suspected_and_says_why(tmp_path, by, word):
    """With its commit all the same: it may be something that all of them share."""
    (found,) = shifts(stepping(tmp_path, dict.fromkeys(range(CASES), by)))
    assert (found.status, found.commit, found.shared) == (Status.SUSPECTED, COMMIT, True)
    assert len(found.series) == CASES
    assert f"of 8 cases compared on cpu 8 got {word} alike" in found.text


def test_it_needs_nearly_all(tmp_path):
    """Half of them is no machine."""
    report = stepping(tmp_path, dict.fromkeys(range(CASES // 2), 1.5))
    assert cases_of(report) == {f"a/t.py::t{index}" for index in range(CASES // 2)}
    (found,) = shifts(report)
    assert not found.shared
    assert "alike" not in found.text


def test_who_goes_far_beyond_the_others_is_sure(tmp_path):
    """The machine takes a fifth more; one case three times as long."""
    report = stepping(tmp_path, dict.fromkeys(range(CASES), 1.2) | {3: 3.0})
    assert "a/t.py::t3" in cases_of(report)


def test_a_look_at_one_case_knows_of_the_others(tmp_path):
    """What the whole look tells of it, no more and no less."""
    stepping(tmp_path, dict.fromkeys(range(CASES), 1.5))
    (found,) = shifts(analyze(Store(tmp_path), case="a/t.py::t2"))
    assert (found.status, found.shared) == (Status.SUSPECTED, True)


def test_few_cases_tell_nothing_of_their_machine(tmp_path):
    """Of a suite of three benchmarks each is told as what it is."""
    chance = random.Random(5)
    for number in range(CAMPAIGNS):
        slow = 1.5 if number >= SHIFT else 1.0
        seconds = {f"a/t.py::t{n}": 0.5 * slow * chance.lognormvariate(0, 0.03) for n in range(3)}
        at = 1.7e9 + number * 3600
        write_timed(
            tmp_path, f"c{number:04d}", seconds, began=at, commit=f"{number:040x}", project="p"
        )
    store = Store(tmp_path)
    ingest(store)
    assert cases_of(analyze(store)) == {f"a/t.py::t{n}" for n in range(3)}
