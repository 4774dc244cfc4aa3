"""What is sent to a slot, and what its answers become."""

from __future__ import annotations

from ledger_parts import case

from proctor.infra.dispatching.batches import Batch, Files, Slot
from proctor.infra.engine.attempts import attempt_id, attempt_of
from proctor.infra.records import Case, Outcome, Requirements
from proctor.infra.runners.orders import Act, SlotOrder, order_of
from proctor.infra.runners.spec import RunnerSpec, ended


def batch(*cases: Case) -> Batch:
    return Batch(
        id="b1",
        slot=Slot("w1", 0),
        cases=cases,
        budget_seconds=2.0,
        finishes=("f",),
        why="first",
        files=Files(ahead=("f", "g"), beside=("h",)),
    )


def test_a_cases_own_limits_come_first() -> None:
    """The campaign's hold for those that state none."""
    own = Case(id="x", group="g", index=0, timeout_seconds=5, needs=Requirements(memory_bytes=7))
    order = order_of(batch(own, case(1)), timeout_seconds=60, memory_limit_bytes=99)
    assert [(work.timeout_seconds, work.memory_limit_bytes) for work in order.work] == [
        (5, 7),
        (60, 99),
    ]
    assert (order.batch, order.budget_seconds, order.finishes) == ("b1", 2.0, ("f",))
    assert (order.ahead, order.beside) == (("f", "g"), ("h",))


def test_campaigns_speak_on_topics_of_their_own() -> None:
    """Two on one fleet do not hear each other."""
    orders = [
        SlotOrder(
            campaign=name, epoch=1, name="b1", slot=0, act=Act.RUN, runner=RunnerSpec(python="p")
        )
        for name in ("c1", "c2")
    ]
    assert len({order.topic for order in orders}) == 2


def test_a_record_becomes_an_attempt() -> None:
    """Its id is of epoch, batch and case; usage and texts are taken over."""
    told = {
        **ended("x", outcome="failed", started=10.0, finished=12.5, message="no"),
        "b": "b1",
        "e": 3,
        "w": "w1",
        "i": "life",
        "s": 2,
        "cpu": 1.5,
        "peak": 7,
        "text": [["stdout", "hello"]],
        "props": [["size", 3]],
        "notes": ["left a thread"],
    }
    attempt, text = attempt_of(told)
    assert attempt.id == attempt_id(told) == "3.b1.x"
    assert attempt.outcome is Outcome.FAILED
    assert (attempt.usage.wall_seconds, attempt.usage.cpu_seconds) == (2.5, 1.5)
    assert (attempt.worker, attempt.incarnation, attempt.slot) == ("w1", "life", 2)
    assert attempt.properties == (("size", 3),)
    assert attempt.notes == ("left a thread",)
    assert text == [("stdout", "hello")]
