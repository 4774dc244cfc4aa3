"""Which worker is sick, by evidence: what fails on it and passes elsewhere. Pure.

A case that fails everywhere says nothing of a worker, nor does one that nobody ran again. What
counts is a case that failed here and then passed on another worker, and a session that died here
with no case to blame. Both also happen to healthy workers; were they to happen anywhere with the
same chance, each execution (or batch) being as likely as another to be hit, the number that hit
one worker would be hypergeometric: Fisher's exact test. A worker is called sick when that many
would be too unlikely.

Looking again and again would find something in the end. So each look, one for each new piece of
evidence, has its part of the chance of a mistake, a/n(n+1) for the nth, and each worker its share:
over a whole campaign, however long, a fleet of healthy workers is called sick at all with a chance
of at most `MISTAKE` for either kind of evidence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ..records import Attempt, Case, Outcome

# The chance that any healthy worker of a campaign is taken for sick.
MISTAKE = 0.01
# However unlikely: so few hits may have a common cause that is over.
FEWEST_HITS = 4
# Up to so many terms the tail is summed; beyond, a bound is close enough.
MOST_TERMS = 64

# A session ended with it: if anything is to blame, a case is.
BLAMES_A_CASE = frozenset(
    {Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.INFRA_LOST}
)


@dataclass(frozen=True, slots=True)
class Life:
    """A worker from its start to its end; the next one under its name may be well."""

    worker: str
    incarnation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A worker that is sick, and why."""

    life: Life
    reason: str
    # Of a healthy worker to look like this or worse.
    chance: float


def tail(hits_here: int, hits: int, here: int, total: int) -> float:
    """At most the chance that so many of the hits, or more, fall on `here` of `total` places."""
    if hits_here <= 0:
        return 1.0
    most = min(hits, here)
    if hits <= MOST_TERMS:
        ways = sum(
            math.comb(here, each) * math.comb(total - here, hits - each)
            for each in range(hits_here, most + 1)
        )
        return ways / math.comb(total, hits)
    share, found = here / total, hits_here / hits
    if found <= share:
        return 1.0
    # Hoeffding (1963): what bounds the binomial tail bounds the hypergeometric one.
    surprise = found * math.log(found / share)
    if found < 1:
        surprise += (1 - found) * math.log((1 - found) / (1 - share))
    return math.exp(-hits * surprise)


class SickWorkers:
    """Takes in what happens in a campaign; says once of each life that it is sick."""

    def __init__(self, *, mistake: float = MISTAKE) -> None:
        self._mistake = mistake
        self._told: set[Life] = set()
        # Executions, and the files they were of: cases of a file often fail together, so each
        # counts once, both as evidence and as a place that evidence could have hit.
        self._executions: Counter[Life] = Counter()
        self._files: dict[Life, set[str]] = {}
        self._failed_on: dict[str, set[Life]] = {}
        self._flaws: dict[Life, set[str]] = {}
        self._batches: dict[str, Life] = {}
        self._blamed: set[str] = set()
        self._ends: Counter[Life] = Counter()
        self._deaths: Counter[Life] = Counter()
        self._news_of_cases = self._news_of_sessions = False

    # Facts ----------------------------------------------------------------------------------

    def executed(self, case: Case, attempt: Attempt) -> None:
        """A worker told what an execution came to."""
        life = Life(attempt.worker, attempt.incarnation)
        self._executions[life] += 1
        self._files.setdefault(life, set()).add(case.group)
        if attempt.outcome in BLAMES_A_CASE:
            self._blamed.add(attempt.batch)
        if attempt.outcome.is_failure or attempt.outcome is Outcome.INFRA_LOST:
            self._failed_on.setdefault(case.id, set()).add(life)
        elif attempt.outcome.is_result and case.id in self._failed_on:
            for other in self._failed_on.pop(case.id):
                if other.worker != life.worker:
                    flaws = self._flaws.setdefault(other, set())
                    self._news_of_cases |= case.group not in flaws
                    flaws.add(case.group)

    def sent(self, batch: str, worker: str, incarnation: str) -> None:
        self._batches[batch] = Life(worker, incarnation)

    def ended(self, batch: str, *, died: bool) -> None:
        """A batch is over, by itself or because its session died."""
        life = self._batches.pop(batch, None)
        if life is None:
            return
        self._ends[life] += 1
        if died and batch not in self._blamed:
            self._deaths[life] += 1
            self._news_of_sessions = True
        self._blamed.discard(batch)

    def life_of(self, batch: str) -> Life | None:
        """Where a batch runs that is not over."""
        return self._batches.get(batch)

    def forget(self, life: Life) -> None:
        """Say it again if more is heard of it: nobody could do without it."""
        self._told.discard(life)

    # Judging --------------------------------------------------------------------------------

    def diagnose(self) -> list[Diagnosis]:
        """Those that are sick by what was heard since the last time."""
        found = [*self._by_cases(), *self._by_sessions()]
        self._news_of_cases = self._news_of_sessions = False
        told: dict[Life, Diagnosis] = {}
        for each in found:
            if each.life not in self._told:
                told.setdefault(each.life, each)
        self._told.update(told)
        return list(told.values())

    def _by_cases(self) -> Iterator[Diagnosis]:
        if not self._news_of_cases:
            return
        hits = sum(map(len, self._flaws.values()))
        places = sum(map(len, self._files.values()))
        executions = self._executions.total()
        level = self._level(hits, len(self._files))
        for life, flaws in self._flaws.items():
            # One worker may hold many files, another a few that take long: the worse counts.
            chance = max(
                tail(len(flaws), hits, len(self._files[life]), places),
                tail(len(flaws), hits, self._executions[life], executions),
            )
            if len(flaws) >= FEWEST_HITS and chance <= level:
                reason = f"cases of {len(flaws)} files failed on it and passed elsewhere"
                yield Diagnosis(life=life, reason=reason, chance=chance)

    def _by_sessions(self) -> Iterator[Diagnosis]:
        if not self._news_of_sessions:
            return
        hits, ends = self._deaths.total(), self._ends.total()
        level = self._level(hits, len(self._ends))
        for life, deaths in self._deaths.items():
            chance = tail(deaths, hits, self._ends[life], ends)
            if deaths >= FEWEST_HITS and chance <= level:
                reason = f"{deaths} sessions died on it, {hits - deaths} on all others"
                yield Diagnosis(life=life, reason=reason, chance=chance)

    def _level(self, looks: int, lives: int) -> float:
        return self._mistake / (max(1, lives) * looks * (looks + 1))
