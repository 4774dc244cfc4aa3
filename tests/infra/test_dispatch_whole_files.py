"""Files that stay whole: one slot each, in order, whatever else would be quicker."""

from __future__ import annotations

from collections import defaultdict

from dispatch_parts import attempt, cases_of, dispatcher, sends, stops, worker

from proctor.infra.dispatching.batches import Batch, Rules, Slot
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.lanes import MOST_CASES
from proctor.infra.records import Case, Outcome, Requirements

WHOLE = Rules(split_files=False)


def run_all(it: Dispatcher, batch: Batch) -> None:
    for case in batch.cases:
        it.started(batch.id, case, 0.0)
        it.finished(case, attempt(case, batch))
    it.batch_ended(batch.id)


def test_a_file_goes_to_one_slot_in_one_piece() -> None:
    """Though its longest case, or a half of it, would keep another slot from idling."""
    cases = cases_of(6, 2)
    long = {case.id: 9.0 if case.index == 3 else 0.1 for case in cases}
    it = dispatcher(worker(slots=3), rules=WHOLE, **long)
    it.add_cases(cases, 0.0)
    batches = sends(it.decide(0.0))
    assert [[case.index for case in batch.cases] for batch in batches] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7],
    ]
    assert all(batch.budget_seconds is None for batch in batches)
    # The third slot idles, and nobody takes anything back for it, however long that lasts.
    it.started(batches[0].id, cases[3], 0.0)
    assert it.decide(500.0) == []


def test_the_rest_of_a_file_waits_for_its_slot() -> None:
    """More than a batch may hold, and what is found after its first part was sent."""
    cases = cases_of(MOST_CASES + 10)
    late = [
        Case(id=f"test_0.py::late_{n}", group="test_0.py", index=len(cases) + n) for n in range(3)
    ]
    it = dispatcher(worker(slots=2), rules=WHOLE)
    it.add_cases(cases, 0.0)
    (first,) = sends(it.decide(0.0))
    it.add_cases(late, 0.0)
    assert sends(it.decide(1.0)) == []
    run_all(it, first)
    (rest,) = sends(it.decide(2.0))
    assert rest.slot == first.slot
    assert rest.cases == (*cases[MOST_CASES:], *late)


def test_each_need_of_a_file_has_a_slot_of_its_own() -> None:
    """A case that asks for a GPU cannot follow the others of its file."""
    plain = cases_of(2)
    on_gpu = [
        Case(id="test_0.py::gpu", group="test_0.py", index=2, needs=Requirements(gpu=1.0)),
    ]
    it = dispatcher(worker("cpu-1"), worker("gpu-1", gpu=1.0), rules=WHOLE)
    it.add_cases([*plain, *on_gpu], 0.0)
    where = {batch.cases: batch.slot.worker for batch in sends(it.decide(0.0))}
    assert where[tuple(on_gpu)] == "gpu-1"
    assert tuple(plain) in where


def test_what_a_dead_worker_leaves_goes_elsewhere() -> None:
    """In one piece again; the case it died under runs alone, as ever."""
    cases = cases_of(5)
    it = dispatcher(worker("a", slots=1), worker("b", slots=1), rules=WHOLE)
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, cases[0], 0.0)
    it.finished(cases[0], attempt(cases[0], batch))
    it.started(batch.id, cases[1], 0.0)
    for lost_batch, case in it.worker_lost(batch.slot.worker):
        it.finished(case, attempt(case, lost_batch, Outcome.INFRA_LOST))
    (alone,) = sends(it.decide(1.0))
    assert alone.cases == (cases[1],)
    run_all(it, alone)
    (rest,) = sends(it.decide(2.0))
    assert rest.slot.worker == alone.slot.worker != batch.slot.worker
    assert rest.cases == tuple(cases[2:])


def test_a_retry_waits_for_the_slot_of_its_file() -> None:
    """There it finds what those before it left; elsewhere none of them has run."""
    cases = cases_of(3, 1)
    rules = Rules(split_files=False, retries=1)
    it = dispatcher(worker("a", slots=1), worker("b", slots=1), rules=rules)
    it.add_cases(cases, 0.0)
    file, other = sends(it.decide(0.0))
    it.started(file.id, cases[1], 0.0)
    it.finished(cases[1], attempt(cases[1], file, Outcome.FAILED))
    run_all(it, other)
    assert sends(it.decide(500.0)) == []
    it.batch_ended(file.id)
    (retry,) = sends(it.decide(501.0))
    assert (retry.slot, retry.cases) == (file.slot, (cases[1],))
    run_all(it, retry)
    (rest,) = sends(it.decide(502.0))
    assert (rest.slot, rest.cases) == (file.slot, (cases[0], cases[2]))


def test_what_waits_for_a_slot_that_is_kept_empty_goes_elsewhere() -> None:
    """Its machine lacks memory, or no session starts there: nobody knows for how long."""
    cases = cases_of(MOST_CASES + 10)
    it = dispatcher(worker("a", slots=1), worker("b", slots=1), rules=WHOLE)
    it.add_cases(cases, 0.0)
    (first,) = sends(it.decide(0.0))
    run_all(it, first)
    it.slots.occupy(first.slot)
    (rest,) = sends(it.decide(1.0))
    assert rest.slot.worker != first.slot.worker
    assert rest.cases == tuple(cases[MOST_CASES:])


def test_no_file_is_left_in_its_middle_for_a_case_that_was_lost() -> None:
    """Its fixtures would be taken down, and set up once more for the rest."""
    cases = cases_of(5, 3)
    it = dispatcher(worker("a", slots=1), worker("b", slots=1), rules=WHOLE)
    it.add_cases(cases, 0.0)
    gone, stays = sends(it.decide(0.0))
    for batch in (gone, stays):
        it.started(batch.id, batch.cases[0], 0.0)
    for batch, case in it.worker_lost(gone.slot.worker):
        it.finished(case, attempt(case, batch, Outcome.INFRA_LOST))
    assert it.decide(1.0) == []
    run_all(it, stays)
    (lost,) = sends(it.decide(2.0))
    assert lost.cases == (gone.cases[0],)


def test_a_worker_that_comes_back_is_another() -> None:
    """Its session is gone: the file is nobody's, and need not wait for the slot of that name."""
    cases = cases_of(4)
    it = dispatcher(worker("a", slots=1), worker("b", slots=1), rules=WHOLE)
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    it.worker_lost(batch.slot.worker)
    it.worker_joined(worker(batch.slot.worker, slots=1))
    (again,) = sends(it.decide(1.0))
    assert again.cases == batch.cases


def test_largest_files_first_and_every_case_once() -> None:
    """Whatever the sizes, nothing is left and no file is on two slots."""
    sizes = (1, 7, 3, 12, 2, 2, 5, 9, 1, 4)
    cases = cases_of(*sizes)
    it = dispatcher(worker("a", slots=2), worker("b", slots=1), rules=WHOLE)
    it.add_cases(cases, 0.0)
    slots: dict[str, set[Slot]] = defaultdict(set)
    ran: list[Case] = []
    first: list[int] = []
    while batches := sends(it.decide(0.0)):
        first = first or sorted(len(batch.cases) for batch in batches)
        for batch in batches:
            for case in batch.cases:
                slots[case.group].add(batch.slot)
            ran.extend(batch.cases)
            run_all(it, batch)
    assert first == [7, 9, 12]
    assert sorted(ran, key=lambda case: case.index) == cases
    assert {len(each) for each in slots.values()} == {1}
    assert it.done
    assert stops(it.decide(0.0)) == []
