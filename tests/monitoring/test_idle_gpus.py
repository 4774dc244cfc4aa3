"""Cases that asked for a GPU and never touched it are named, where that was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger_parts import attempt, case

from proctor.infra.ledgers.lines import WorkerEvent
from proctor.infra.ledgers.record import CampaignRecord
from proctor.infra.records import Outcome, Requirements, Usage, WorkerFacts
from proctor.monitoring.prediction.idle_gpus import remark, untouched

WORKER = WorkerFacts(
    name="gpu-1",
    incarnation="a",
    worker_class="gpu",
    slots=1,
    cpu=1,
    memory_bytes=2**30,
    gpu=1,
    gpu_model="H200",
)


def record(
    *usages: Usage, worker: WorkerFacts = WORKER, gpu: float = 1.0, **fields: Any
) -> CampaignRecord:
    """A case that asks for a GPU, and its runs."""
    asking = replace(case(), needs=Requirements(gpu=gpu))
    runs = [
        attempt(number, usage=usage, worker="gpu-1", incarnation="a", **fields)
        for number, usage in enumerate(usages)
    ]
    return CampaignRecord(
        directory=Path(),
        cases={asking.id: asking},
        attempts={asking.id: runs},
        workers=[
            WorkerEvent(at=0.0, worker="gpu-1", incarnation="a", event="joined", facts=worker)
        ],
    )


IDLE = Usage(wall_seconds=2.0)
BUSY = Usage(wall_seconds=2.0, gpu_memory_bytes=10**9, gpu_utilisation=40.0)


def test_a_case_that_never_touched_its_gpu_is_named() -> None:
    """In one line of the summary."""
    assert untouched(record(IDLE)) == [case().id]
    assert remark(record(IDLE)) == f"1 case asked for a GPU and never touched it: {case().id}"


def test_one_touch_is_enough() -> None:
    """A retry may have used what the first run did not reach."""
    assert untouched(record(IDLE, BUSY)) == []
    assert remark(record(BUSY)) == ""


def test_nothing_is_said_of_what_was_not_seen() -> None:
    """Too short, cut short, a GPU that is only a tag, a worker that measures none."""
    assert untouched(record(Usage(wall_seconds=0.05))) == []
    assert untouched(record(IDLE, outcome=Outcome.CRASHED)) == []
    assert untouched(record(IDLE, worker=replace(WORKER, simulated_gpu=True))) == []
    assert untouched(record(IDLE, worker=replace(WORKER, gpu_model=""))) == []
    assert untouched(record(IDLE, gpu=0.0)) == []
    assert untouched(record()) == []
