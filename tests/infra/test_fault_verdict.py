"""Whom an experiment may blame: cases that fail by themselves say nothing of its faults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from ledger_parts import Clock, open_ledger

from proctor.infra.faults.lease import FaultFiles, FaultLease
from proctor.infra.faults.record import FaultRecorder
from proctor.infra.faults.verdict import Finding, Validity, examine
from proctor.infra.records import Attempt, Case, Outcome

GOOD, BAD, FLAKY = (f"test_a.py::test_{name}" for name in ("good", "bad", "flaky"))


def campaign(
    state: Path, name: str, at: float, results: Mapping[str, str], *, project: str = "orchard"
) -> None:
    """One that ended within a second of its time."""
    clock = Clock(at)
    with open_ledger(state / "campaigns" / name, clock=clock, project=project, root="/r") as ledger:
        for index, (case, outcome) in enumerate(results.items()):
            ledger.case(Case(id=case, group="test_a.py", index=index))
            ledger.attempt(
                Attempt(
                    case=case,
                    id=f"1.b.{case}",
                    outcome=Outcome(outcome),
                    started=at,
                    finished=at,
                    worker="w1",
                    batch="b",
                    epoch=1,
                    message="no",
                )
            )
        clock.now = at + 1
        ledger.write("close", state="completed", exit_code=0, counts={})


def blamed(state: Path, *, invariant: str = "none-blamed") -> Finding:
    """What is said of the campaign that ran under faults."""
    (found,) = examine((invariant,), state=state, campaigns=["faulty"])
    return found


def test_what_fails_without_faults_too_does_not_count(tmp_path: Path) -> None:
    """Only what passed when nothing was done is held against the faults."""
    campaign(tmp_path, "calm", 100, {GOOD: "passed", BAD: "failed"})
    campaign(tmp_path, "faulty", 200, {GOOD: "passed", BAD: "crashed"})
    assert blamed(tmp_path).validity is Validity.VALID
    campaign(tmp_path / "other", "calm", 100, {GOOD: "passed", BAD: "failed"})
    campaign(tmp_path / "other", "faulty", 200, {GOOD: "crashed", BAD: "failed"})
    found = blamed(tmp_path / "other")
    assert found.validity is Validity.INVALID
    assert found.reasons == (f"{GOOD} is crashed: no",)


def test_a_suite_that_never_ran_alone_is_unknown(tmp_path: Path) -> None:
    """One sentence says what to do; another project's campaign says nothing."""
    campaign(tmp_path, "other", 100, {BAD: "failed"}, project="meadow")
    campaign(tmp_path, "faulty", 200, {GOOD: "passed", BAD: "failed"})
    found = blamed(tmp_path)
    assert found.validity is Validity.UNKNOWN
    (reason,) = found.reasons
    assert reason.startswith(f"{BAD} failed")
    assert reason.endswith("run the suite once without faults first")


def test_where_nothing_failed_nobody_has_to_run_it_first(tmp_path: Path) -> None:
    """Valid at once."""
    campaign(tmp_path, "faulty", 200, {GOOD: "passed"})
    assert blamed(tmp_path).validity is Validity.VALID


def test_a_campaign_under_faults_is_no_measure(tmp_path: Path) -> None:
    """Not even one that was on when a fault of another experiment ended."""
    files = FaultFiles(state=tmp_path)
    clock = Clock(90)
    recorder = FaultRecorder(files, clock=clock)
    lease = FaultLease(id="f1", kind="slow", target="worker:w", begins=90, until=95, undo=())
    recorder.tell(lease, "injected")
    clock.now = 100.5
    recorder.tell(lease, "undone")
    recorder.close()
    campaign(tmp_path, "struck", 100, {BAD: "failed"})
    campaign(tmp_path, "faulty", 200, {BAD: "failed"})
    assert blamed(tmp_path).validity is Validity.UNKNOWN
    campaign(tmp_path, "calm", 150, {BAD: "failed"})
    assert blamed(tmp_path).validity is Validity.VALID


@pytest.mark.parametrize(
    ("newest", "older", "validity"),
    [
        ("passed", "failed", Validity.UNKNOWN),
        ("failed", "passed", Validity.VALID),
        ("infra-lost", "failed", Validity.VALID),
        ("passed", "passed", Validity.INVALID),
    ],
)
def test_the_newest_result_decides_and_a_flaky_case_is_unknown(
    tmp_path: Path, newest: str, older: str, validity: Validity
) -> None:
    """A case that passes and fails as it likes cannot be held against the faults."""
    campaign(tmp_path, "older", 100, {FLAKY: older})
    campaign(tmp_path, "newest", 120, {FLAKY: newest})
    campaign(tmp_path, "faulty", 200, {FLAKY: "failed"})
    assert blamed(tmp_path).validity is validity


def test_a_suite_known_to_pass_needs_no_measure(tmp_path: Path) -> None:
    """`none-failed` takes nobody's word for a failure."""
    campaign(tmp_path, "faulty", 200, {BAD: "failed"})
    assert blamed(tmp_path, invariant="none-failed").validity is Validity.INVALID
