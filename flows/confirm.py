"""Confirm before alert: run both sides of a suspected change, in turns, until it is clear.

In turns, because a machine that gets warm or busy would otherwise make the later one look slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..infra.errors import UsageProblem
from ..monitoring.sequential import Answer, Compared, compare
from ..monitoring.store import Store
from ..monitoring.trend_findings import Status
from ..monitoring.trend_journal import Known, record, restated
from .checkouts import Checkouts, checkouts
from .measure import CampaignMeasure, Measure, NotMeasured, Say

# Runs that warm caches and compile, and are not counted.
_WARM_UP = 1
_STANDINGS = {
    Answer.WORSE: Status.CONFIRMED,
    Answer.BETTER: Status.CONFIRMED,
    Answer.SAME: Status.DISMISSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """What the runs said."""

    compared: Compared
    before: str
    after: str
    runs: int
    text: str

    @property
    def is_worse(self) -> bool:
        return self.compared.answer is Answer.WORSE

    def document(self) -> dict[str, Any]:
        """With plain values."""
        return {
            "answer": str(self.compared.answer),
            "ratio": self.compared.ratio,
            "low": self.compared.low,
            "high": self.compared.high,
            "p_value": self.compared.p_value,
            "before": self.before,
            "after": self.after,
            "runs": self.runs,
        }


def confirm(
    store: Store,
    project: str,
    known: Known,
    *,
    directory: Path,
    most: int,
    deadline: float,
    say: Say,
) -> Confirmed:
    """Run a finding's case before and after its commits, and write down what came of it."""
    if known.metric != "seconds":
        raise UsageProblem(
            f"finding {known.id} is about {known.metric}: only durations can be run again",
            remedy="`proctor trends dismiss` says that it is nothing",
        )
    with checkouts(directory) as trees:
        before, after = _sides(trees, known)
        measure = CampaignMeasure(
            trees=trees, case=known.case, python=python_of(directory), deadline=deadline
        )
        suspected = abs(known.detail.get("after", 0) / (known.detail.get("before") or 1) - 1)
        told = in_turns(measure, before, after, suspected=max(suspected, 0.02), most=most, say=say)
    status = _STANDINGS.get(told.compared.answer)
    if status is not None:
        record(store, [restated(project, known, status, told.text)])
    return told


def in_turns(
    measure: Measure, before: str, after: str, *, suspected: float, most: int, say: Say
) -> Confirmed:
    """Run two commits in turns until the sequential test decides, or `most` runs of each."""
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
            f"{number + 1} runs of each: {compared.ratio - 1:+.1%} "
            f"({compared.low - 1:+.1%} to {compared.high - 1:+.1%})"
        )
        if compared.answer is not Answer.OPEN:
            break
    if compared is None:
        raise UsageProblem(f"{most} runs are none", remedy="give --most a number above 4")
    return Confirmed(
        compared=compared,
        before=before,
        after=after,
        runs=len(first) + len(second),
        text=_text(compared, before, after, len(first)),
    )


def python_of(directory: Path) -> str:
    """The interpreter that campaigns of this project use."""
    from .preparation import prepare
    from .request import RunRequest

    return prepare(RunRequest(directory=str(directory))).python


def _sides(trees: Checkouts, known: Known) -> tuple[str, str]:
    commits: list[str] = known.detail.get("commits") or []
    if not commits or not trees.has(commits[0]) or not trees.has(commits[-1]):
        raise UsageProblem(
            f"the commits of finding {known.id} are not in this repository",
            remedy="give --directory the checkout that the campaigns tested, with its history",
        )
    return trees.parent(commits[0]), trees.resolve(commits[-1])


def _seconds(measure: Measure, commit: str) -> float:
    run = measure(commit)
    if run.seconds is None:
        raise NotMeasured(
            f"the case does not pass at {commit[:12]}", remedy="durations of failures say nothing"
        )
    return run.seconds


def _text(compared: Compared, before: str, after: str, runs: int) -> str:
    words = {
        Answer.WORSE: "is slower",
        Answer.BETTER: "is faster",
        Answer.SAME: "is not different",
        Answer.OPEN: "may be different",
    }
    return (
        f"{after[:10]} {words[compared.answer]} than {before[:10]}: {compared.ratio - 1:+.1%} "
        f"({compared.low - 1:+.1%} to {compared.high - 1:+.1%}) in {runs} runs of each in turns"
    )
