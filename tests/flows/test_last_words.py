"""The sentence Prefect is told when a campaign ends."""

from __future__ import annotations

from proctor.flows.mirroring.last_word import conclude


def test_a_code_that_a_hook_made_has_its_own_reason() -> None:
    """Though it is the code of failed cases: there are none."""
    counts = {"passed": 3}
    told = conclude(exit_code=1, counts=counts, reason="a hook made exit code 1 of 0")
    assert told.message == "a hook made exit code 1 of 0: 3 passed"
    assert conclude(exit_code=1, counts={"failed": 2}).message == "2 of 2 cases failed: 2 failed"
