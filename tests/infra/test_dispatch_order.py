"""The order in which files and their cases go out, by hand and on a virtual clock."""

from __future__ import annotations

from itertools import pairwise

from dispatch_parts import attempt, cases_of, dispatcher, known, sends, worker

from proctor.infra.dispatching.durations import Durations
from proctor.infra.simulation.campaign import Simulation, simulate


def turned_round(run: Simulation) -> int:
    """How often a slot went on with a case that stands before its last."""
    turns = 0
    for slot in range(2):
        mine = [each for each in run.placements if each.slot == slot]
        order = [each.case.index for each in sorted(mine, key=lambda each: each.started)]
        turns += sum(later < earlier for earlier, later in pairwise(order))
    return turns


def test_who_joins_a_file_cuts_it_once_and_goes_on_in_its_order():
    """Taking it from the back piece by piece would turn the order round."""
    cases = cases_of(400)
    run = simulate(
        cases, [worker(slots=2)], seconds=lambda case: 0.05, durations=Durations(cases={})
    )
    # Only at the very end, where they share what is left.
    assert turned_round(run) <= 3
    assert run.makespan < 1.05 * 10


def test_who_joins_a_file_goes_on_where_a_batch_of_its_own_had_to_end():
    """What came back of it is next. Passed over, it would be run after all that follows it."""
    cases = cases_of(400)
    run = simulate(
        cases,
        [worker(slots=2)],
        # The second half takes four times as long as anybody knows.
        seconds=lambda case: 0.05 if case.index < 200 else 0.2,
        durations=known(cases, [0.05] * 400),
    )
    assert turned_round(run) <= 1


def test_what_is_left_of_many_files_goes_out_together():
    """A batch that took longer than foreseen leaves dozens behind: no round trip for each."""
    it = dispatcher(worker(slots=1))
    cases = cases_of(*[2] * 60)
    it.add_cases(cases, 0.0)
    for now in range(3):
        (batch,) = sends(it.decide(float(now)))
        for case in batch.cases[:2]:
            it.finished(case, attempt(case, batch))
        it.batch_ended(batch.id)
    assert len({case.group for case in batch.cases}) > 5
    left, batches = 120 - 6, 0
    while found := sends(it.decide(9.0)):
        (batch,) = found
        batches += 1
        for case in batch.cases:
            it.finished(case, attempt(case, batch))
        it.batch_ended(batch.id)
        left -= len(batch.cases)
    assert left == 0
    assert batches < 12
