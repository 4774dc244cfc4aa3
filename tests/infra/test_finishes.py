"""What hooks make of the exit codes of sessions, and what that means for the campaign's."""

from __future__ import annotations

import pytest

from proctor.infra.engine.finishes import Finishes


@pytest.mark.parametrize(
    ("said", "code", "made"),
    [
        # Nobody said anything, or nothing that is news.
        ([], 0, 0),
        ([(0, 0), (1, 1), (5, 5)], 1, 1),
        # One session is enough.
        ([(0, 0), (0, 7)], 0, 7),
        ([(1, 3)], 1, 3),
        ([(5, 0)], 5, 0),
        # What a hook makes of another code says nothing of this one.
        ([(1, 7)], 0, 0),
        ([(0, 7)], 1, 1),
        # Another session's hook did not excuse its failures, and nobody may excuse all.
        ([(1, 0), (1, 1)], 1, 1),
        ([(1, 0)], 1, 1),
        # Of a campaign that is itself at fault.
        ([(0, 7)], 6, 6),
    ],
)
def test_what_is_made_of_a_code_counts_for_the_same_code(
    said: list[tuple[int, int]], code: int, made: int
) -> None:
    """A session sees its own part: who turns 0 into 7 has nothing to say of failed cases."""
    finishes = Finishes()
    for own, after in said:
        finishes.hear({"own": own, "code": after})
    assert finishes.judge(code)[0] == made


def test_what_is_followed_or_refused_is_said() -> None:
    """One sentence, with the codes and why."""
    finishes = Finishes()
    assert finishes.judge(0) == (0, "")
    finishes.hear({"own": 0, "code": 1, "why": "ValueError: no"})
    assert "made exit code 1 of 0" in finishes.judge(0)[1]
    assert "ValueError: no" in finishes.judge(0)[1]
    finishes.hear({"own": 1, "code": 0})
    assert "keeps 1" not in finishes.judge(0)[1]
    assert "ends with 1" in finishes.judge(1)[1]


def test_the_first_session_that_does_not_end_is_told_with_what_held_it() -> None:
    finishes = Finishes()
    threads = ["serve", "Thread-2 (pump)", "Thread-3 (pump)", "Thread-4 (pump)"]
    told = finishes.overstayed({"seconds": 10.0, "threads": threads})
    assert "10 s after" in told
    assert "serve, Thread-2 (pump), Thread-3 (pump) and 1 more" in told
    assert finishes.overstayed({"seconds": 10.0, "threads": ["serve"]}) == ""


def test_without_threads_exit_handlers_are_suspected() -> None:
    assert "atexit" in Finishes().overstayed({"seconds": 10.0, "threads": []})
