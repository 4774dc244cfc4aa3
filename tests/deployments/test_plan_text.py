"""A plan says what cases ask for beyond their markers, and how good predictions have been."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proctor.deployments.texts.plan_text import calibrated, print_plan
from proctor.flows.campaigns.rehearsal import Rehearsal
from proctor.infra.dispatching.durations import Durations
from proctor.infra.predictions import Calibration
from proctor.infra.records import Case, CaseKind, WorkerFacts
from proctor.infra.simulation.campaign import simulate

GRADE = Calibration(
    runs=1204, error=0.061, last_value_error=0.07, median_error=0.068, coverage=0.906
)
LEARNED = "test_a.py::test_big asks for 6.00 GB of memory: it used 4.90 GB"


def plan(grade: Calibration = GRADE) -> Rehearsal:
    return Rehearsal(
        cases=(),
        workers=(),
        placements=(),
        makespan=0.0,
        lower_bound=0.0,
        known=0,
        slots=2,
        learned=(LEARNED,),
        calibration=grade,
    )


def test_people_read_what_was_learned_and_how_well(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each."""
    print_plan(plan(), as_json=False)
    told = " ".join(capsys.readouterr().out.split())
    assert LEARNED in told
    assert "half of 1,204 runs over 0.1 s were foreseen within 6%" in told
    assert "91% within the 90 % interval" in told


def test_nothing_is_claimed_before_anything_was_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Predictions are graded by the runs that come after them."""
    print_plan(plan(Calibration()), as_json=False)
    assert "Predictions so far" not in capsys.readouterr().out


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Which case it is could not be told from its beginning; a task's reason is no file's."""
    task = Case(id="train-" + "x" * 90, group="t", index=0, kind=CaseKind.COMMAND)
    facts = WorkerFacts(
        name="cpu-1", incarnation="1", worker_class="cpu", slots=1, cpu=1.0, memory_bytes=1 << 30
    )
    run = simulate([task], [facts], seconds=lambda case: 1.0, durations=Durations(cases={}))
    print_plan(replace(plan(), cases=(task,), placements=tuple(run.placements)), as_json=False)
    row = next(line for line in capsys.readouterr().out.splitlines() if "train-" in line)
    assert task.id in row
    assert "the largest task not begun" in row


def test_what_cannot_run_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason, once for all that miss the same."""
    misses = dict.fromkeys(("t.py::a", "t.py::b"), "needs gpu=1, the largest worker has gpu=0")
    print_plan(replace(plan(), not_run=misses), as_json=False)
    told = capsys.readouterr().out
    assert "not run: 2 cases need gpu=1, the largest worker has gpu=0 (t.py::a, t.py::b)" in told
    print_plan(replace(plan(), not_run=misses), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["not_run"] == [{"case": case, "why": why} for case, why in misses.items()]


def test_what_would_be_an_error_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for all that lack the same."""
    lacks = dict.fromkeys(("a", "b", "c"), "there is no program x on the PATH")
    found = {**lacks, "d": "there is no directory /y"}
    print_plan(replace(plan(), not_found=found), as_json=False)
    told = capsys.readouterr().out
    assert "would be errors: a, b, ...: there is no program x on the PATH\n" in told
    assert "would be an error: d: there is no directory /y\n" in told
    print_plan(replace(plan(), not_found=found), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["not_found"] == [{"case": case, "why": why} for case, why in found.items()]


def test_programs_read_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """One document."""
    print_plan(plan(), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["learned_needs"] == [LEARNED]
    assert told["calibration"]["coverage"] == GRADE.coverage
    assert "1,204" in calibrated(GRADE)


def test_a_plan_without_cases_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """No figures, which would be of nothing."""
    why = "There is no task to run in tasks.json."
    assert print_plan(replace(plan(), nothing=why), as_json=False) == 5
    told = " ".join(capsys.readouterr().out.split())
    assert why in told
    assert "0 cases" not in told
