"""How the end of a campaign reads as the end of a flow run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...infra.judge import BLAMED
from ...infra.records import Judgement
from ...monitoring.reports.wording import ORDER, cases, judged, span
from .mirror_facts import RunState

_REASONS = {
    2: "the suite could not be collected",
    3: "a defect of Proctor itself; please report it",
    4: "what was asked cannot be done",
    5: "no cases were found",
    6: "the infrastructure failed, not the tests",
    7: "every failure was flaky, and this campaign fails on flaky ones",
    8: "an invariant of the record is violated",
    9: "its deadline or budget was exceeded",
    10: "a performance regression is confirmed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """A final state, and the sentence that goes with it."""

    state: RunState
    message: str


def conclude(
    *,
    exit_code: int,
    counts: Mapping[str, int],
    makespan: float = 0.0,
    cancelled: bool = False,
    reason: str = "",
) -> Conclusion:
    """The final state of a flow run whose campaign ended so; the reason, if one was given."""
    total = sum(counts.values())
    done = total - counts.get(Judgement.NOT_RUN, 0)
    if cancelled:
        return Conclusion(
            state=RunState.CANCELLED,
            message=f"cancelled after {done:,} of {cases(total)}{_breakdown(counts)}",
        )
    if exit_code == 0:
        return Conclusion(
            state=RunState.COMPLETED,
            message=f"{cases(total)} in {span(makespan)}{_breakdown(counts)}",
        )
    if exit_code == 1 and not reason:
        failed = sum(counts.get(judgement, 0) for judgement in BLAMED)
        return Conclusion(
            state=RunState.FAILED,
            message=f"{failed:,} of {cases(total)} failed{_breakdown(counts)}",
        )
    reason = reason or _REASONS.get(exit_code, f"it ended with exit code {exit_code}")
    return Conclusion(state=RunState.FAILED, message=f"{reason}{_breakdown(counts)}")


def interrupted(campaign: str) -> Conclusion:
    """The campaign's process died without a last word."""
    return Conclusion(
        state=RunState.CRASHED,
        message=f"the campaign's process is gone; `proctor resume {campaign}` continues it",
    )


def _breakdown(counts: Mapping[str, int]) -> str:
    parts = [judged(kind.value, counts[kind]) for kind in ORDER if counts.get(kind)]
    return f": {', '.join(parts)}" if parts else ""
