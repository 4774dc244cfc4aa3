"""Who is blamed for a process that somebody killed: nobody at first, nor for two accidents."""

from __future__ import annotations

import pytest
from ledger_parts import attempt

from proctor.infra.engine.attempts import Excuses
from proctor.infra.records import Attempt, Outcome


def killed(number: int = 0, *, of: int = 0) -> Attempt:
    return attempt(number, "crashed", of=of, message="killed by SIGKILL (9)")


def test_two_kills_may_be_accidents_and_a_third_is_its_own() -> None:
    """After the first it runs alone: what dies alone again and again has no excuse."""
    excuses = Excuses(infra_retries=3)
    judged = [excuses.judge(killed(number)) for number in range(3)]
    assert [each.outcome for each in judged] == [
        Outcome.INFRA_LOST,
        Outcome.INFRA_LOST,
        Outcome.CRASHED,
    ]
    assert "by it or by somebody else" in judged[1].message


def test_what_was_excused_before_an_interruption_counts() -> None:
    """Excused anew after each, a case would be lost more often than it may, and never judged."""
    before, after = Excuses(infra_retries=3), Excuses(infra_retries=3)
    lost = attempt(9, "infra-lost", message="worker w1 died: its connection ended")
    after.remember([before.judge(killed(0)), lost])
    assert after.judge(killed(1)).outcome is Outcome.INFRA_LOST
    assert after.judge(killed(2)).outcome is Outcome.CRASHED


def test_each_case_has_excuses_of_its_own() -> None:
    """Kills that hit many cases are an operator's, or the kernel's."""
    excuses = Excuses(infra_retries=3)
    outcomes = {excuses.judge(killed(number % 2, of=number)).outcome for number in range(20)}
    assert outcomes == {Outcome.INFRA_LOST}


@pytest.mark.parametrize(
    ("retries", "outcomes"),
    [(0, ["crashed"]), (1, ["infra-lost", "crashed"]), (2, ["infra-lost", "infra-lost"])],
)
def test_a_budget_of_losses_is_not_spent_on_excuses(retries: int, outcomes: list[str]) -> None:
    """Where it allows none, the first kill counts: lost for good would be no verdict at all."""
    excuses = Excuses(infra_retries=retries)
    assert [excuses.judge(killed(number)).outcome.value for number in range(len(outcomes))] == (
        outcomes
    )


@pytest.mark.parametrize(
    "given",
    [
        attempt(0, "crashed", message="killed by SIGSEGV (11)"),
        attempt(0, "out-of-memory", message="used 3.00 GB, its limit is 2.00 GB"),
        attempt(0, "passed"),
    ],
    ids=["segfault", "memory", "passed"],
)
def test_nothing_else_is_excused(given: Attempt) -> None:
    """A segmentation fault is nobody else's."""
    assert Excuses(infra_retries=3).judge(given) is given


def test_whom_the_kernel_ends_for_memory_is_excused_as_others_are() -> None:
    """It takes who is there: only who dies of it alone as well was it; and then of memory."""
    told = "killed by the kernel for lack of memory; it used 20 MB"
    excuses = Excuses(infra_retries=3)
    outcomes = [
        excuses.judge(attempt(number, "out-of-memory", message=told)).outcome.value
        for number in range(3)
    ]
    assert outcomes == ["infra-lost", "infra-lost", "out-of-memory"]
