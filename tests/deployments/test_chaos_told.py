"""What `proctor chaos run` prints of an experiment that was run."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.deployments.acts.chaos_acts import tell_performed
from proctor.deployments.cli import main
from proctor.flows.experiment import Performed
from proctor.infra.faults.experiment import FaultStep, ProbeStep, parse_experiment, read_experiment
from proctor.infra.faults.journal import Done, ExperimentJournal
from proctor.infra.faults.verdict import Finding, Validity


def test_what_kept_it_from_showing_anything_comes_first_and_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The load's own words, what was wanted of a probe, and one reason for many invariants."""
    experiment = parse_experiment(
        {"title": "mine", "method": [{"pause": 0}]}, source="here", directory=tmp_path
    )
    tolerance = {"type": "range", "range": [9, 1_000_000]}
    step = ProbeStep(name="workers", what="workers", tolerance=tolerance)
    none = ("no campaign ran meanwhile",)
    journal = ExperimentJournal(
        experiment=experiment,
        began=0.0,
        load_problem="the load began no campaign (exit code 4): there is no file x.py",
        before=[Done(step=step, began=0.0, ended=1.0, status="failed", output=3, tolerated=False)],
        findings=[
            Finding(invariant="ended", validity=Validity.UNKNOWN, reasons=none),
            Finding(invariant="sound", validity=Validity.UNKNOWN, reasons=none),
            Finding(invariant="undone", validity=Validity.VALID),
            Finding(invariant="calm", validity=Validity.VALID),
            Finding(invariant="record", validity=Validity.UNKNOWN, reasons=none),
        ],
    )
    code = tell_performed(Performed(journal=journal, directory=tmp_path), as_json=False)
    assert code == 6
    told = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert told[1:7] == [
        journal.load_problem,
        "workers did not hold before: 3, at least 9 wanted",
        "ended, sound, record unknown",
        none[0],
        "undone               valid",
        "calm                 valid",
    ]
    assert journal.document("1")["proctor"]["obstacles"] == told[1:3]


def test_the_list_of_faults_shows_where_their_options_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last line can be copied into a method."""
    assert main(["chaos", "list", "--kinds"]) == 0
    told = capsys.readouterr().out
    assert "   with delay: " in told
    path = tmp_path / "e.yaml"
    path.write_text(f"title: t\nmethod:\n  - {told.splitlines()[-1].strip()}\n")
    (step,) = read_experiment(path).method
    assert isinstance(step, FaultStep)
    assert step.parameters == {"delay": "300ms"}
