"""Campaigns with cases that no worker could run: their record is sound, and says no more than that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from virtual_campaigns import go_on, perform
from virtual_plays import Play, cases, worker

from proctor.infra.faults.verdict import Validity
from proctor.infra.judge import check_invariants, judge_record
from proctor.infra.ledgers.ledger import read_campaign
from proctor.infra.ledgers.lines import LACKING
from proctor.infra.records import Requirements
from proctor.monitoring.invariants import Examination, examine_campaign
from proctor.monitoring.reports.digest import digest_of

Line = dict[str, Any]
PLAIN = cases(8, files=2)
GPU = replace(PLAIN[5], needs=Requirements(gpu=1.0))
PLAY = Play(
    name="unmet",
    cases=[*PLAIN[:5], GPU, *PLAIN[6:]],
    workers=[worker("w1")],
    seconds={case.id: 0.3 for case in PLAIN},
)


def offences(examination: Examination) -> dict[str, list[str]]:
    return {
        held.invariant: [each.reason for each in held.offences]
        for held in examination.held
        if held.validity is not Validity.VALID
    }


def last_line(directory: Path) -> Line:
    journal = max(directory.glob("ledger-*.jsonl"))
    return json.loads(journal.read_text().splitlines()[-1])


def test_needs_that_nobody_meets_break_nothing(tmp_path: Path) -> None:
    """Its cases end as not run, which the check of the record takes for what it is."""
    directory = perform(PLAY, tmp_path)
    assert last_line(directory)["counts"] == {"passed": 7, "not-run": 1}
    assert offences(examine_campaign(directory)) == {}


def test_a_later_fleet_that_meets_them_breaks_nothing(tmp_path: Path) -> None:
    """Left out by one writer and run by the next, the case has its result."""
    perform(PLAY, tmp_path)
    directory = go_on(replace(PLAY, workers=[worker("w1"), worker("w2", gpu=1.0)]), tmp_path)
    assert last_line(directory)["counts"] == {"passed": 8}
    assert offences(examine_campaign(directory)) == {}
    # Nor is it said any longer that it was not run.
    assert not_run(directory) == []


def test_a_later_fleet_that_does_not_either_breaks_nothing(tmp_path: Path) -> None:
    """It is left out twice."""
    perform(PLAY, tmp_path)
    directory = go_on(PLAY, tmp_path)
    assert last_line(directory)["counts"] == {"passed": 7, "not-run": 1}
    assert offences(examine_campaign(directory)) == {}
    # Whoever reads the end reads it once.
    assert len(not_run(directory)) == 1


def not_run(directory: Path) -> list[str]:
    notes = digest_of(read_campaign(directory)).notes
    return [text for _, text in notes if text.startswith(LACKING)]


def rewrite(directory: Path, change: Callable[[list[Line]], None]) -> None:
    journal = next(directory.glob("ledger-*.jsonl"))
    lines = [json.loads(raw) for raw in journal.read_text().splitlines()]
    change(lines)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def as_earlier_versions_wrote(lines: list[Line]) -> None:
    """An attempt that never was, in a batch that never was."""
    for line in lines:
        if line["k"] == "unmet":
            line.update(
                k="attempt",
                id=f"1.unmet.{line['case']}",
                outcome="cancelled",
                started=line["t"],
                finished=line["t"],
                batch="unmet",
                epoch=1,
                message=line.pop("reason"),
            )


def as_it_is(lines: list[Line]) -> None:
    """What this version wrote."""


WRITTEN = pytest.mark.parametrize("written", [as_it_is, as_earlier_versions_wrote])


@WRITTEN
def test_however_it_was_written_it_reads_the_same(
    tmp_path: Path, written: Callable[[list[Line]], None]
) -> None:
    """Attempts are executions: a case that had none has none, and its verdict says why."""
    directory = perform(PLAY, tmp_path)
    rewrite(directory, written)

    record = read_campaign(directory)

    verdict = judge_record(record)[GPU.id]
    assert (verdict.judgement, verdict.attempts) == ("not-run", 0)
    assert verdict.message == "needs gpu=1, the largest worker has gpu=0"
    assert len(record.attempts) == 7
    assert check_invariants(record) == []
    assert offences(examine_campaign(directory)) == {}


def _worker_had_it(lines: list[Line]) -> None:
    """The campaign left out what its only worker could have run."""
    next(each for each in lines if each["k"] == "worker")["facts"]["gpu"] = 1.0


def _never_left_out(lines: list[Line]) -> None:
    lines[:] = [each for each in lines if "unmet" not in (each["k"], each.get("batch"))]


def _another_was_lost(lines: list[Line]) -> None:
    """A case that the worker could run is told to be one that it could not."""
    told = next(each for each in lines if "unmet" in (each["k"], each.get("batch")))
    lines[:] = [
        {**told, "case": PLAIN[0].id, "id": f"1.unmet.{PLAIN[0].id}"}
        if each["k"] == "attempt" and each["case"] == PLAIN[0].id
        else each
        for each in lines
    ]


def _it_is_of_no_case(lines: list[Line]) -> None:
    lines[:] = [each for each in lines if not (each["k"] == "case" and each["id"] == GPU.id)]


@WRITTEN
@pytest.mark.parametrize(
    ("change", "invariant", "reason"),
    [
        (
            _worker_had_it,
            "no-case-lost",
            f"{GPU.id} was left out, and w1 was there, which has what it needs",
        ),
        (_never_left_out, "no-case-lost", f"{GPU.id} was never run"),
        (
            _another_was_lost,
            "no-case-lost",
            f"{PLAIN[0].id} was left out, and w1 was there, which has what it needs",
        ),
        (
            _it_is_of_no_case,
            "one-verdict",
            f"{GPU.id} was left out, which is no case of this campaign",
        ),
    ],
)
def test_nothing_else_is_excused_by_it(
    tmp_path: Path,
    written: Callable[[list[Line]], None],
    change: Callable[[list[Line]], None],
    invariant: str,
    reason: str,
) -> None:
    """A case that a worker there could have run was lost, whatever it is called."""
    directory = perform(PLAY, tmp_path)
    rewrite(directory, written)
    rewrite(directory, change)

    found = offences(examine_campaign(directory))

    assert found[invariant] == [reason]
    # No execution is missing an order: there was none.
    assert "sent-before-run" not in found
