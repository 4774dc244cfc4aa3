"""What failures of a flaky case go with, as the store tells it: causes, and no consequences."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from proctor.infra.ledgers.campaigns import campaigns_directory
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.provenance import Revision
from proctor.infra.records import Attempt, Case, Outcome, Usage, WorkerFacts
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
from proctor.monitoring.trends.analyzer import analyze
from proctor.monitoring.trends.findings import Kind

FLAKY = "a/t.py::flaky"
OTHERS = [f"a/t.py::t{number}" for number in range(5)]


def campaign(state: Path, number: int, *, seconds: float, fails: bool) -> None:
    """Five cases, and then one that needs half as long again where it fails."""
    at = 1.7e9 + number * 60
    name = f"c{number:04d}"
    ledger = Ledger.open(
        campaigns_directory(state) / name, campaign=name, project="p",
        revision=Revision(commit=f"{number:040x}"), clock=lambda: at, ttl=1e12,
    )  # fmt: skip
    with ledger:
        facts = WorkerFacts(
            name="w", incarnation=name, worker_class="cpu", slots=1, cpu=1, memory_bytes=1, host="h"
        )
        ledger.worker(facts, event="joined")
        for index, case in enumerate([*OTHERS, FLAKY]):
            failed = fails and case == FLAKY
            took = 1.5 * seconds if failed else seconds
            ledger.case(Case(id=case, group="a/t.py", index=index))
            ledger.attempt(
                Attempt(
                    case=case, id=f"{name}-{index}", started=at + index, finished=at + index + took,
                    outcome=Outcome.FAILED if failed else Outcome.PASSED, worker="w",
                    # Reporting a failure waits for the disk.
                    usage=Usage(wall_seconds=took, cpu_seconds=seconds), incarnation=name,
                )
            )  # fmt: skip
        ledger.write("close", state="completed", exit_code=0)


def cause(state: Path) -> str:
    store = Store(state)
    ingest(store)
    (found,) = (each for each in analyze(store).findings if each.kind is Kind.FLAKY)
    return found.cause


@pytest.mark.parametrize("seed", [1, 2])
def test_the_time_that_a_failure_takes_is_not_its_cause(tmp_path, seed):
    """It fails by chance on a machine that is never busy."""
    chance = random.Random(seed)
    for number in range(40):
        campaign(tmp_path, number, seconds=0.1, fails=chance.random() < 0.25)
    assert cause(tmp_path) == ""


def test_failures_on_a_busy_machine_are_told(tmp_path):
    """The cases before it took twice as long as usual whenever it failed."""
    for number in range(40):
        busy = number % 4 == 3
        campaign(tmp_path, number, seconds=0.2 if busy else 0.1, fails=busy)
    assert "how busy the machine is" in cause(tmp_path)
