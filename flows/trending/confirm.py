"""Confirm before alert: run a suspected change again until it is clear.

Where a checkout has both commits they run in turns, because a machine that gets warm or busy would
otherwise make the later one look slower. Where it has not, the case runs as it stands now, and its
runs are laid beside what the history measured before and since.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ...infra.errors import UsageProblem
from ...monitoring.reports.wording import counted
from ...monitoring.store import Store
from ...monitoring.trends.findings import Status
from ...monitoring.trends.journal import Known, News, line_again, record, remarked
from ...monitoring.trends.known_levels import Side
from ...monitoring.trends.measured_before import measured_before
from ...monitoring.trends.sequential import Answer, Compared, compare
from .checkouts import Checkouts, NoRepository, checkouts
from .measure import CampaignMeasure, Measure, NotMeasured, Say
from .rerun import Rerun, confirm_as_it_stands

# Runs that warm caches and compile, and are not counted.
_WARM_UP = 1
# A smaller suspicion is not worth the runs.
_SMALLEST = 0.02
AS_IT_STANDS = "as it stands now"
IN_TURNS = "both commits in turns"


class NotInTurns(UsageProblem):
    """No checkout has both commits, and nothing else was asked for."""


class Result(StrEnum):
    """What running it again came to."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """What the runs said."""

    result: Result
    compared: Compared
    # The two commits, or nothing where the case ran as it stands now.
    before: str
    after: str
    runs: int
    text: str
    way: str = IN_TURNS

    @property
    def is_worse(self) -> bool:
        return self.result is Result.CONFIRMED and self.compared.answer is Answer.WORSE

    def document(self) -> dict[str, Any]:
        """With plain values."""
        return {
            "result": str(self.result),
            "way": self.way,
            "answer": str(self.compared.answer),
            "ratio": self.compared.ratio,
            "low": self.compared.low,
            "high": self.compared.high,
            "p_value": self.compared.p_value,
            "before": self.before,
            "after": self.after,
            "runs": self.runs,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """What came of it, and the finding as it stands now."""

    confirmed: Confirmed
    known: Known
    news: News


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirming:
    """How to run suspects again."""

    directory: Path
    # Runs of each side.
    most: int
    # A time of time.monotonic().
    deadline: float
    say: Say


def confirm(
    store: Store, project: str, known: Known, how: Confirming, *, in_turns_only: bool = False
) -> Settling:
    """Run a finding's case again, and write down what came of it.

    Without a checkout that has both commits the case runs as it stands now, unless
    `in_turns_only`: then NotInTurns is raised.
    """
    if known.metric != "seconds":
        raise UsageProblem(
            f"finding {known.id} is about {known.metric}: only durations can be run again",
            remedy="`proctor trends dismiss` says that it is nothing",
        )
    told = _both_commits(known, how)
    if isinstance(told, str):
        if in_turns_only:
            raise NotInTurns(told)
        how.say(f"{told}: its case runs {AS_IT_STANDS}")
        told = _as_it_stands(store, project, known, how)
    now = remarked(known, _standing(known, told), told.text)
    now = replace(now, detail={**now.detail, "rerun": str(told.result)})
    record(store, [line_again(project, now)])
    news = News(
        id=known.id,
        kind=known.kind,
        before=known.status,
        status=_told_as(known, told.result, now),
        text=now.text,
        worse=bool(known.detail.get("worse")),
    )
    return Settling(confirmed=told, known=now, news=news)


def _told_as(known: Known, result: Result, now: Known) -> str:
    if result is Result.CONFIRMED or (
        # The history was sure without any run, and nothing was said against it.
        result is Result.UNDECIDED and known.status == Status.CONFIRMED
    ):
        return now.status
    # A suspicion that stays one is told as what it is, for somebody has to look.
    return result


def _standing(known: Known, told: Confirmed) -> str:
    match told.result:
        case Result.CONFIRMED:
            return Status.CONFIRMED
        case Result.UNDECIDED:
            return known.status
        case Result.REFUTED if told.way == AS_IT_STANDS and known.status == Status.CONFIRMED:
            # The history was sure of it: now it is as it was before.
            return Status.RECOVERED
        case Result.REFUTED:
            return Status.DISMISSED


def _both_commits(known: Known, how: Confirming) -> Confirmed | str:
    """In turns; or why no checkout has both commits."""
    commits: list[str] = known.detail.get("commits") or []
    if not commits:
        return f"no commits are known for finding {known.id}"
    try:
        with checkouts(how.directory) as trees:
            sides = _sides(trees, commits)
            if sides is not None:
                before, after = sides
                measure = CampaignMeasure(
                    trees=trees,
                    case=known.case,
                    python=python_of(how.directory),
                    deadline=how.deadline,
                )
                step = known.detail.get("after", 0) / (known.detail.get("before") or 1) - 1
                suspected = math.copysign(max(abs(step), _SMALLEST), step)
                return in_turns(
                    measure, before, after, suspected=suspected, most=how.most, say=how.say
                )
    except NoRepository as problem:
        return problem.message
    return f"the commits of finding {known.id} are not in {how.directory}"


def _result(answer: Answer, suspected: float) -> Result:
    """A move the other way does not confirm what was suspected."""
    match answer:
        case Answer.WORSE:
            return Result.CONFIRMED if suspected >= 0 else Result.REFUTED
        case Answer.BETTER:
            return Result.CONFIRMED if suspected <= 0 else Result.REFUTED
        case Answer.SAME:
            return Result.REFUTED
        case Answer.OPEN:
            return Result.UNDECIDED


def _as_it_stands(store: Store, project: str, known: Known, how: Confirming) -> Confirmed:
    levels = measured_before(store, project, known)
    told = confirm_as_it_stands(
        levels,
        directory=how.directory,
        state=store.state,
        python=python_of(how.directory),
        most=how.most,
        deadline=how.deadline,
        say=how.say,
    )
    return _confirmed(told, levels.levels.step)


_RESULTS = {
    Side.AFTER: Result.CONFIRMED,
    Side.BEFORE: Result.REFUTED,
    Side.NEITHER: Result.UNDECIDED,
    Side.OPEN: Result.UNDECIDED,
}


def _confirmed(told: Rerun, step: float) -> Confirmed:
    moved = Answer.WORSE if step > 0 else Answer.BETTER
    answers = {Side.AFTER: moved, Side.BEFORE: Answer.SAME}
    return Confirmed(
        result=_RESULTS[told.sided.side],
        compared=Compared(
            answer=answers.get(told.sided.side, Answer.OPEN),
            ratio=told.sided.ratio,
            low=told.sided.low,
            high=told.sided.high,
            p_value=told.sided.chance,
        ),
        before="",
        after="",
        runs=told.runs,
        text=told.text,
        way=AS_IT_STANDS,
    )


def in_turns(
    measure: Measure, before: str, after: str, *, suspected: float, most: int, say: Say
) -> Confirmed:
    """Run two commits in turns until the sequential test decides, or `most` runs of each.

    `suspected` is the move as a share of the level, negative where it got faster.
    """
    first: list[float] = []
    second: list[float] = []
    for commit in (before, after) * _WARM_UP:
        _seconds(measure, commit)
    compared = None
    for number in range(most):
        # Who goes first changes: whatever comes second may profit or suffer from it.
        order: Sequence[tuple[str, list[float]]] = ((before, first), (after, second))
        for commit, values in order if number % 2 == 0 else reversed(order):
            values.append(_seconds(measure, commit))
        compared = compare(first, second, suspected=suspected, last=number == most - 1)
        say(
            f"{counted(number + 1, 'run')} of each: {compared.ratio - 1:+.1%} "
            f"({compared.low - 1:+.1%} to {compared.high - 1:+.1%})"
        )
        if compared.answer is not Answer.OPEN:
            break
    if compared is None:
        raise UsageProblem(f"{most} runs are none", remedy="give --most a number above 4")
    return Confirmed(
        result=_result(compared.answer, suspected),
        compared=compared,
        before=before,
        after=after,
        runs=len(first) + len(second),
        text=_text(compared, suspected, before, after, len(first)),
    )


def python_of(directory: Path) -> str:
    """The interpreter that campaigns of this project use."""
    from ..campaigns.preparation import prepare
    from ..campaigns.request import RunRequest

    return prepare(RunRequest(directory=str(directory))).python


def _sides(trees: Checkouts, commits: Sequence[str]) -> tuple[str, str] | None:
    first, last = commits[0], commits[-1]
    # A shallow clone may have the commit and not the one before it.
    if not (trees.has(first) and trees.has(f"{first}^") and trees.has(last)):
        return None
    return trees.parent(first), trees.resolve(last)


def _seconds(measure: Measure, commit: str) -> float:
    run = measure(commit)
    if run.seconds is None:
        raise NotMeasured(
            f"the case does not pass at {commit[:12]}", remedy="durations of failures say nothing"
        )
    return run.seconds


def _text(compared: Compared, suspected: float, before: str, after: str, runs: int) -> str:
    words = {
        Answer.WORSE: "is slower than",
        Answer.BETTER: "is faster than",
        Answer.SAME: "is not different from",
        Answer.OPEN: "may be different from",
    }
    return (
        f"{_result(compared.answer, suspected)} by {runs} runs of each in turns: {after[:10]} "
        f"{words[compared.answer]} {before[:10]}, {compared.ratio - 1:+.1%} "
        f"({compared.low - 1:+.1%} to {compared.high - 1:+.1%})"
    )
