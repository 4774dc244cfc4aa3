"""Slots on which nothing can be begun rest, each time for longer."""

from __future__ import annotations

from proctor.infra.dispatching.batches import Slot
from proctor.infra.engine.patience import IDLE_SECONDS
from proctor.infra.engine.rests import MOST_SECONDS, Rests

FIRST, SECOND = Slot("w1", 0), Slot("w1", 1)


def test_each_rest_is_longer_until_something_works() -> None:
    """The longest is shorter than what is taken for a defect of ours."""
    rests = Rests()
    told = [rests.failed(FIRST, 0.0)[0] for _ in range(8)]
    assert told == [1, 2, 4, 8, 16, 32, 32, 32]
    assert MOST_SECONDS < IDLE_SECONDS
    rests.worked(FIRST)
    assert rests.failing == set()
    assert rests.failed(FIRST, 0.0) == (1, True)


def test_slots_of_one_worker_that_fail_together_are_news_once() -> None:
    """So is the next round of them."""
    rests = Rests()
    assert [rests.failed(slot, 0.0)[1] for slot in (FIRST, SECOND)] == [True, False]
    assert [rests.failed(slot, 1.0)[1] for slot in (SECOND, FIRST)] == [True, False]


def test_a_rest_is_over_in_time_or_when_nobody_else_is_well() -> None:
    """Better a worker that may fail again than none."""
    rests = Rests()
    rests.failed(FIRST, 10.0)
    assert rests.over(10.5, well={"w2"}) == []
    assert list(rests.resting) == [FIRST]
    assert rests.over(11.0, well={"w2"}) == [FIRST]
    assert not rests.resting
    rests.failed(FIRST, 12.0)
    assert rests.over(12.0, well=()) == [FIRST]


def test_a_worker_that_joins_anew_is_as_good_as_any() -> None:
    """Nothing of the one before it is held against it."""
    rests = Rests()
    rests.failed(FIRST, 0.0)
    rests.forget_worker("w1")
    assert not rests.resting
    assert rests.failing == set()
