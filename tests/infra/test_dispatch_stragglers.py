"""Cases that run long: what waits behind them moves, and some run twice."""

from __future__ import annotations

from dispatch_parts import attempt, cases_of, dispatcher, known, sends, worker

from proctor.infra.dispatching.batches import Batch, Cancel, Rules, Stop
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.records import Case, Outcome


def test_a_straggler_is_hedged_on_an_idle_slot_and_the_loser_is_cancelled():
    """Only when nothing waits; whichever ends first counts."""
    cases = cases_of(1)
    it = Dispatcher(rules=Rules(), durations=known(cases, [1.0]))
    it.worker_joined(worker("slow", slots=1))
    it.worker_joined(worker("idle", slots=1))
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, cases[0], 0.0)
    assert sends(it.decide(1.5)) == []
    (twin,) = sends(it.decide(6.0))
    assert twin.hedge
    assert twin.slot.worker != batch.slot.worker
    it.started(twin.id, cases[0], 6.0)
    assert it.finished(cases[0], attempt(cases[0], twin)) == [Cancel(batch=batch)]
    assert it.tallies.is_settled(cases[0])


def test_cases_stuck_behind_a_long_one_move_to_an_idle_slot():
    """Nothing waits in line while a slot idles."""
    it = dispatcher(worker("a", slots=1), worker("b", slots=1))
    it.add_cases(cases_of(4), 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, batch.cases[0], 0.0)
    commands = it.decide(3.0)
    assert Stop(batch=batch) in commands
    (moved,) = sends(it.decide(3.0))
    assert moved.slot.worker == "b"
    assert set(moved.cases) <= set(batch.cases[1:])


def test_a_second_try_that_comes_back_undone_is_made_again():
    """The first was lost meanwhile, and waited for nothing because a second was under way."""
    cases = cases_of(1)
    it = Dispatcher(rules=Rules(), durations=known(cases, [1.0]))
    for name in ("a", "b"):
        it.worker_joined(worker(name, slots=1))
    it.add_cases(cases, 0.0)
    (first,) = sends(it.decide(0.0))
    it.started(first.id, cases[0], 0.0)
    (hedge,) = sends(it.decide(100.0))
    for _, case in it.worker_lost(first.slot.worker):
        it.finished(case, attempt(case, first, Outcome.INFRA_LOST))
    assert sends(it.decide(101.0)) == []
    assert it.batch_ended(hedge.id) == []
    (again,) = sends(it.decide(102.0))
    assert again.cases == (cases[0],)


def test_what_is_told_late_of_cases_that_were_taken_back_is_not_done_again():
    """A silent line: its worker had run them long before they were given to somebody else."""
    it = dispatcher(worker("a", slots=1), worker("b", slots=1), rules=Rules(retries=1))
    cases = cases_of(4)
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, cases[0], 0.0)
    assert it.decide(3.0) == [Stop(batch=batch)]
    it.finished(cases[1], attempt(cases[1], batch))
    it.finished(cases[2], attempt(cases[2], batch, Outcome.FAILED))
    sent = []
    while found := sends(it.decide(3.0)):
        (again,) = found
        sent.extend(again.cases)
        for case in again.cases:
            it.finished(case, attempt(case, again))
        it.batch_ended(again.id)
    assert sorted(case.index for case in sent) == [2, 3]


def taken_back() -> tuple[Dispatcher, list[Case], Batch, Batch]:
    """Four cases of which the last three were taken from one worker and sent to another."""
    it = dispatcher(worker("a", slots=1), worker("b", slots=1))
    cases = cases_of(4)
    it.add_cases(cases, 0.0)
    (first,) = sends(it.decide(0.0))
    it.started(first.id, cases[0], 0.0)
    assert it.decide(3.0) == [Stop(batch=first)]
    (second,) = sends(it.decide(3.0))
    assert second.cases == tuple(cases[1:])
    return it, cases, first, second


def test_what_is_told_late_of_a_case_that_another_batch_holds_ends_that_batch():
    """It would run twice there, and a second result that differs would make it flaky."""
    it, cases, first, second = taken_back()
    it.started(second.id, cases[1], 3.0)
    assert it.finished(cases[2], attempt(cases[2], first)) == [Stop(batch=second)]
    # Once is enough.
    assert it.finished(cases[3], attempt(cases[3], first)) == []
    it.finished(cases[1], attempt(cases[1], second))
    assert it.batch_ended(second.id) == []
    it.finished(cases[0], attempt(cases[0], first))
    it.batch_ended(first.id)
    assert it.done


def test_what_is_told_late_of_a_case_that_runs_elsewhere_ends_it_there():
    """As with the twin of a straggler: what is known need not be found out."""
    it, cases, first, second = taken_back()
    it.started(second.id, cases[1], 3.0)
    assert it.finished(cases[1], attempt(cases[1], first)) == [Cancel(batch=second)]
    ((_, ended),) = it.batch_ended(second.id, died=True)
    it.finished(ended, attempt(ended, second, Outcome.CANCELLED))
    (rest,) = sends(it.decide(4.0))
    assert rest.cases == tuple(cases[2:])


def test_a_worker_that_joins_takes_what_waits_behind_a_slow_one():
    """Capacity that comes late is used at once: nothing stays with the slow worker but its case."""
    it = dispatcher(worker("slow-1", slots=1))
    cases = cases_of(4)
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, cases[0], 0.0)
    assert it.decide(3.0) == []
    it.worker_joined(worker("fast-1", slots=1))
    assert it.decide(3.0) == [Stop(batch=batch)]
    (moved,) = sends(it.decide(3.0))
    assert (moved.slot.worker, list(moved.cases)) == ("fast-1", cases[1:])
