"""Finds the commit that made a case slower, or made it fail, in spite of noise.

The two ends are run in turns first: unless they differ for sure, no commit can be told. Then each
commit in the middle is run until it is on one side with 999 to 1; one that cannot be run is left
out, and may be among those named in the end. Last the one found runs in turns with the one before
it, for nobody is blamed because the machine got slower meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...infra.errors import UsageProblem
from ...monitoring.reports.wording import counted
from ...monitoring.trends.sequential import Answer, Compared, compare, side_of
from .checkouts import checkouts
from .confirm import python_of
from .measure import CampaignMeasure, Measure, Run, Say

# A failure that is there in so many runs out of as many is no accident.
_FAILURES = 3
_SMALLEST = 0.02
# Of what lies between the ends: less of it is no answer to what made the case slower.
_LEAST_PART = 0.25


class NothingToFind(UsageProblem):
    """Both ends behave alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisected:
    """What is to blame: one commit, or several that could not be told apart."""

    case: str
    commits: tuple[str, ...]
    what: str
    runs: int
    looked_at: int
    text: str

    def document(self) -> dict[str, Any]:
        """With plain values."""
        return {
            "case": self.case,
            "commits": list(self.commits),
            "what": self.what,
            "runs": self.runs,
            "looked_at": self.looked_at,
        }


@dataclass(slots=True, kw_only=True)
class _Ends:
    """How the case behaves where it is good, and where it is bad."""

    good: list[float] = field(default_factory=list[float])
    bad: list[float] = field(default_factory=list[float])
    by_failure: bool = False


def bisect_case(
    case: str, *, good: str, bad: str, directory: Path, most: int, deadline: float, say: Say
) -> Bisected:
    """Bisect the repository that holds the directory."""
    with checkouts(directory) as trees:
        first, last = trees.resolve(good), trees.resolve(bad)
        commits = [first, *trees.between(first, last)]
        measure = CampaignMeasure(
            trees=trees, case=case, python=python_of(directory), deadline=deadline
        )
        return search(case, commits, measure, most=most, say=say)


def search(case: str, commits: Sequence[str], measure: Measure, *, most: int, say: Say) -> Bisected:
    """The first bad one of these commits; the first is good, the last is bad."""
    counting = _Counted(measure)
    ends = _compare_ends(case, commits[0], commits[-1], counting, most=most, say=say)
    low, high = 0, len(commits) - 1
    void: set[int] = set()
    looked_at = 0
    while True:
        open_between = [place for place in range(low + 1, high) if place not in void]
        if not open_between:
            break
        middle = min(open_between, key=lambda place: abs(place - (low + high) / 2))
        looked_at += 1
        answer = _side(commits[middle], ends, counting, most=most)
        say(f"{commits[middle][:10]}: {_WORDS[answer]} ({_were(high - low - 1)} left)")
        if answer is None:
            void.add(middle)
        elif answer is Answer.WORSE:
            high = middle
        else:
            low = middle
    found = tuple(commits[low + 1 : high + 1])
    if not ends.by_failure and len(found) < len(commits) - 1:
        _check(commits[low], commits[high], ends, counting, most=most, say=say)
    what = "fails" if ends.by_failure else "slower"
    names = ", ".join(each[:10] for each in found)
    one = f"{names} is the first commit where {case}"
    several = f"the first commit where {case}"
    rest = "fails" if ends.by_failure else f"is slower ({_change(ends):+.1%})"
    text = f"{one} {rest}" if len(found) == 1 else f"{several} {rest} is one of {names}"
    return Bisected(
        case=case, commits=found, what=what, runs=counting.runs, looked_at=looked_at, text=text
    )


_WORDS = {Answer.SAME: "good", Answer.WORSE: "bad", None: "cannot be run"}


@dataclass(slots=True)
class _Counted:
    """Counts the runs."""

    measure: Measure
    runs: int = 0

    def __call__(self, commit: str) -> Run:
        self.runs += 1
        return self.measure(commit)


def _compare_ends(
    case: str, good: str, bad: str, measure: Measure, *, most: int, say: Say
) -> _Ends:
    ends = _Ends()
    # The first run of each warms caches; whether it passed counts.
    here = _present(case, good, measure)
    there = _present(case, bad, measure)
    if here.seconds is None:
        raise NothingToFind(
            f"the case does not pass at the good commit {good[:12]}",
            remedy="give --good a commit where it does",
        )
    if there.failed:
        for commit, fails in ((bad, True), (good, False)):
            if any(measure(commit).failed is not fails for _ in range(_FAILURES - 1)):
                raise NothingToFind(
                    f"the case is flaky at {commit[:12]}",
                    remedy="`proctor trends` says how often it fails",
                )
        ends.by_failure = True
        return ends
    if there.is_void:
        raise NothingToFind(f"the case cannot be run at {bad[:12]}", remedy="give another --bad")
    say(f"{good[:10]} and {bad[:10]} run in turns, at most {most} times each")
    compared = _in_turns((good, ends.good), (bad, ends.bad), measure, most=most, say=say)
    if compared is None or compared.answer is not Answer.WORSE:
        told = "" if compared is None else f" ({compared.ratio - 1:+.1%})"
        raise NothingToFind(
            f"{bad[:12]} is not slower than {good[:12]} for sure{told} after {most} runs of each",
            remedy="give --most more, or other commits",
        )
    say(f"{bad[:10]} is slower than {good[:10]}: {compared.ratio - 1:+.1%}")
    return ends


def _check(before: str, found: str, ends: _Ends, measure: Measure, *, most: int, say: Say) -> None:
    """The one found against the one before it: the machine of today may not be that of the ends."""
    say(f"{found[:10]} seems to be the first; it runs in turns with {before[:10]}, before it")
    compared = _in_turns((before, []), (found, []), measure, most=most, say=say)
    least = 1 + _LEAST_PART * _change(ends)
    if compared is None or compared.answer is not Answer.WORSE or compared.ratio < least:
        told = "" if compared is None else f" ({compared.ratio - 1:+.1%})"
        raise NothingToFind(
            f"{found[:12]} seemed to be the first that is slower, but in turns with {before[:12]}, "
            f"before it, it is not for sure{told}: the machine changed its speed meanwhile, or "
            "several commits slow the case down a little each",
            remedy="try again while the machine is quiet, or give commits that are nearer",
        )


def _in_turns(
    first: tuple[str, list[float]],
    second: tuple[str, list[float]],
    measure: Measure,
    *,
    most: int,
    say: Say,
) -> Compared | None:
    """Run two commits until they differ for sure, or so often; None if one never passes."""
    compared = None
    for number in range(max(most, 1)):
        order = (first, second)
        for commit, values in order if number % 2 == 0 else reversed(order):
            run = measure(commit)
            if run.seconds is not None:
                values.append(run.seconds)
        if not first[1] or not second[1]:
            continue
        compared = compare(first[1], second[1], suspected=_SMALLEST)
        say(f"{counted(number + 1, 'run')} of each: {compared.ratio - 1:+.1%}")
        if compared.answer is not Answer.OPEN:
            break
    return compared


def _present(case: str, commit: str, measure: Measure) -> Run:
    """The first run at one of the ends, where the case has to be."""
    run = measure(commit)
    if run.is_missing:
        raise NothingToFind(
            f"there is no case {case} at {commit[:12]}",
            remedy="name it as `proctor show` does, and commits that have it",
        )
    return run


def _were(commits: int) -> str:
    return f"{counted(commits, 'commit')} {'was' if commits == 1 else 'were'}"


def _side(commit: str, ends: _Ends, measure: Measure, *, most: int) -> Answer | None:
    """SAME for good, WORSE for bad, None for neither."""
    values: list[float] = []
    failures = 0
    for number in range(max(most, _FAILURES)):
        run = measure(commit)
        if run.is_void:
            return None
        if run.failed:
            failures += 1
            if failures == _FAILURES:
                return Answer.WORSE if ends.by_failure else None
            continue
        if ends.by_failure:
            # Broken is broken: one pass says that it is not.
            return Answer.SAME
        assert run.seconds is not None, "a run that did not fail and is not void took a time"
        values.append(run.seconds)
        answer = side_of(values, ends.good, ends.bad, last=number >= most - 1)
        if answer is not Answer.OPEN:
            return answer
    return None


def _change(ends: _Ends) -> float:
    return compare(ends.good, ends.bad, suspected=_SMALLEST).ratio - 1
