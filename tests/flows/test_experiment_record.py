"""What an experiment that asks for it says of its campaigns' records."""

from __future__ import annotations

from pathlib import Path

from virtual_campaigns import perform
from virtual_plays import Play, cases, worker

from proctor.flows.experiment import record_findings
from proctor.infra.faults.experiment import parse_experiment
from proctor.infra.faults.verdict import RECORD, Limits, Validity, examine, overall


def test_each_campaign_is_checked(tmp_path: Path) -> None:
    """A sound one is valid; with a result missing the experiment is invalid, and says what."""
    play = Play(name="c1", cases=cases(4), workers=[worker("w1")], kills=[(0.1, "w1")])
    journal = perform(play, tmp_path) / "ledger-000001.jsonl"
    sound = record_findings(tmp_path, ["c1"])
    assert overall(sound) is Validity.VALID
    assert "detected-in-time" in {each.invariant for each in sound}
    lines = journal.read_text().splitlines(keepends=True)
    last = next(line for line in reversed(lines) if '"k":"attempt"' in line)
    journal.write_text("".join(line for line in lines if line != last))
    found = {each.invariant: each for each in record_findings(tmp_path, ["c1"])}
    assert found["no-case-lost"].validity is Validity.INVALID
    assert "was never run" in found["no-case-lost"].reasons[0]


def test_nothing_to_check_is_unknown(tmp_path: Path) -> None:
    """Unknown is no pass: no campaign ran, or its ledger is gone."""
    assert overall(record_findings(tmp_path, [])) is Validity.UNKNOWN
    assert overall(record_findings(tmp_path, ["c9"])) is Validity.UNKNOWN


def test_it_is_held_by_default_and_to_the_limits_given(tmp_path: Path) -> None:
    """A crowded machine is given longer; whoever leaves the record out is not bothered with it."""
    document = {"title": "t", "method": [{"pause": 0}], "limits": {"dead": "1m"}}
    usual = parse_experiment(document, source="here", directory=tmp_path)
    assert RECORD in usual.invariants
    assert (usual.limits.dead, usual.limits.frozen) == (60.0, Limits().frozen)
    play = Play(name="c1", cases=cases(4), workers=[worker("w1")], kills=[(0.1, "w1")])
    perform(play, tmp_path)
    strict = record_findings(tmp_path, ["c1"], limits=Limits(dead=0.0))
    assert overall(record_findings(tmp_path, ["c1"], limits=usual.limits)) is Validity.VALID
    assert [each.invariant for each in strict if each.validity is Validity.INVALID] == [
        "detected-in-time"
    ]


def test_it_is_asked_for_by_name(tmp_path: Path) -> None:
    """What reads the ledgers without SQL passes it over."""
    document = {"title": "t", "method": [{"pause": 0}], "invariants": ["undone", RECORD]}
    asked = parse_experiment(document, source="here", directory=tmp_path)
    assert asked.invariants == ("undone", RECORD)
    assert [each.invariant for each in examine(asked.invariants, state=tmp_path, campaigns=())] == [
        "undone"
    ]
