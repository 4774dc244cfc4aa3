"""The flow that injects faults: what its caller gets, and how its page reads."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

import proctor
from proctor.flows import inject
from proctor.infra.errors import UsageProblem
from proctor.infra.faults.verdict import Validity


def performed(validity: Validity, reason: str = "") -> Any:
    """An experiment that was run."""
    journal = SimpleNamespace(
        experiment=SimpleNamespace(title="frozen", seed=4),
        validity=validity,
        status="completed",
        began=100.0,
        faults=[
            {"fault": "freeze", "target": "a|b", "begins": 101.0, "until": 103.0, "commits": 2}
        ],
        campaigns=("c-1",),
        obstacles=[],
        findings=[SimpleNamespace(invariant="no-loss", validity=validity, reasons=(reason,))],
    )
    return SimpleNamespace(journal=journal, journal_path="j.json", timeline_path="t.html")


async def no_artifact(**_: object) -> None:
    """Nobody looks at Prefect's page here."""


def test_an_experiment_that_did_not_hold_is_told_to_its_caller(monkeypatch):
    """With its result, and not as a defect of Prefect's."""
    monkeypatch.setattr(inject, "acreate_markdown_artifact", no_artifact)
    monkeypatch.setattr(inject, "_perform", lambda *_: performed(Validity.INVALID, "one lost"))

    state = asyncio.run(inject.inject_faults.fn("x.yaml"))

    assert state.message == "frozen: invalid; one lost"
    with pytest.raises(inject.ExperimentFailed, match="one lost") as told:
        state.result()
    assert told.value.result.campaigns == ["c-1"]


def test_tables_stay_tables_whatever_stands_in_them():
    """A bar would end a cell, and a line end the row."""
    page = inject.markdown_of(performed(Validity.INVALID, "one|two\nthree"))
    assert "| freeze | a\\|b | +1.0 s | 2.0 s | 2 |" in page
    assert "| no-loss | invalid | one\\|two three |" in page


def test_neither_file_nor_document_is_said_so(tmp_path):
    """The form proposes both empty."""
    with pytest.raises(UsageProblem, match="no experiment was given"):
        inject._perform("", {}, None, str(tmp_path))


@pytest.mark.parametrize("name", ["ExperimentFailed", "inject_faults"])
def test_both_are_there_by_the_packages_name(name: str) -> None:
    """As the other flows are."""
    assert getattr(proctor, name) is getattr(inject, name)
    assert name in proctor.__all__
