"""Predictions are made of what the store took in, for the project's next campaign."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from campaign_journals import FOREVER

from proctor.flows.campaigns.predictions import refresh
from proctor.flows.campaigns.preparation import project_directory
from proctor.infra import predictions, timings
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.records import Attempt, Case, Outcome, Usage, WorkerFacts
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store

CASES = [Case(id=f"t/test_a.py::test_{n}", group="t/test_a.py", index=n) for n in range(4)]
GB = 10**9
START = 1_700_000_000.0


class Project:
    """A state directory with a project whose campaigns end one after another."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.place = project_directory(state, "orchard")
        timings.save(timings.Timings(), self.place)
        self.campaigns = 0

    def ran(self, *seconds: float, starved: int = -1) -> str:
        """A campaign in which the cases took so long; one of them was stopped for its memory."""
        now = START + 1000.0 * self.campaigns
        name = f"c{self.campaigns}"
        self.campaigns += 1
        ledger = Ledger.open(
            self.state / "campaigns" / name,
            campaign=name,
            project="orchard",
            clock=lambda: now,
            ttl=FOREVER,
        )
        facts = WorkerFacts(
            name="w1", incarnation="a", worker_class="cpu", slots=2, cpu=2, memory_bytes=4 * GB
        )
        ledger.worker(facts, event="joined")
        for case, took in zip(CASES, seconds, strict=True):
            ledger.case(case)
            out = case.index == starved
            ledger.attempt(
                Attempt(
                    case=case.id,
                    id=f"1.b.{case.id}",
                    outcome=Outcome.OUT_OF_MEMORY if out else Outcome.PASSED,
                    started=now,
                    finished=now + took,
                    usage=Usage(
                        wall_seconds=took,
                        cpu_seconds=took * 0.1,
                        peak_memory_bytes=2 * GB if out else GB // 10,
                    ),
                    worker="w1",
                    incarnation="a",
                )
            )
        ledger.write("close", state="completed", exit_code=0, counts={}, makespan=1.0, slots=2)
        ledger.close()
        ingest(Store(self.state))
        return name

    def predicted(self) -> predictions.Predictions:
        return timings.load(self.place).predicted


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_next_campaign_is_planned_by_all_that_was_measured(project: Project) -> None:
    """Seconds, what bounds each case, and what one of them turned out to need."""
    project.ran(1.0, 2.0, 4.0, 8.0)
    project.ran(1.0, 2.0, 4.0, 8.0, starved=3)
    name = project.ran(1.0, 2.0, 4.0, 8.0, starved=3)
    assert refresh(project.state) == [project.place / predictions.FILE]
    told = project.predicted()
    assert told.campaign == name
    assert [told.cases[case.id].seconds for case in CASES] == pytest.approx([1, 2, 4, 8], rel=0.1)
    assert told.kinds == {case.id: "io" if case.index < 3 else "memory" for case in CASES}
    assert list(told.needs) == [CASES[3].id]
    assert told.needs[CASES[3].id].memory_bytes >= 8 * GB


def test_nothing_is_made_twice(project: Project) -> None:
    """Only where a campaign ended since."""
    project.ran(1.0, 2.0, 4.0, 8.0)
    assert refresh(project.state)
    assert refresh(project.state) == []
    project.ran(1.0, 2.0, 4.0, 8.0)
    assert refresh(project.state)


def test_predictions_are_graded_by_the_runs_after_them(project: Project) -> None:
    """Half of the runs were 10 % longer than foreseen; all of them near enough."""
    project.ran(1.0, 2.0, 4.0, 8.0)
    refresh(project.state)
    assert project.predicted().calibration.runs == 0
    project.ran(1.1, 2.2, 4.4, 8.8)
    refresh(project.state)
    grade = project.predicted().calibration
    assert grade.runs == 4
    assert grade.error == pytest.approx(0.1 / 1.1, rel=0.1)
    assert grade.last_value_error == pytest.approx(0.1 / 1.1, rel=0.1)
    assert grade.coverage == 1.0
    project.ran(1.1, 2.2, 4.4, 100.0)
    refresh(project.state)
    assert project.predicted().calibration.runs == 8
    assert project.predicted().calibration.coverage == pytest.approx(7 / 8)


def test_without_a_store_nothing_is_foreseen(tmp_path: Path) -> None:
    """And none is made."""
    assert refresh(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time(project: Project) -> None:
    """The one that is at work is enough."""
    project.ran(1.0, 2.0, 4.0, 8.0)
    with (project.state / "predictions.turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        assert refresh(project.state) == []
    assert refresh(project.state)


def test_a_project_that_wants_no_history_gets_none(project: Project) -> None:
    """It has no place where any could stand."""
    project.ran(1.0, 2.0, 4.0, 8.0)
    (project.place / timings.FILE).unlink()
    project.place.rmdir()
    assert refresh(project.state) == []
    assert not project.place.exists()
