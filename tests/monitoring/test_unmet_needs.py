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
from proctor.infra.records import Requirements
from proctor.monitoring.invariants import Examination, examine_campaign

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


def test_a_later_fleet_that_does_not_either_breaks_nothing(tmp_path: Path) -> None:
    """It is left out twice."""
    perform(PLAY, tmp_path)
    directory = go_on(PLAY, tmp_path)
    assert last_line(directory)["counts"] == {"passed": 7, "not-run": 1}
    assert offences(examine_campaign(directory)) == {}


def _worker_had_it(lines: list[Line]) -> None:
    """The campaign left out what its only worker could have run."""
    next(each for each in lines if each["k"] == "worker")["facts"]["gpu"] = 1.0


def _never_left_out(lines: list[Line]) -> None:
    lines[:] = [each for each in lines if each.get("batch") != "unmet"]


def _another_was_lost(lines: list[Line]) -> None:
    """A case that the worker could run is told to be one that it could not."""
    for line in lines:
        if line["k"] == "attempt" and line["case"] == PLAIN[0].id:
            line.update(outcome="cancelled", batch="unmet", worker="", incarnation="")


@pytest.mark.parametrize(
    ("change", "case", "also_unsent"),
    [
        (_worker_had_it, GPU.id, True),
        (_never_left_out, GPU.id, False),
        (_another_was_lost, PLAIN[0].id, True),
    ],
)
def test_nothing_else_is_excused_by_it(
    tmp_path: Path, change: Callable[[list[Line]], None], case: str, also_unsent: bool
) -> None:
    """A case that a worker there could have run was lost, whatever it is called."""
    directory = perform(PLAY, tmp_path)
    journal = next(directory.glob("ledger-*.jsonl"))
    lines = [json.loads(raw) for raw in journal.read_text().splitlines()]
    change(lines)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))

    found = offences(examine_campaign(directory))

    assert f"{case} was never run" in found["no-case-lost"]
    assert ("sent-before-run" in found) == also_unsent
    if also_unsent:
        assert found["sent-before-run"][0].endswith(
            "it was left out, and a worker that was there has what it needs"
        )
