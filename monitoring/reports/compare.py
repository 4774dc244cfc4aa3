"""Two campaigns side by side: what broke, what was mended, what became slower than chance."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ...infra.judge import BLAMED
from ...infra.records import Judgement
from .digest import Digest
from .selection import Selection

# Differences of less than this are jitter on any machine.
LEAST_SECONDS = 0.1
# However steady the rest is, a case must differ by a quarter.
LEAST_FACTOR = 1.25
# With few cases in common the spread between the two runs is not known.
LEAST_CASES = 8
FACTOR_OF_FEW = 2.0
# About one in 2,000 steady cases is reported by chance.
DEVIATIONS = 3.5
_MAD_TO_DEVIATION = 1.4826
_PASSES = frozenset({Judgement.PASSED, Judgement.XPASSED, Judgement.XFAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A case that is not what it was."""

    case: str
    # None for a case that was not there.
    before: Judgement | None
    after: Judgement
    message: str = ""
    # Whether the earlier campaign was asked for it.
    selected: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """A case whose duration changed by more than chance."""

    case: str
    before_seconds: float
    after_seconds: float
    # Against what the other cases did between the two campaigns.
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The difference between two campaigns."""

    before: str
    after: str
    newly_failing: tuple[Changed, ...]
    fixed: tuple[Changed, ...]
    still_failing: tuple[Changed, ...]
    flaky: tuple[Changed, ...]
    slower: tuple[Drifted, ...]
    faster: tuple[Drifted, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    # Cases of one campaign that the other was not asked for: whether they are still there, or were
    # there already, it does not say.
    unselected_before: tuple[str, ...]
    unselected_after: tuple[str, ...]
    # How much slower the later campaign's machine was as a whole.
    common_factor: float
    makespan_before: float
    makespan_after: float


def compare(before: Digest, after: Digest) -> Comparison:
    """What changed from one campaign to the other."""
    old = {case.id for case in before.cases}
    new = {case.id for case in after.cases}
    both = [case.id for case in after.cases if case.id in old]
    changes = [_change(before, after, case) for case in both]
    removed, unselected_after = _told_apart(before, new, after.selection)
    added, unselected_before = _told_apart(after, old, before.selection)
    unasked = frozenset(unselected_before)
    # A new case that fails is news as well; it stands among the added ones too.
    fresh = [
        Changed(
            case=case.id,
            before=None,
            after=after.verdicts[case.id].judgement,
            message=after.verdicts[case.id].message,
            selected=case.id not in unasked,
        )
        for case in after.cases
        if case.id not in old and _is_bad(after.verdicts[case.id].judgement)
    ]
    shift, drifted = drifts(_seconds(before, both), _seconds(after, both))
    return Comparison(
        before=before.campaign,
        after=after.campaign,
        newly_failing=(
            *(c for c in changes if _is_bad(c.after) and not _is_bad(c.before)),
            *fresh,
        ),
        # Flaky is no fix: it failed this time too.
        fixed=tuple(c for c in changes if _is_bad(c.before) and c.after in _PASSES),
        still_failing=tuple(c for c in changes if _is_bad(c.before) and _is_bad(c.after)),
        flaky=tuple(c for c in changes if c.after is Judgement.FLAKY),
        slower=tuple(d for d in drifted if d.factor > 1),
        faster=tuple(d for d in reversed(drifted) if d.factor < 1),
        added=added,
        removed=removed,
        unselected_before=unselected_before,
        unselected_after=unselected_after,
        common_factor=shift,
        makespan_before=before.makespan,
        makespan_after=after.makespan,
    )


def drifts(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[float, list[Drifted]]:
    """Cases that drifted beyond noise, slowest first, and the factor common to all of them.

    The noise is estimated from the two campaigns themselves: a busier machine moves the median of
    all ratios, a noisier one their spread, and neither is any single case's doing.
    """
    # Short cases tell nothing about the machine: their ratios are all jitter.
    ratios = {
        case: math.log(max(after[case], 1e-4) / max(before[case], 1e-4))
        for case in after
        if case in before and max(before[case], after[case]) >= LEAST_SECONDS
    }
    shift, limit = _noise(list(ratios.values()))
    drifted = [
        Drifted(
            case=case,
            before_seconds=before[case],
            after_seconds=after[case],
            factor=math.exp(ratio - shift),
        )
        for case, ratio in ratios.items()
        if abs(ratio - shift) > limit
        and abs(after[case] - before[case] * math.exp(shift)) > LEAST_SECONDS
    ]
    return math.exp(shift), sorted(drifted, key=lambda d: -d.factor)


def _told_apart(
    digest: Digest, other: Container[str], selection: Selection
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cases that the other campaign lacks though it was asked for them, and those it was not."""
    lacking: list[str] = []
    unasked: list[str] = []
    for case in digest.cases:
        if case.id not in other:
            (unasked if selection.leaves_out(case) else lacking).append(case.id)
    return tuple(lacking), tuple(unasked)


def _noise(ratios: Sequence[float]) -> tuple[float, float]:
    if len(ratios) < LEAST_CASES:
        return 0.0, math.log(FACTOR_OF_FEW)
    shift = median(ratios)
    deviation = _MAD_TO_DEVIATION * median(abs(ratio - shift) for ratio in ratios)
    return shift, max(DEVIATIONS * deviation, math.log(LEAST_FACTOR))


def _change(before: Digest, after: Digest, case: str) -> Changed:
    verdict = after.verdicts[case]
    return Changed(
        case=case,
        before=before.verdicts[case].judgement,
        after=verdict.judgement,
        message=verdict.message,
    )


def _seconds(digest: Digest, cases: Sequence[str]) -> dict[str, float]:
    return {
        case: digest.verdicts[case].wall_seconds
        for case in cases
        if digest.verdicts[case].judgement in {Judgement.PASSED, Judgement.FLAKY}
    }


def _is_bad(judgement: Judgement | None) -> bool:
    return judgement in BLAMED
