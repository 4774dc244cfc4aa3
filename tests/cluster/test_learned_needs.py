"""A case that declared nothing and was stopped for its memory passes the next time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from real_campaigns import judgements, run, write_project

from proctor.flows.campaigns.predictions import refresh
from proctor.flows.campaigns.preparation import project_directory
from proctor.infra import predictions, timings
from proctor.infra.engine.cluster import Cluster
from proctor.infra.fleet.local_fleet import LocalFleet
from proctor.infra.inventory import load
from proctor.infra.predictions import LearnedNeed
from proctor.infra.worker_classes import parse_class
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store

HUNGRY = {
    "test_hungry.py": """\
        from executions import wait_for

        def test_big():
            held = bytearray(300_000_000)
            # Whoever watches it looks now and then.
            wait_for("enough")

        def test_small(): ...
        """
}
# 250 MB for each slot, 500 MB for one that asks.
CLASSES = ("cpu:slots=2,memory=500MB",)


def test_a_case_that_was_stopped_for_its_memory_asks_for_more(tmp_path: Path, state: Path) -> None:
    """Without a marker, and without a word in the project's inventory."""
    project = write_project(tmp_path / "p", HUNGRY)
    first = run(project, state, fleet_classes=CLASSES)
    assert judgements(first)["test_hungry.py::test_big"] == "out-of-memory"
    (project / "enough").touch()
    ingest(Store(state))
    (made,) = refresh(state)
    second = run(project, state, fleet_classes=CLASSES)
    assert set(judgements(second).values()) == {"passed"}
    assert second.record is not None
    big = second.record.cases["test_hungry.py::test_big"]
    assert big.needs.memory_bytes == 500_000_000
    assert any("asks for" in note.text for note in second.record.notes)
    (inventory,) = made.parent.glob("inventory-*.json")
    kept = load(inventory)
    assert kept is not None
    assert {case.needs.memory_bytes for case in kept.cases} == {0}


def test_a_fleet_that_is_named_by_its_address_is_asked_what_it_has(
    tmp_path: Path, state: Path
) -> None:
    """Nobody knows its workers beforehand, and yet a case asks for what it needed last time."""
    project = write_project(tmp_path / "p", {"test_small.py": "def test_small(): ..."})
    case = "test_small.py::test_small"
    place = project_directory(state, "orchard")
    timings.save(timings.Timings(), place)
    need = LearnedNeed(memory_bytes=400_000_000, why="it was stopped when it used 300 MB")
    predictions.save(predictions.Predictions(needs={case: need}), place)
    facts = parse_class(CLASSES[0], cores=2).facts(1)
    with LocalFleet(workers=[facts], scratch=tmp_path / "fleet") as fleet:
        with closing(Cluster(fleet.address(), campaign="look", deadline_seconds=30.0)) as cluster:
            cluster.wait_for_workers(90.0)
        told = run(project, state, fleet=fleet.address())
    assert judgements(told) == {case: "passed"}
    assert told.record is not None
    assert told.record.cases[case].needs.memory_bytes == 400_000_000
