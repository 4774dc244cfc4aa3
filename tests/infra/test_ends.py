"""An end is settled once all that was said of it is here, and no later than needed."""

from __future__ import annotations

from proctor.infra.engine.ends import LOSS_SECONDS, STRAGGLING_RECORDS_SECONDS, Ends
from proctor.infra.engine.happenings import Ended


def due(ends: Ends, now: float, *, present: bool = True) -> list[Ended]:
    return list(ends.due(now, is_present=lambda batch: present))


def test_what_the_worker_says_of_an_end_is_settled_at_once() -> None:
    """Whoever told of it first."""
    ends = Ends()
    told = Ended(batch="b1", result={"reason": "done"})
    ends.hear(Ended(batch="b1", result={}), 0.0)
    assert due(ends, 0.1) == []
    ends.hear(told, 0.2)
    ends.hear(Ended(batch="b1", result={}), 0.3)
    assert due(ends, 0.3) == [told]
    assert not ends


def test_an_end_of_which_the_worker_says_nothing_is_not_waited_for_for_ever() -> None:
    """Its words may be under way, for so long."""
    ends = Ends()
    ends.hear(Ended(batch="b1", result={}), 0.0)
    assert due(ends, STRAGGLING_RECORDS_SECONDS - 0.1) == []
    assert [each.batch for each in due(ends, STRAGGLING_RECORDS_SECONDS)] == ["b1"]


def test_a_lost_batch_waits_until_it_is_clear_whether_its_worker_is_gone() -> None:
    """A worker that took its batch with it is not to be given the next one."""
    ends = Ends()
    lost = Ended(batch="b1", result={}, failure="it was lost")
    ends.hear(lost, 0.0)
    assert due(ends, LOSS_SECONDS - 0.1) == []
    assert due(ends, LOSS_SECONDS - 0.1, present=False) == [lost]
    ends.hear(lost, 0.0)
    assert due(ends, LOSS_SECONDS) == [lost]
