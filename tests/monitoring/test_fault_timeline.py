"""The page of an experiment: everything that happened stands in it, and nothing it names can act."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.infra.faults.experiment import parse_experiment
from proctor.infra.faults.journal import Done, ExperimentJournal
from proctor.infra.faults.verdict import Finding, Validity
from proctor.monitoring.reports.fault_timeline import render_timeline

EVIL = "</title><script>alert(1)</script>"


def journal(count: int = 3, **more: object) -> ExperimentJournal:
    given = {
        "title": EVIL,
        "steady_state": [{"probe": "workers", "at_least": 2}],
        "method": [{"pause": 1}],
    }
    experiment = parse_experiment(given, source="e", directory=Path("/"))
    (probe,) = experiment.steady_state
    met = Done(step=probe, began=100, ended=100, status="succeeded", output=2, tolerated=True)
    return ExperimentJournal(
        experiment=experiment,
        began=100.0,
        ended=110.0,
        before=[met],
        after=[met],
        findings=(Finding(invariant="sound", validity=Validity.VALID, reasons=(EVIL,)),),
        faults=[
            {
                "id": f"f-{number}",
                "fault": "kill",
                "target": f"worker:cpu-{number}",
                "begins": 102.0,
                "until": 105.0,
                "commits": 7,
            }
            for number in range(count)
        ],
        **more,
    )


def test_faults_are_shaded_and_their_labels_do_not_cover_each_other(tmp_path: Path) -> None:
    """Three that began at once stand below each other."""
    page = render_timeline(tmp_path, journal())
    assert page.count('class="shade"') == 3
    rows = {part.partition('"')[0] for part in page.split('" y="')[1:]}
    assert {"10.0", "22.0", "34.0"} <= rows
    assert "3.0 s" in page


def test_what_is_named_cannot_act(tmp_path: Path) -> None:
    """A title is text, and the page fetches nothing."""
    page = render_timeline(tmp_path, journal())
    assert "<script" not in page
    assert "&lt;script" in page
    assert "src=" not in page


def test_a_campaign_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    """The findings say so; the page is there."""
    assert "kill" in render_timeline(tmp_path, journal(campaigns=("gone",)))


@pytest.mark.parametrize(
    ("status", "found", "validity"),
    [
        ("completed", Validity.VALID, Validity.VALID),
        ("completed", Validity.INVALID, Validity.INVALID),
        ("completed", Validity.UNKNOWN, Validity.UNKNOWN),
        ("aborted", Validity.VALID, Validity.UNKNOWN),
        ("aborted", Validity.INVALID, Validity.INVALID),
        ("failed", Validity.VALID, Validity.UNKNOWN),
    ],
)
def test_unknown_is_no_pass(status: str, found: Validity, validity: Validity) -> None:
    """Neither is a run that was cut short."""
    told = journal(status=status)
    told.findings = (Finding(invariant="sound", validity=found),)
    assert told.validity is validity


def test_a_steady_state_that_is_gone_afterwards_is_a_violation() -> None:
    """Chaos Toolkit calls that deviated."""
    told = journal()
    told.after[0].tolerated = False
    told.after = list(told.after)
    document = told.document("1")
    assert told.validity is Validity.INVALID
    assert document["deviated"] is True
    assert document["steady_states"]["after"]["steady_state_met"] is False
