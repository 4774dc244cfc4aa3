"""Cases that need much: who may run them, and who is kept for them."""

from __future__ import annotations

from dataclasses import replace

from dispatch_parts import GIB, attempt, cases_of, dispatcher, sends, worker

from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.records import Case, Requirements
from proctor.infra.simulation.campaign import simulate


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


def on_one_machine(count: int, **facts) -> list:
    """Workers that each offer all memory of the machine they share."""
    memory = {"memory_bytes": 24 * GIB, "machine_memory_bytes": 24 * GIB}
    shared = {**memory, "host": "ubuntu", "machine": "box", **facts}
    return [worker(f"cpu-{number}", slots=1, **shared) for number in range(count)]


def large(count: int, size: int = 16 * GIB) -> list[Case]:
    needs = Requirements(memory_bytes=size)
    return [Case(id=f"m{n}::x", group=f"m{n}", index=n, needs=needs) for n in range(count)]


def test_workers_of_one_machine_do_not_promise_its_memory_twice():
    """One large case at a time, whoever runs it; small ones go on beside it."""
    it = dispatcher(*on_one_machine(3))
    it.add_cases(large(3), 0.0)
    (first,) = sends(it.decide(0.0))
    it.add_cases([Case(id="s::y", group="s", index=9)], 0.0)
    (small,) = sends(it.decide(0.1))
    assert small.cases[0].id == "s::y"
    it.finished(first.cases[0], attempt(first.cases[0], first))
    it.batch_ended(first.id)
    (second,) = sends(it.decide(1.0))
    assert second.cases[0].needs == first.cases[0].needs
    # A lost worker gives back what it held of the machine.
    it.worker_lost(second.slot.worker)
    assert len(sends(it.decide(2.0))) == 1


def test_workers_of_two_machines_have_a_memory_each():
    """Also under one name, and containers of one machine, which have limits of their own.

    Those that nobody measured are taken at their word.
    """
    one = on_one_machine(2)
    two = [replace(one[0], name="far", machine="far")]
    contained = [replace(one[0], name="in", host="container"), one[0]]
    unmeasured = [worker(f"w{n}", slots=1, memory_bytes=24 * GIB, machine="box") for n in range(2)]
    cases = large(3)
    for fleet in ([*one, *two], contained, unmeasured):
        it = dispatcher(*fleet, **{case.id: 60.0 for case in cases})
        it.add_cases(cases, 0.0)
        assert len(sends(it.decide(0.0))) == 2


def test_a_class_that_says_more_than_was_measured_is_believed():
    """Else its largest case would wait for ever."""
    it = dispatcher(*on_one_machine(2, memory_bytes=64 * GIB))
    it.add_cases(large(2, size=40 * GIB), 0.0)
    assert len(sends(it.decide(0.0))) == 1


def test_large_cases_of_one_machine_all_end():
    """In turns, as if there were one slot for them."""
    run = simulate(
        [*large(6), *(Case(id=f"s{n}::y", group=f"s{n}", index=10 + n) for n in range(20))],
        on_one_machine(3),
        seconds=lambda case: 10.0,
        durations=Durations(cases={}),
    )
    assert len(run.placements) == 26
    assert 60.0 <= run.makespan < 120.0
