"""How cases fare, and when that is enough: by a campaign's rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..records import Attempt, Case, Outcome
from .batches import Rules
from .state import Tally


class Tallies:
    """Counts outcomes; the tallies themselves belong to who asks."""

    def __init__(self, rules: Rules, is_muted: Callable[[str], bool]) -> None:
        self.rules = rules
        self._is_muted = is_muted
        self.failed_cases = 0

    def of(self, past: Sequence[Attempt]) -> Tally:
        """By the attempts of an interrupted campaign."""
        tally = Tally()
        for attempt in past:
            self.judge(tally, attempt.outcome)
        return tally

    def judge(self, tally: Tally, outcome: Outcome) -> None:
        """Count one more outcome; a settled case stays settled."""
        if outcome.is_good:
            tally.passed = tally.settled = True
        elif outcome.is_failure:
            tally.failures += 1
            tally.settled = tally.failures > self.rules.retries
        elif outcome is Outcome.INFRA_LOST:
            tally.losses += 1
            tally.settled = tally.losses > self.rules.infra_retries

    def settled(self, case: Case, tally: Tally) -> None:
        """Nothing more will come of a case; whether it failed counts, unless it is muted."""
        failed = tally.failures > self.rules.retries
        self.failed_cases += failed and not self._is_muted(case.id)

    @property
    def are_enough(self) -> bool:
        """Whether so many cases have failed that the campaign is to stop."""
        return 0 < self.rules.maxfail <= self.failed_cases
