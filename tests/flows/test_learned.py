"""Needs that were learned are added where a worker can meet them, and never refuse a case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from proctor.flows.campaigns.learned import NAMED, Learned
from proctor.infra.engine.collect import Collection
from proctor.infra.predictions import LearnedNeed
from proctor.infra.records import Case, Requirements, WorkerFacts

GB = 10**9
PLAIN = Case(id="test_a.py::test_big", group="test_a.py", index=0)


def worker(name: str = "w", **fields: Any) -> WorkerFacts:
    given = {"slots": 2, "cpu": 2.0, "memory_bytes": 8 * GB, **fields}
    return WorkerFacts(name=name, incarnation="a", worker_class="cpu", **given)


def learned(*workers: WorkerFacts, memory: int = 0, gpu: float = 0.0, **fields: Any) -> Learned:
    need = LearnedNeed(memory_bytes=memory, gpu=gpu, why="it used much")
    return Learned(needs={PLAIN.id: need}, workers=workers, **fields)


def test_a_case_asks_for_the_memory_it_turned_out_to_need() -> None:
    """And a line says why."""
    add = learned(worker(), memory=6 * GB)
    assert add(PLAIN).needs == Requirements(memory_bytes=6 * GB)
    assert add.texts() == [f"{PLAIN.id} asks for 6.00 GB of memory: it used much"]


def test_nothing_is_asked_that_no_worker_has() -> None:
    """As much as the largest has; a campaign is never refused for what was inferred."""
    assert learned(worker(), memory=60 * GB)(PLAIN).needs.memory_bytes == 8 * GB
    assert learned(worker(), gpu=1.0)(PLAIN) is PLAIN
    assert learned(worker(gpu=1.0, simulated_gpu=True), gpu=1.0)(PLAIN) is PLAIN
    assert learned(worker(), worker(gpu=1.0), gpu=1.0)(PLAIN).needs.gpu == 1.0


def test_what_a_case_says_itself_stands() -> None:
    """Memory and GPUs each for themselves."""
    stated = replace(PLAIN, needs=Requirements(memory_bytes=GB))
    assert learned(worker(), memory=6 * GB)(stated) is stated
    both = learned(worker(gpu=1.0), memory=6 * GB, gpu=1.0)(stated)
    assert both.needs == Requirements(memory_bytes=GB, gpu=1.0)


def test_nothing_is_asked_that_every_slot_gives() -> None:
    """What asks for memory is held to it: that must never be less than it had."""
    assert learned(worker(slots=1), memory=6 * GB)(PLAIN) is PLAIN
    assert learned(worker(), memory=3 * GB)(PLAIN) is PLAIN


def test_nothing_is_learned_where_somebody_decided_or_nobody_knows() -> None:
    """A limit that was set, workers that nobody knows."""
    assert learned(worker(), memory=6 * GB, limited=True)(PLAIN) is PLAIN
    assert learned(memory=6 * GB)(PLAIN) is PLAIN


def test_an_inventory_keeps_what_cases_say() -> None:
    """What was learned today may be wrong tomorrow."""
    here = Collection(
        needs_of=lambda case, marks: (Requirements(), None),
        learned=learned(worker(), memory=6 * GB),
    )
    found = {"k": "item", "id": PLAIN.id, "file": PLAIN.group, "marks": []}
    case = here.item(found)
    assert case is not None
    assert case.needs.memory_bytes == 6 * GB
    assert here.cases[PLAIN.id] is case
    assert here.as_stated[PLAIN.id].needs == Requirements()


def test_only_the_first_few_are_named() -> None:
    """The others are counted."""
    ids = [f"test_a.py::test_{number}" for number in range(NAMED + 2)]
    need = LearnedNeed(memory_bytes=6 * GB, why="it used much")
    add = Learned(needs=dict.fromkeys(ids, need), workers=[worker()])
    for case_id in ids:
        add(replace(PLAIN, id=case_id))
    assert len(add.texts()) == NAMED + 1
    assert add.texts()[-1].startswith("and 2 more cases")
