"""How cases fare, and when that is enough: by a campaign's rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ..records import Attempt, Case, Judgement, Outcome
from .batches import Rules
from .state import Tally

# So many batches of a case may come to nothing, though nobody kept them from running.
MOST_IN_VAIN = 5


class Tallies:
    """Counts the outcomes of each case."""

    def __init__(self, rules: Rules, is_muted: Callable[[str], bool]) -> None:
        self.rules = rules
        self._is_muted = is_muted
        # By the index of the case.
        self._tallies: dict[int, Tally] = {}
        self.unsettled = 0
        # Those that nobody will ever run: they are cases all the same.
        self._left_out: set[int] = set()
        self.failed_cases = 0
        # How those ended that are settled, by the word of their judgement.
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """All cases there are, whatever becomes of them."""
        return self.counts.total() + self.unsettled + len(self._left_out)

    def begin(self, case: Case, past: Sequence[Attempt]) -> Tally:
        """A new case, with what it came to in an interrupted campaign."""
        tally = self._tallies[case.index] = self.of(past)
        self.unsettled += 1
        if tally.settled:
            self._settle(case, tally)
        return tally

    def of(self, past: Sequence[Attempt]) -> Tally:
        """By the attempts of an interrupted campaign."""
        tally = Tally()
        for attempt in past:
            if not tally.settled:
                tally.last = attempt.outcome
            self.judge(tally, attempt.outcome)
        return tally

    def count(self, case: Case, outcome: Outcome) -> bool:
        """One more outcome of a case that is open; whether that settles it."""
        tally = self._tallies[case.index]
        tally.last = outcome
        self.judge(tally, outcome)
        if tally.settled:
            self._settle(case, tally)
        return tally.settled

    def forget(self, case: Case) -> None:
        """It will not be run again; what it has come to before stands, and else it is no case."""
        tally = self._tallies[case.index]
        if tally.settled:
            return
        tally.settled = True
        self.unsettled -= 1
        if tally.last is not None:
            self.counts[tally.last.value] += 1

    def leave_out(self, case: Case) -> None:
        """It is there, and is not run."""
        tally = self._tallies[case.index]
        if not tally.settled:
            self.forget(case)
            if tally.last is None:
                self._left_out.add(case.index)

    def settle_unrun(self, case: Case, outcome: Outcome) -> None:
        """It came to that though nobody is to run it: it stands for a whole file, or was forgotten.

        Once it has come to anything, that stands; unless it was to run again.
        """
        tally = self._tallies.setdefault(case.index, Tally(settled=True))
        if not tally.settled:
            tally.last = outcome
            self.judge(tally, outcome)
            tally.settled = True
            self._settle(case, tally)
        elif tally.last is None:
            tally.last = outcome
            self._left_out.discard(case.index)
            self.counts[outcome.value] += 1

    def is_settled(self, case: Case) -> bool:
        return self._tallies[case.index].settled

    def is_open(self, case: Case) -> bool:
        """Whether it is known, and somebody is to run it."""
        tally = self._tallies.get(case.index)
        return tally is not None and not tally.settled

    def has_result(self, case: Case) -> bool:
        """Whether an execution of it passed or failed, whatever else became of others."""
        tally = self._tallies.get(case.index)
        return tally is not None and (tally.passed or tally.failures > 0)

    def losses(self, case: Case) -> int:
        return self._tallies[case.index].losses

    def sent_in_vain(self, case: Case) -> bool:
        """A batch came to nothing, and it was the first of it; whether that is too often."""
        if not self.is_open(case):
            return False
        tally = self._tallies[case.index]
        tally.in_vain += 1
        return tally.in_vain > MOST_IN_VAIN

    def judge(self, tally: Tally, outcome: Outcome) -> None:
        """Count one more outcome, by the rules of the campaign."""
        judge_outcome(tally, outcome, self.rules)

    @property
    def are_enough(self) -> bool:
        """Whether so many cases have failed that the campaign is to stop."""
        return 0 < self.rules.maxfail <= self.failed_cases

    def _settle(self, case: Case, tally: Tally) -> None:
        """Nothing more will come of a case; whether it failed counts, unless it is muted."""
        self.unsettled -= 1
        failed = tally.failures > self.rules.retries
        self.failed_cases += failed and not self._is_muted(case.id)
        if tally.last is not None:
            is_flaky = tally.passed and tally.failures > 0
            self.counts[(Judgement.FLAKY if is_flaky else tally.last).value] += 1


def judge_outcome(tally: Tally, outcome: Outcome, rules: Rules) -> None:
    """Count one more outcome of a case; one that is settled by the rules stays settled."""
    if outcome.is_good:
        tally.passed = tally.settled = True
    elif outcome.is_failure:
        tally.failures += 1
        tally.settled |= tally.failures > rules.retries
    elif outcome is Outcome.INFRA_LOST:
        tally.losses += 1
        tally.settled |= tally.losses > rules.infra_retries
