"""A case that declared nothing and was stopped for its memory passes the next time."""

from __future__ import annotations

from pathlib import Path

from real_campaigns import judgements, run, write_project

from proctor.flows.predictions import refresh
from proctor.infra.inventory import load
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store

HUNGRY = {
    "test_hungry.py": """\
        import time

        def test_big():
            held = bytearray(300_000_000)
            # A watcher looks a tenth of a second after the beginning.
            time.sleep(0.7)

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
