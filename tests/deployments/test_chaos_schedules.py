"""`proctor chaos replay` and `shrink`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proctor.deployments.cli import main
from proctor.infra.faults.schedule import parse_schedule, seeded

# One long case whose session is killed thrice is taken for the killer; the others are harmless.
KILLS = [
    {"fault": "kill", "target": "runner:busy", "at": 1},
    {"fault": "kill", "target": "runner:busy", "at": 4},
    {"fault": "kill", "target": "runner:busy", "at": 7},
]
FAILING: dict[str, Any] = {
    "title": "killed thrice",
    "stage": {"workers": 1, "files": 1, "cases_in_file": 1, "case_seconds": 5},
    "method": [
        {"fault": "latency", "target": "worker", "at": 0.2, "for": 1},
        KILLS[0],
        {"fault": "cpu", "target": "host", "at": 1.5, "for": 1},
        {"fault": "clock", "target": "worker", "at": 2, "for": 1},
        KILLS[1],
        {"fault": "bandwidth", "target": "worker", "at": 5, "for": 1},
        KILLS[2],
    ],
}


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    path = tmp_path / "failing.json"
    path.write_text(json.dumps(FAILING))
    return path


def test_a_simulated_seed_has_the_same_digest_each_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On one line, and in the document."""
    assert main(["chaos", "replay", "7", "--simulated", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["validity"] == "valid"
    assert document["counts"] == {"passed": 90}
    assert main(["chaos", "replay", "7", "--simulated", "--history"]) == 0
    told = capsys.readouterr().out
    assert f"digest {document['digest']}" in told
    assert "seed 7: valid (simulated)" in told
    assert told.count("commit ") == 90 + document["wasted"]


def test_a_printed_schedule_plays_as_its_seed_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in between changes nothing."""
    path = tmp_path / "seven.json"
    assert main(["chaos", "replay", "7", "--most", "9", "--print"]) == 0
    path.write_text(capsys.readouterr().out)
    assert parse_schedule(json.loads(path.read_text()), source="it") == seeded(7, most=9)
    digests: list[str] = []
    for what in (["7", "--most", "9"], [str(path)]):
        main(["chaos", "replay", *what, "--simulated", "--json"])
        digests.append(json.loads(capsys.readouterr().out)["digest"])
    assert digests[0] == digests[1]


def test_a_schedule_that_fails_is_invalid(
    failing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the code that violated invariants have."""
    assert main(["chaos", "replay", str(failing), "--simulated"]) == 8
    assert "is crashed, and passes without the faults" in capsys.readouterr().out


def test_a_schedule_of_which_nothing_was_injected_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its code; it says what was left out and why, and shrinking it names `--live`."""
    path = tmp_path / "late.json"
    path.write_text(
        json.dumps({"title": "late", "method": [{"fault": "kill", "target": "worker", "at": 99}]})
    )
    assert main(["chaos", "replay", str(path), "--simulated"]) == 6
    told = capsys.readouterr().out
    assert "late: unknown (simulated)" in told
    assert "kill worker was not injected: it was due at 99 s, and the campaign was over" in told
    assert "0 of 1 faults injected" in told
    assert main(["chaos", "replay", str(path), "--simulated", "--json"]) == 6
    document = json.loads(capsys.readouterr().out)
    assert (document["validity"], len(document["unknown"])) == ("unknown", 1)
    assert main(["chaos", "shrink", str(path)]) == 4
    assert capsys.readouterr().err.splitlines()[-1].endswith("with --simulated, or add --live")


def test_shrinking_leaves_what_is_needed(
    failing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a document, as a file that fails too, and with a line for each try."""
    least = tmp_path / "least.json"
    assert main(["chaos", "shrink", str(failing), "--output", str(least), "--json"]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["minimal"] is True
    assert [(each["fault"], each["at"]) for each in document["schedule"]["method"]] == [
        ("kill", 1),
        ("kill", 4),
        ("kill", 7),
    ]
    assert told.err.splitlines()[0].startswith("try 1: 7 of 7 faults fail")
    assert len(told.err.splitlines()) == document["tries"]
    assert main(["chaos", "replay", str(least), "--simulated"]) == 8


def test_shrinking_ends_when_told(failing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its code says that the tries were used up."""
    assert main(["chaos", "shrink", str(failing), "--tries", "2"]) == 9
    assert "perhaps fewer would do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "nothing.json", "--simulated"], "there is no schedule"),
        (["replay", "seven"], "'seven' is neither a seed nor a file; write a number from 0 on"),
        (["shrink", "-3"], "'-3' is neither a seed nor a file"),
        (["replay", "7"], "no fleet is up"),
        (["shrink", "7", "--live"], "no fleet is up"),
        (["shrink", "7"], "seed 7 holds: there is nothing to shrink"),
        (["replay", "7", "--suite", "nowhere"], "the suite nowhere is not there"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is touched."""
    monkeypatch.chdir(tmp_path)
    code = main(["chaos", *arguments, "--state", str(tmp_path / "state")])
    # No fleet is the fleet's exit code, as `scale` has it; the rest was typed.
    assert code == (6 if "no fleet" in words else 4)
    told = capsys.readouterr().err.splitlines()[-1]
    assert words in told
    assert not (tmp_path / "state").exists()
