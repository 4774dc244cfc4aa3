"""The dispatcher, driven by hand and by the simulator on a virtual clock."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.infra.dispatching.batches import Batch, Cancel, Rules, Send, Slot, Stop
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.records import Attempt, Case, Outcome, Requirements, Usage, WorkerFacts
from proctor.infra.simulation.campaign import lower_bound, simulate

GIB = 1 << 30


def worker(name: str = "cpu-1", *, slots: int = 2, **facts) -> WorkerFacts:
    values = {"cpu": float(slots), "memory_bytes": 8 * GIB, **facts}
    return WorkerFacts(name=name, incarnation="1", worker_class="cpu", slots=slots, **values)


def cases_of(*sizes: int, needs: Requirements | None = None) -> list[Case]:
    """Files with so many cases each."""
    cases = []
    for number, size in enumerate(sizes):
        for each in range(size):
            cases.append(
                Case(
                    id=f"test_{number}.py::test_{each}",
                    group=f"test_{number}.py",
                    index=len(cases),
                    needs=needs or Requirements(),
                )
            )
    return cases


def attempt(case: Case, batch, outcome=Outcome.PASSED, seconds: float = 0.01) -> Attempt:
    return Attempt(
        case=case.id,
        id=f"{batch.id}/{case.index}",
        outcome=outcome,
        started=0.0,
        finished=seconds,
        batch=batch.id,
        usage=Usage(wall_seconds=seconds),
    )


def sends(commands) -> list:
    return [command.batch for command in commands if isinstance(command, Send)]


def dispatcher(*workers: WorkerFacts, rules: Rules | None = None, **history) -> Dispatcher:
    durations = Durations(cases={k: CaseHistory(seconds=v) for k, v in history.items()})
    made = Dispatcher(rules=rules or Rules(), durations=durations)
    for facts in workers:
        made.worker_joined(facts)
    return made


def dispatcher_with(case: Case) -> Dispatcher:
    """One that has only this case to send."""
    it = dispatcher(worker())
    it.add_cases([case], 0.0)
    return it


def known(cases: list[Case], seconds: list[float]) -> Durations:
    return Durations(
        cases={case.id: CaseHistory(seconds=s) for case, s in zip(cases, seconds, strict=True)}
    )


def test_one_batch_is_in_flight_per_slot_and_no_more():
    """However much waits, a slot holds one batch."""
    it = dispatcher(worker(slots=3))
    it.add_cases(cases_of(400, 400, 400, 400), 0.0)
    batches = sends(it.decide(0.0))
    assert {batch.slot for batch in batches} == {Slot("cpu-1", n) for n in range(3)}
    assert it.decide(0.1) == []


def test_a_slot_stays_with_its_file_and_keeps_its_order():
    """Module fixtures stay warm: the next batch of a slot comes from the same file."""
    it = dispatcher(worker(slots=1))
    cases = cases_of(300, 300)
    it.add_cases(cases, 0.0)
    seen: list[Case] = []
    while batches := sends(it.decide(0.0)):
        (batch,) = batches
        assert [c.index for c in batch.cases] == sorted(c.index for c in batch.cases)
        seen.extend(batch.cases)
        for case in batch.cases:
            it.finished(case, attempt(case, batch))
        it.batch_ended(batch.id)
    assert [case.group for case in seen] == sorted(case.group for case in seen)
    assert it.done


def test_small_files_share_batches_and_each_stays_whole():
    """A round trip for each file of a fraction of a second would cost more than it brings."""
    cases = cases_of(*[4] * 200)
    it = Dispatcher(rules=Rules(), durations=known(cases, [0.05] * len(cases)))
    it.worker_joined(worker(slots=2))
    it.add_cases(cases, 0.0)
    batches = []
    while found := sends(it.decide(0.0)):
        for batch in found:
            batches.append(batch)
            for case in batch.cases:
                it.finished(case, attempt(case, batch, seconds=0.05))
            it.batch_ended(batch.id)
    assert max(len(batch.cases) for batch in batches) == 2.0 / 0.05
    homes = defaultdict(set)
    for batch in batches:
        for case in batch.cases:
            homes[case.group].add(batch.slot)
        assert [case.index for case in batch.cases] == sorted(case.index for case in batch.cases)
    assert sum(len(slots) > 1 for slots in homes.values()) <= 2
    # Towards the end they shrink, so that no slot is left alone with much.
    assert len(batches[-1].cases) * 0.05 <= 0.2


def test_a_file_that_grows_while_it_is_collected_is_finished_by_any_slot():
    """The rest of a file may be found after a slot has run all there was of it."""
    it = dispatcher(worker(slots=2))
    it.occupy(Slot("cpu-1", 0))
    first, *rest = cases_of(100)
    it.add_cases([first], 0.0)
    (batch,) = sends(it.decide(0.0))
    it.add_cases(rest, 0.0)
    it.finished(first, attempt(first, batch))
    it.batch_ended(batch.id)
    it.vacate(Slot("cpu-1", 0), loaded=[first.group])
    ran = 1
    while batches := sends(it.decide(0.0)):
        for batch in batches:
            for case in batch.cases:
                ran += 1
                it.finished(case, attempt(case, batch))
            it.batch_ended(batch.id)
    assert ran == 100
    assert it.done


def test_what_a_batch_did_not_reach_returns_to_the_front_unblamed():
    """A crash costs its culprit only."""
    it = dispatcher(worker(slots=1))
    cases = cases_of(5)
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    first, culprit = batch.cases[:2]
    it.finished(first, attempt(first, batch))
    it.started(batch.id, culprit, 0.0)
    it.finished(culprit, attempt(culprit, batch, Outcome.CRASHED))
    assert it.batch_ended(batch.id) == []
    (again,) = sends(it.decide(1.0))
    assert list(again.cases) == list(batch.cases[2:])


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
    assert not it.is_settled(running)
    assert it.losses(running) == 1


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
    assert it.is_settled(case)
    assert it.done


def test_a_failure_is_run_again_alone_as_often_as_allowed():
    """Two retries make three attempts, each in a batch of its own."""
    it = dispatcher(worker(slots=1), rules=Rules(retries=2))
    (case, other) = cases_of(2)
    it.add_cases([case, other], 0.0)
    attempts = 0
    while batches := sends(it.decide(0.0)):
        (batch,) = batches
        for each in batch.cases:
            attempts += each is case
            it.finished(
                each, attempt(each, batch, Outcome.FAILED if each is case else Outcome.PASSED)
            )
        it.batch_ended(batch.id)
    assert attempts == 3
    assert it.done


def test_maxfail_stops_what_runs_and_sends_nothing_more():
    """After the first failure with maxfail=1 the other slots end after their current case."""
    it = dispatcher(worker(slots=2), rules=Rules(maxfail=1))
    it.add_cases(cases_of(300, 300), 0.0)
    one, two = sends(it.decide(0.0))
    commands = it.finished(one.cases[0], attempt(one.cases[0], one, Outcome.FAILED))
    assert {c.batch.id for c in commands if isinstance(c, Stop)} == {one.id, two.id}
    assert it.decide(1.0) == []


def test_cases_go_only_where_their_needs_are_met():
    """A GPU case waits for the GPU worker and leaves the plain one to plain cases."""
    gpu = Requirements(gpu=1)
    it = dispatcher(worker("plain", slots=1), worker("gpu", slots=1, gpu=1.0))
    plain = cases_of(3)
    needy = [Case(id=f"g::{n}", group="g", index=10 + n, needs=gpu) for n in range(3)]
    it.add_cases([*plain, *needy], 0.0)
    for batch in sends(it.decide(0.0)):
        wanted = gpu if batch.slot.worker == "gpu" else Requirements()
        assert {case.needs for case in batch.cases} == {wanted}


def test_a_scarce_worker_is_not_kept_for_those_who_only_wait_for_a_slot():
    """Plain cases age while all slots are busy; the GPU cases still get the GPU, to the last."""
    gpu = Requirements(gpu=1)
    plain = [Case(id=f"p{n}", group=f"p{n}", index=n) for n in range(40)]
    needy = [Case(id=f"g{n}", group=f"g{n}", index=40 + n, needs=gpu) for n in range(4)]
    seconds = {case.id: 120.0 if case.needs.gpu else 60.0 for case in (*plain, *needy)}
    known = {case: CaseHistory(seconds=each) for case, each in seconds.items()}
    run = simulate(
        [*plain, *needy],
        [*(worker(f"cpu-{n}") for n in range(4)), worker("gpu-1", slots=1, gpu=1.0)],
        seconds=lambda case: seconds[case.id],
        durations=Durations(cases=known),
    )
    assert {each.worker for each in run.placements if each.case.needs.gpu} == {"gpu-1"}
    # 2,880 s of work on nine slots, 480 s of it on the one GPU.
    assert run.makespan < 500


def test_a_worker_kept_for_what_others_did_is_free_again():
    """It was to run a wide case, which found room elsewhere: it takes others again."""
    it = dispatcher(worker("a"), worker("b"))
    # Different needs never share a batch.
    for number, size in enumerate((5 * GIB, 6 * GIB)):
        needs = Requirements(memory_bytes=size)
        it.add_cases([Case(id=f"m{size}", group=f"m{size}", index=number, needs=needs)], 0.0)
    on = {batch.slot.worker: batch for batch in sends(it.decide(0.0))}
    wide = Case(id="w::x", group="w", index=9, needs=Requirements(cpu=2))
    it.add_cases([wide], 0.0)
    assert sends(it.decide(100.0)) == []
    it.finished(on["b"].cases[0], attempt(on["b"].cases[0], on["b"]))
    it.batch_ended(on["b"].id)
    (sent,) = sends(it.decide(101.0))
    assert (sent.slot.worker, sent.cases) == ("b", (wide,))
    it.add_cases([Case(id="o::y", group="o", index=10)], 101.0)
    assert [batch.slot.worker for batch in sends(it.decide(102.0))] == ["a"]


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


def test_resources_of_a_worker_are_never_overcommitted():
    """Two cases of 5 GiB do not run side by side on 8 GiB, though slots are free."""
    big = Requirements(memory_bytes=5 * GIB)
    it = dispatcher(worker(slots=4))
    it.add_cases(cases_of(1, 1, 1, needs=big), 0.0)
    (batch,) = sends(it.decide(0.0))
    it.finished(batch.cases[0], attempt(batch.cases[0], batch))
    it.batch_ended(batch.id)
    assert len(sends(it.decide(0.0))) == 1


def test_a_wide_case_is_not_starved_by_narrow_ones():
    """After a while a worker is held free for a case that needs all of it."""
    it = dispatcher(worker(slots=2))
    narrow = cases_of(5000)
    wide = Case(id="wide", group="w", index=9999, needs=Requirements(cpu=2.0))
    it.add_cases(narrow, 0.0)
    flying = sends(it.decide(0.0))
    it.add_cases([wide], 0.0)
    now = 0.0
    for _ in range(40):
        now += 1.0
        batch = flying.pop(0)
        for case in batch.cases:
            it.finished(case, attempt(case, batch))
        it.batch_ended(batch.id)
        flying.extend(sends(it.decide(now)))
        if any(wide in batch.cases for batch in flying):
            break
    assert any(wide in batch.cases for batch in flying), "the wide case never got its turn"


def test_long_cases_are_sent_first_when_history_knows_them():
    """Left for the end, one long case would keep a slot busy while the others idle."""
    cases = cases_of(100, 1)
    long = cases[-1]
    it = Dispatcher(rules=Rules(), durations=known(cases, [0.1] * 100 + [20.0]))
    it.worker_joined(worker(slots=2))
    it.add_cases(cases, 0.0)
    assert any(batch.cases == (long,) for batch in sends(it.decide(0.0)))


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
    assert it.is_settled(cases[0])


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


def test_a_case_that_vanishes_while_it_runs_holds_nobody_up():
    """A plugin that leaves it out once all are known: its batch goes on, and idle slots help."""
    it = dispatcher(worker("a", slots=1), worker("b", slots=1))
    (case,) = cases_of(1)
    it.add_cases([case], 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, case, 0.0)
    it.forget(case)
    assert it.decide(3.0) == []
    it.batch_ended(batch.id)
    assert it.done


def test_a_settled_case_of_which_no_like_ever_waited_can_be_forgotten():
    """It passed before the campaign was interrupted; its file is another now."""
    it = dispatcher(worker("a"))
    (case,) = cases_of(1)
    (batch,) = sends(dispatcher_with(case).decide(0.0))
    it.add_cases([case], 0.0, past={case.id: [attempt(case, batch)]})
    it.forget(case)
    assert it.done


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


def test_an_interrupted_campaign_runs_only_what_is_not_settled():
    """Attempts of the past count as if they had just been heard."""
    cases = cases_of(3)
    done, failed, fresh = cases
    it = dispatcher(worker(slots=1), rules=Rules(retries=1))

    class OldBatch:
        id = "old"

    past = {
        done.id: [attempt(done, OldBatch)],
        failed.id: [attempt(failed, OldBatch, Outcome.FAILED)],
    }
    it.add_cases(cases, 0.0, past=past)
    ran = []
    while batches := sends(it.decide(0.0)):
        for case in batches[0].cases:
            ran.append(case.id)
            it.finished(case, attempt(case, batches[0]))
        it.batch_ended(batches[0].id)
    assert sorted(ran) == sorted([failed.id, fresh.id])


@st.composite
def suites(draw):
    sizes = draw(st.lists(st.integers(1, 30), min_size=1, max_size=12))
    cases = cases_of(*sizes)
    seconds = draw(
        st.lists(st.floats(0.001, 5.0, allow_nan=False), min_size=len(cases), max_size=len(cases))
    )
    return cases, seconds


@settings(max_examples=60, deadline=None)
@given(suites(), st.integers(1, 6), st.booleans())
def test_any_suite_runs_every_case_once_and_never_two_on_a_slot(suite, slots, with_history):
    """Whatever the durations, and whether they are known or not."""
    cases, seconds = suite
    truth = dict(zip((case.id for case in cases), seconds, strict=True))
    run = simulate(
        cases,
        [worker(slots=slots)],
        seconds=lambda case: truth[case.id],
        durations=known(cases, seconds) if with_history else Durations(),
        rules=Rules(hedge=False),
    )
    executed = Counter(placement.case.id for placement in run.placements)
    reclaimed = {case_id for case_id, times in executed.items() if times > 1}
    assert set(executed) == set(truth)
    # A reclaimed case may run twice when its old slot reaches it first; that is rare and allowed.
    assert len(reclaimed) <= slots * 3
    by_slot = defaultdict(list)
    for placement in run.placements:
        by_slot[placement.worker, placement.slot].append((placement.started, placement.finished))
    for spans in by_slot.values():
        spans.sort()
        for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
            assert start >= end - 1e-9


@settings(max_examples=40, deadline=None)
@given(suites(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_any_failures_end_with_every_case_settled(suite, slots, random):
    """Failures, crashes and losses in any order: the campaign ends."""
    cases, seconds = suite
    truth = dict(zip((case.id for case in cases), seconds, strict=True))
    outcomes = [Outcome.PASSED, Outcome.FAILED, Outcome.CRASHED, Outcome.INFRA_LOST]
    run = simulate(
        cases,
        [worker(slots=slots)],
        seconds=lambda case: truth[case.id],
        durations=Durations(),
        rules=Rules(retries=1, infra_retries=1),
        outcome=lambda case, number: random.choice(outcomes),
    )
    assert {placement.case.id for placement in run.placements} == set(truth)


def test_with_history_the_makespan_is_close_to_its_lower_bound():
    """A thousand cases of very different length, on two and on sixteen slots."""
    import random

    source = random.Random(5)
    cases = cases_of(*[25] * 40)
    seconds = [source.lognormvariate(-3.0, 1.3) for _ in cases]
    truth = dict(zip((case.id for case in cases), seconds, strict=True))
    for slots, most in ((2, 1.05), (16, 1.15)):
        run = simulate(
            cases,
            [worker(slots=slots)],
            seconds=lambda case: truth[case.id],
            durations=known(cases, seconds),
        )
        assert run.makespan / lower_bound(seconds, slots) < most


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


def stops(commands) -> list:
    return [command.batch for command in commands if isinstance(command, Stop)]


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
    it.occupy(Slot("c", 0))
    it.add_cases(cases, 0.0)
    first, second = sends(it.decide(0.0))
    it.started(second.id, second.cases[0], 0.0)
    (lost,) = lose(it, first.slot.worker, first.cases[0], first)
    assert it.decide(1.0) == [Stop(batch=second)]
    it.vacate(Slot("c", 0))
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
    it.starting(Slot("c", 0), 1.0)
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
    it.starting(Slot("b", 0), 0.0)
    it.add_cases(cases, 0.0)
    batches = {batch.slot.worker: batch for batch in sends(it.decide(0.0))}
    (lost,) = lose(it, "a", batches["a"].cases[0], batches["a"])
    it.worker_joined(worker("c", slots=1))
    it.starting(Slot("c", 0), 0.9)
    # The one that began to start first is foreseen to be the first.
    assert it.decide(1.0) == [Stop(batch=batches["b"])]
    it.ready(Slot("c", 0), "of another life", 1.1)
    assert it.decide(1.1) == []
    it.ready(Slot("c", 0), "1", 1.2)
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
    it.starting(Slot("a", 0), 1.0)
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
