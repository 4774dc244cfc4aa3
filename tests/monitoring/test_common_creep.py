"""A machine that gets busier slows every case alike: none is called a sure regression for it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from timed_campaigns import write_timed

from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
from proctor.monitoring.trends.analyzer import analyze
from proctor.monitoring.trends.findings import Status, TrendReport
from proctor.monitoring.trends.journal import remember_findings

CASES, CAMPAIGNS = 6, 40
ONE = "a/t.py::t0"


def creeping(state, creeps: dict[int, float]) -> TrendReport:
    """What is told of campaigns in which these cases get slower by so much, bit by bit."""
    chance = random.Random(4)
    for number in range(CAMPAIGNS):
        seconds = {
            f"a/t.py::t{index}": 0.5
            * (1 + creeps.get(index, 0.0) * number / (CAMPAIGNS - 1))
            * chance.lognormvariate(0, 0.03)
            for index in range(CASES)
        }
        began = 1.7e9 + number * 3600
        write_timed(
            state, f"c{number:04d}", seconds, began=began, commit=f"{number:040x}", project="p"
        )
    store = Store(state)
    ingest(store)
    return analyze(store)


def cases_of(report: TrendReport) -> set[str]:
    return {name.case for each in report.regressions for name in each.series}


@pytest.mark.parametrize(("by", "word"), [(0.6, "slower"), (-0.4, "faster")])
def test_what_all_cases_creep_alike_is_suspected_and_a_note_says_why(tmp_path, by, word):
    """Each is told, none for sure: nobody is alarmed, and nothing is hidden."""
    report = creeping(tmp_path, dict.fromkeys(range(CASES), by))
    assert len(report.findings) == CASES
    assert {each.status for each in report.findings} == {Status.SUSPECTED}
    assert report.regressions == ()
    (note,) = report.notes
    assert note.startswith("6 cases on cpu creep alike")
    assert f"{word} at the median: the machine" in note


def test_a_case_that_creeps_beyond_the_others_is_sure(tmp_path):
    """The machine takes a third more; one case twice as long."""
    report = creeping(tmp_path, dict.fromkeys(range(CASES), 0.3) | {2: 1.2})
    assert cases_of(report) == {"a/t.py::t2"}
    assert len(report.findings) == CASES
    assert len(report.notes) == 1


@pytest.mark.parametrize(
    "creeps",
    [
        dict.fromkeys(range(CASES), 0.6),
        dict.fromkeys(range(CASES), 0.3) | {0: 1.2},
        dict.fromkeys(range(3), 0.6),
        {0: 0.6},
        {1: 0.6},
    ],
)
def test_a_look_at_one_case_tells_what_the_whole_look_tells_of_it(tmp_path, creeps):
    """The others are looked at for that, and their creep is the same."""
    whole = creeping(tmp_path, creeps)
    told = {each.id: (each.status, each.text) for each in whole.findings if each.lead.case == ONE}
    one = analyze(Store(tmp_path), case=ONE)
    assert {each.id: (each.status, each.text) for each in one.findings} == told
    assert one.notes == (whole.notes if told else ())


def test_what_creeps_alike_has_not_recovered(tmp_path):
    """A case that was sure before the others came to creep as well stays so."""
    report = creeping(tmp_path, dict.fromkeys(range(CASES), 0.6))
    before = replace(report.findings[0], status=Status.CONFIRMED)
    store = Store(tmp_path)
    remember_findings(store, replace(report, findings=(before,)))
    settled = remember_findings(store, report)
    assert Status.RECOVERED not in {each.status for each in settled.news}
    assert {each.id: each.status for each in settled.report.findings}[before.id] == Status.CONFIRMED


def test_cases_that_creep_while_others_stand_are_sure(tmp_path):
    """Half of them is no machine."""
    report = creeping(tmp_path, dict.fromkeys(range(3), 0.6))
    assert cases_of(report) == {f"a/t.py::t{index}" for index in range(3)}
    assert report.notes == ()


def test_cases_that_creep_unlike_each_other_are_sure(tmp_path):
    """A machine does not take one case a tenth longer and another three times as long."""
    report = creeping(tmp_path, {0: 0.12, 1: 0.4, 2: 1.2, 3: 3.0, 4: 6.0, 5: 0.2})
    assert report.notes == ()
    assert cases_of(report) >= {"a/t.py::t3", "a/t.py::t4"}
