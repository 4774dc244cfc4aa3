"""Explanations: the parts of a wait are named and add up; the dispatcher's reason is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from digests import BEGAN, attempt, digest, left_out, news, sent
from hypothesis import given
from hypothesis import strategies as st

from proctor.infra.ledgers.record import MovedCases
from proctor.infra.records import Requirements
from proctor.monitoring.reports.explain import explain


def test_wait_is_taken_apart() -> None:
    """Collection, worker, slot, batch mates and warm-up each get their share."""
    facts = digest(
        [
            attempt("a::first", at=6.0, seconds=2.0, batch="b2"),
            attempt("a::second", at=8.0, seconds=1.0, batch="b2"),
        ],
        phases=(("collect", BEGAN), ("run", BEGAN + 1.0)),
        news=(news("joined", at=3.0),),
        batches=(sent("b2", [0, 1], at=5.0, why="the largest file not begun"),),
    )

    found = explain(facts, facts.cases[1])

    assert [(wait.what, round(wait.seconds, 6)) for wait in found.waits] == [
        ("collection and planning", 1.0),
        ("the first worker to join the campaign", 2.0),
        ("a free slot", 2.0),
        ("earlier cases of its batch", 2.0),
        ("the runner to start, import and set up", 1.0),
    ]
    assert found.waited == 8.0
    assert "on local-1, slot 0, 8.00 s into the campaign" in found.sentences[1]
    assert "in batch b2 of 2 cases: the largest file not begun." in found.sentences[1]


def test_waiting_for_a_class_of_worker_is_named() -> None:
    """A case that needs a GPU waited for the GPU worker, however early another worker came.

    Until the campaign has reached its fleet, it waits for that, and for no kind of worker.
    """
    facts = digest(
        [attempt("a::x", at=9.0)],
        news=(news("joined", at=1.0), news("joined", at=8.0, worker="gpu-1", gpu=1.0)),
        batches=(sent("b1", [0], at=8.5),),
    )
    needy = replace(facts.cases[0], needs=Requirements(gpu=1.0))

    found = {wait.what: wait.seconds for wait in explain(facts, needy).waits}

    assert found["the first worker to join the campaign"] == 0.5
    assert found["no worker that could run it"] == 7.0
    assert found["a free slot"] == 0.5


def test_retry_is_part_of_the_wait() -> None:
    """What came before the attempt that decided is said to be lost executions or attempts."""
    facts = digest(
        [
            attempt("a::x", "infra-lost", at=1.0, message="worker local-1 died"),
            attempt("a::x", at=4.0, batch="b2"),
        ],
        batches=(sent("b1", [0], at=0.9), sent("b2", [0], at=3.0, why="it runs alone")),
    )

    found = explain(facts, facts.cases[0])

    assert found.waits[-1].what == "executions that were lost"
    assert found.waits[-1].seconds == pytest.approx(3.0)
    assert len(found.attempts) == 2
    assert "batch b2 of 1 case: it runs alone." in found.sentences[2]


def test_a_move_to_another_worker_is_told() -> None:
    """A case that waited behind a slow one and was taken elsewhere says from where, and when."""
    facts = digest(
        [attempt("a::slow", at=1.0, seconds=9.0, batch="b1"), attempt("a::x", at=4.0, batch="b2")],
        batches=(
            sent("b1", [0, 1], at=1.0),
            replace(sent("b2", [1], at=3.5), worker="fast-1"),
        ),
    )

    moved = explain(facts, facts.cases[1]).sentences[1]

    assert moved == (
        "It waited in batch b1 on local-1 for 2.50 s without its turn, "
        "and moved to fast-1 in batch b2."
    )
    assert not any("moved" in text for text in explain(facts, facts.cases[0]).sentences)


def test_why_a_case_moved_is_told() -> None:
    """Taken out of a batch, or begun anew on a faster worker while the slow one still ran it."""
    facts = digest(
        [
            attempt("a::slow", "cancelled", at=1.0, seconds=9.0, batch="b1"),
            attempt("a::slow", at=5.0, seconds=2.0, batch="b3", worker="fast-1"),
            attempt("a::x", at=4.0, batch="b2", worker="fast-1"),
        ],
        batches=(
            sent("b1", [0, 1], at=1.0),
            replace(sent("b2", [1], at=3.5), worker="fast-1"),
            replace(sent("b3", [0], at=5.0), worker="fast-1"),
        ),
        moves=tuple(
            MovedCases(
                batch=batch,
                source="local-1",
                worker="fast-1",
                cases=(case,),
                why=why,
                at=BEGAN + 3.5,
                epoch=1,
            )
            for batch, case, why in (
                ("b2", 1, "it waited behind a case that has run for 2.5 s"),
                ("b3", 0, "a faster worker ends it sooner"),
            )
        ),
    )

    slow, other = (explain(facts, case).sentences for case in facts.cases)

    assert slow[1] == (
        "While local-1 ran it, it was begun anew on fast-1 in batch b3: "
        "a faster worker ends it sooner."
    )
    assert other[1].endswith(
        "moved to fast-1 in batch b2: it waited behind a case that has run for 2.5 s."
    )


def test_case_that_never_ran_says_so() -> None:
    """A case without attempts is explained by the campaign's state."""
    facts = digest([attempt("a::x")], not_run=["a::y"], state="cancelled")

    found = explain(facts, facts.cases[1])

    assert found.sentences == ("It was never sent to a worker, and the campaign is cancelled.",)
    assert found.waits == ()


def test_case_that_no_worker_could_run_did_not_run() -> None:
    """It has no execution on some slot, and there was no wait for one."""
    facts = digest([attempt("a::x")], unmet={"a::gpu": [left_out("a::gpu", at=6.0)]})

    found = explain(facts, facts.cases[1])

    assert found.sentences == (
        "It was never sent to a worker, and the campaign is completed: needs gpu=1.",
    )
    assert (found.waits, found.waited, found.attempts) == ((), 0.0, ())


def test_case_that_a_later_worker_ran_was_left_out_before() -> None:
    """Only its execution counts: it waited for a worker that could run it."""
    facts = digest(
        [attempt("a::gpu", at=9.0, epoch=2)],
        unmet={"a::gpu": [left_out("a::gpu", at=6.0)]},
        news=(news("joined", at=1.0), news("joined", at=8.0, worker="gpu-1", gpu=1.0)),
        batches=(sent("b1", [0], at=8.5, epoch=2),),
    )
    needy = replace(facts.cases[0], needs=Requirements(gpu=1.0))

    found = explain(facts, needy)

    assert found.sentences[1] == "It was left out 6.00 s into the campaign: needs gpu=1."
    assert not any("unknown worker" in text for text in found.sentences)
    waits = {wait.what: wait.seconds for wait in found.waits}
    assert waits["no worker that could run it"] == 7.0
    assert waits["a free slot"] == 0.5
    assert len(found.attempts) == 1


def test_batch_of_the_right_epoch_is_meant() -> None:
    """After a resume batch ids begin anew; the batch of the attempt's own epoch counts."""
    facts = digest(
        [attempt("a::x", at=20.0, batch="b1", epoch=2)],
        batches=(
            sent("b1", [0], at=1.0, why="old"),
            sent("b1", [0], at=19.0, why="new", epoch=2),
        ),
    )

    assert "1 case: new." in explain(facts, facts.cases[0]).sentences[1]


@given(st.lists(st.floats(0, 100), min_size=5, max_size=5), st.booleans())
def test_parts_add_up_to_the_wait(times: list[float], known: bool) -> None:
    """In whatever order clocks of several machines put the events, the parts are whole."""
    run, joined, dispatched, started, again = times
    facts = digest(
        [
            attempt("a::x", "failed", at=started, seconds=0.0),
            attempt("a::x", at=max(started, again), seconds=0.0, batch="b2"),
        ],
        phases=(("run", BEGAN + run),),
        news=(news("joined", at=joined),),
        batches=(sent("b1", [0], at=dispatched),) if known else (),
    )

    found = explain(facts, facts.cases[0])

    assert all(wait.seconds >= 0 for wait in found.waits)
    assert sum(wait.seconds for wait in found.waits) == pytest.approx(found.waited, abs=0.01)
