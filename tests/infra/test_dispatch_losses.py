"""Workers that die, and what was lost with them: it goes before all else."""

from __future__ import annotations

from dispatch_parts import attempt, cases_of, dispatcher, sends, stops, worker

from proctor.infra.dispatching.batches import Cancel, Rules, Slot, Stop
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.records import Case, Outcome, Requirements


def test_a_lost_worker_loses_only_what_it_was_running():
    """Its other cases go elsewhere; the running one is named."""
    it = dispatcher(worker("a", slots=1), worker("b", slots=1))
    it.add_cases(cases_of(30, 30), 0.0)
    by_worker = {batch.slot.worker: batch for batch in sends(it.decide(0.0))}
    running = by_worker["a"].cases[0]
    it.started(by_worker["a"].id, running, 0.0)
    assert it.worker_lost("a") == [(by_worker["a"], running)]
    assert it.worker_lost("a") == []
    lost = attempt(running, by_worker["a"], Outcome.INFRA_LOST)
    it.finished(running, lost)
    assert not it.tallies.is_settled(running)
    assert it.tallies.losses(running) == 1


def test_infrastructure_has_a_budget_of_its_own():
    """A case whose worker dies again and again is given up, not retried for ever."""
    it = dispatcher(worker(slots=1), rules=Rules(infra_retries=2))
    (case,) = cases_of(1)
    it.add_cases([case], 0.0)
    for _ in range(3):
        (batch,) = sends(it.decide(0.0))
        it.started(batch.id, case, 0.0)
        it.finished(case, attempt(case, batch, Outcome.INFRA_LOST))
        it.batch_ended(batch.id)
    assert it.tallies.is_settled(case)
    assert it.done


def test_a_result_that_comes_after_all_takes_its_case_out_of_the_queue():
    """The worker was taken for lost and was not: what it did need not be done again."""
    it = dispatcher(worker("a", slots=1))
    (case,) = cases_of(1)
    it.add_cases([case], 0.0)
    (batch,) = sends(it.decide(0.0))
    it.worker_lost("a")
    it.finished(case, attempt(case, batch))
    it.worker_joined(worker("a", slots=1))
    assert sends(it.decide(1.0)) == []
    assert it.done


def test_nothing_is_sent_to_a_worker_that_is_gone_or_came_back_as_another():
    """Its free slots are forgotten with it; a new life under its name starts cold."""
    cases = cases_of(3, 3)
    made = dispatcher(
        worker("cpu-1", slots=1), worker("cpu-2", slots=1), **{case.id: 1.0 for case in cases}
    )
    made.add_cases(cases, 0.0)
    assert {batch.slot.worker for batch in sends(made.decide(0.0))} == {"cpu-1", "cpu-2"}
    made.worker_lost("cpu-1")
    assert sends(made.decide(0.1)) == []
    made.worker_joined(worker("cpu-1", slots=1))
    assert {batch.slot.worker for batch in sends(made.decide(0.2))} == {"cpu-1"}


def lose(it: Dispatcher, name: str, case: Case, batch, now: float = 1.0) -> list[Case]:
    """The worker dies while it runs a case of a batch; those that lost an execution."""
    it.started(batch.id, case, now)
    lost = it.worker_lost(name)
    for of, each in lost:
        it.finished(each, attempt(each, of, Outcome.INFRA_LOST))
    return [each for _, each in lost]


def test_room_is_made_for_what_was_lost_where_it_comes_soonest():
    """The batch ends whose current case is nearly over, not the longest one."""
    cases = cases_of(10, 10, 10)
    slow, quick = cases[10], cases[20]
    it = dispatcher(*(worker(name, slots=1) for name in ("a", "b", "c")))
    it.add_cases(cases, 0.0)
    batches = {batch.cases[0].group: batch for batch in sends(it.decide(0.0))}
    assert len(batches) == 3
    mine, long, short = (batches[f"test_{number}.py"] for number in range(3))
    it.durations.learn(slow, 9.0)
    it.durations.learn(quick, 3.0)
    it.started(long.id, slow, 0.0)
    it.started(short.id, quick, 0.0)
    (lost,) = lose(it, mine.slot.worker, cases[0], mine)
    assert it.decide(1.0) == [Stop(batch=short)]
    # It is stopping already: that is room for one.
    assert it.decide(1.1) == []
    # Its case takes far longer than foreseen: nobody waits for one that may never be over.
    assert it.decide(9.5) == [Stop(batch=long)]
    it.batch_ended(long.id)
    assert sends(it.decide(9.6))[0].cases == (lost,)


def test_room_is_made_though_a_slot_collects():
    """Slots that look into the suite take no cases; workers that idle do."""
    cases = cases_of(10, 10)
    it = dispatcher(*(worker(name, slots=1) for name in ("a", "b", "c")))
    it.slots.occupy(Slot("c", 0))
    it.add_cases(cases, 0.0)
    first, second = sends(it.decide(0.0))
    it.started(second.id, second.cases[0], 0.0)
    (lost,) = lose(it, first.slot.worker, first.cases[0], first)
    assert it.decide(1.0) == [Stop(batch=second)]
    it.slots.vacate(Slot("c", 0))
    assert sends(it.decide(1.1))[0].cases == (lost,)


def test_no_room_is_made_where_the_lost_case_cannot_run():
    """A batch on a worker without a GPU is left alone for a case that needs one."""
    needs = Requirements(gpu=1)
    plain = cases_of(10)
    wide = [Case(id="test_g.py::test", group="test_g.py", index=10, needs=needs)]
    it = dispatcher(worker("a", slots=1), worker("g", slots=1, gpu=1.0))
    it.add_cases([*plain, *wide], 0.0)
    batches = {batch.slot.worker: batch for batch in sends(it.decide(0.0))}
    lost = lose(it, "g", wide[0], batches["g"])
    assert lost == wide
    assert stops(it.decide(1.0)) == []


def test_a_wide_case_that_was_lost_gets_a_worker_to_itself():
    """Small batches end one by one on one worker, and nothing new begins there."""
    wide = Case(id="test_w.py::test", group="test_w.py", index=20, needs=Requirements(cpu=2))
    it = dispatcher(worker("a"), worker("b"))
    it.add_cases([wide], 0.0)
    (batch,) = sends(it.decide(0.0))
    it.add_cases(cases_of(10, 10), 0.0)
    small = sends(it.decide(0.1))
    assert len(small) == 2
    lose(it, batch.slot.worker, wide, batch)
    assert stops(it.decide(1.0)) == small[:1]
    it.batch_ended(small[0].id)
    assert it.decide(1.1) == [Stop(batch=small[1])]
    it.batch_ended(small[1].id)
    assert sends(it.decide(1.2))[0].cases == (wide,)


def test_what_was_lost_is_not_sent_to_a_session_that_only_starts():
    """Held there it would wait for the start, though another slot is free sooner."""
    cases = cases_of(10, 10)
    it = dispatcher(worker("a", slots=1), worker("b", slots=1))
    it.add_cases(cases, 0.0)
    first, second = sends(it.decide(0.0))
    it.started(second.id, second.cases[0], 0.0)
    (lost,) = lose(it, first.slot.worker, first.cases[0], first)
    it.worker_joined(worker("c", slots=1))
    it.slots.starting(Slot("c", 0), 1.0)
    assert it.decide(1.0) == [Stop(batch=second)]
    it.batch_ended(second.id)
    again, other = sends(it.decide(1.2))
    assert (again.slot.worker, again.cases) == (second.slot.worker, (lost,))
    # Nothing was lost any more: what merely waits is there when the session is.
    assert other.slot.worker == "c"


def test_what_was_lost_goes_to_the_session_that_is_ready_first():
    """Whoever was foreseen to be the first: it waits in the queue, with none of them."""
    cases = cases_of(10, 10)
    it = dispatcher(worker("a", slots=1), worker("b", slots=1))
    it.slots.starting(Slot("b", 0), 0.0)
    it.add_cases(cases, 0.0)
    batches = {batch.slot.worker: batch for batch in sends(it.decide(0.0))}
    (lost,) = lose(it, "a", batches["a"].cases[0], batches["a"])
    it.worker_joined(worker("c", slots=1))
    it.slots.starting(Slot("c", 0), 0.9)
    # The one that began to start first is foreseen to be the first.
    assert it.decide(1.0) == [Stop(batch=batches["b"])]
    it.slots.ready(Slot("c", 0), "of another life", 1.1)
    assert it.decide(1.1) == []
    it.slots.ready(Slot("c", 0), "1", 1.2)
    (sent,) = sends(it.decide(1.2))
    assert (sent.slot.worker, sent.cases) == ("c", (lost,))


def test_a_start_that_never_ends_holds_nothing_back():
    """After a minute the slot is given what there is, whatever became of its session."""
    case = cases_of(1)[0]
    it = dispatcher(worker("a", slots=1))
    it.add_cases([case], 0.0)
    (batch,) = sends(it.decide(0.0))
    lose(it, "a", case, batch)
    it.worker_joined(worker("a", slots=1))
    it.slots.starting(Slot("a", 0), 1.0)
    assert it.decide(2.0) == []
    assert len(sends(it.decide(62.0))) == 1


def test_what_was_lost_goes_before_what_failed():
    """Both run alone; a failed case can wait for its next try."""
    it = dispatcher(worker("a", slots=1), worker("b", slots=1), rules=Rules(retries=1))
    it.add_cases(cases_of(10, 10), 0.0)
    first, second = sends(it.decide(0.0))
    it.finished(first.cases[0], attempt(first.cases[0], first, Outcome.FAILED))
    (lost,) = lose(it, second.slot.worker, second.cases[0], second)
    it.batch_ended(first.id)
    assert sends(it.decide(1.0))[0].cases == (lost,)


def test_what_is_cancelled_for_another_case_runs_again():
    """A batch is killed for the case it ran, and has begun the next when the word arrives."""
    cases = cases_of(4)
    it = dispatcher(worker("a", slots=1), worker("b", slots=1))
    it.add_cases(cases, 0.0)
    first, *_ = sends(it.decide(0.0))
    # Its cases are taken back and go out again, and then it tells of one, after all.
    it.worker_lost(first.slot.worker)
    second = next(iter(sends(it.decide(0.1))))
    running, following = second.cases[:2]
    it.started(second.id, running, 0.1)
    assert it.finished(running, attempt(running, first)) == [Cancel(batch=second)]
    it.started(second.id, following, 0.2)
    ((_, cut),) = it.batch_ended(second.id, died=True)
    assert it.finished(cut, attempt(cut, second, Outcome.CANCELLED)) == []
    assert cut in [case for batch in sends(it.decide(0.3)) for case in batch.cases]


def test_what_was_lost_with_its_session_goes_where_one_is_warm():
    """A killed session starts with the next batch; a case elsewhere is over long before that."""
    it = dispatcher(worker("a", slots=1), worker("b", slots=1))
    it.add_cases(cases_of(10, 10), 0.0)
    first, second = sends(it.decide(0.0))
    it.started(second.id, second.cases[0], 0.0)
    lost = first.cases[0]
    it.started(first.id, lost, 0.0)
    it.finished(lost, attempt(lost, first, Outcome.INFRA_LOST))
    it.batch_ended(first.id, died=True)
    assert it.decide(0.1) == [Stop(batch=second)]
    it.batch_ended(second.id)
    sent = {batch.slot.worker: batch for batch in sends(it.decide(0.2))}
    assert sent["b"].cases == (lost,)


def test_what_was_lost_with_the_only_session_is_begun_by_the_next():
    """Nobody else could begin it sooner, or whoever was to do so does not."""
    it = dispatcher(worker("a", slots=1))
    it.add_cases(cases_of(10), 0.0)
    (batch,) = sends(it.decide(0.0))
    lost = batch.cases[0]
    it.started(batch.id, lost, 0.0)
    it.finished(lost, attempt(lost, batch, Outcome.INFRA_LOST))
    it.batch_ended(batch.id, died=True)
    assert sends(it.decide(0.1))[0].cases == (lost,)


def test_a_session_that_died_is_used_again_if_the_others_take_too_long():
    """Their cases were said to be short and are not."""
    it = dispatcher(worker("a", slots=1), worker("b", slots=1))
    it.add_cases(cases_of(10, 10), 0.0)
    first, second = sends(it.decide(0.0))
    it.started(second.id, second.cases[0], 0.0)
    lost = first.cases[0]
    it.started(first.id, lost, 0.0)
    it.finished(lost, attempt(lost, first, Outcome.INFRA_LOST))
    it.batch_ended(first.id, died=True)
    assert sends(it.decide(0.1)) == []
    assert sends(it.decide(2.0))[0].cases == (lost,)


def test_a_case_that_is_begun_before_its_worker_hears_that_it_is_settled_is_ended():
    """Whoever had it before was late and not lost: the second execution is no use to anybody."""
    it = dispatcher(worker("a", slots=1))
    (case,) = cases_of(1)
    it.add_cases([case], 0.0)
    (first,) = sends(it.decide(0.0))
    it.worker_lost("a")
    it.worker_joined(worker("b", slots=1))
    (second,) = sends(it.decide(1.0))
    assert it.finished(case, attempt(case, first)) == [Stop(batch=second)]
    assert it.started(second.id, case, 1.1) == [Cancel(batch=second)]
    assert it.batch_ended(second.id, died=True) == [(second, case)]
    assert it.done
