"""`proctor check`: what it prints, and the code it ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from virtual_campaigns import perform
from virtual_plays import Play, cases, worker

from proctor.deployments.cli import main


def campaign(state: Path, name: str, **fields: object) -> Path:
    play = Play(name=name, cases=cases(4), workers=[worker("w1")], **fields)  # type: ignore[arg-type]
    return perform(play, state)


def checked(state: Path, *arguments: str) -> int:
    return main(["check", "--state", str(state), *arguments])


def test_a_sound_campaign_ends_with_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each invariant has a line, and the last one says what they come to."""
    campaign(tmp_path, "c1")
    assert checked(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Campaign c1 is valid"
    assert "valid    no-case-lost" in lines


def test_a_violation_is_told_with_its_rows_and_code_8(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a document, too: the rows under each invariant."""
    directory = campaign(tmp_path, "c1")
    journal = directory / "ledger-000001.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    gone = next(line for line in lines if '"k":"attempt"' in line)
    journal.write_text("".join(line for line in lines if line != gone))
    assert checked(tmp_path) == 8
    assert f"{json.loads(gone)['case']} was never run" in capsys.readouterr().out
    assert checked(tmp_path, "--json") == 8
    document = json.loads(capsys.readouterr().out)
    assert document["validity"] == "invalid"
    found = {each["invariant"]: each for each in document["held"]}
    assert found["no-case-lost"]["count"] == 1
    assert found["no-case-lost"]["offences"][0]["subject"] == json.loads(gone)["case"]


def test_what_nobody_can_tell_is_no_pass(tmp_path: Path) -> None:
    """A campaign without its last word ends with 6, as does one that lacks expected faults."""
    directory = campaign(tmp_path, "c1")
    assert checked(tmp_path, "--expect-faults") == 6
    journal = directory / "ledger-000001.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"k":"close"' not in line))
    assert checked(tmp_path) == 6


def test_two_campaigns_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A case that came out otherwise is named."""
    campaign(tmp_path, "c1")
    campaign(tmp_path, "c2", outcomes={"test_0.py::test_0": ("failed",)})
    assert checked(tmp_path, "c1", "--against", "c2") == 8
    assert "test_0.py::test_0 is passed; in the other campaign it is failed" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("c9",), "no campaign is called 'c9'"),
        (("c1", "--against", "c1"), "c1 cannot be compared with itself"),
        (("c1", "--wait-limit", "soon"), "--wait-limit 'soon' is no duration"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """What cannot be used is said in a sentence, with code 4."""
    campaign(tmp_path, "c1")
    assert checked(tmp_path, *arguments) == 4
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
