"""What the runs of each case say together: its level, its spread, and what whole campaigns share.

All on logarithms: times multiply. Runs stand in a matrix, a row a case, newest last, so that
50,000 histories are a handful of array operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

# So many runs of a case count; older ones tell of another suite.
KEPT = 12
# Of those, so many make its level; each is worth this much of the next newer one.
_RECENT = 7
_FADING = 0.95
# A run further from the middle than so many spreads counts as one at that distance.
_OUTLYING = 2.0
# A spread is worth as much as this many runs until a case has its own.
_SPREAD_RUNS = 4.0
_FIRST_SPREAD = 0.3
_LEAST_SPREAD = 0.01
# A campaign's own speed is believed as far as it has more cases than this.
_DOUBTFUL_CASES = 10.0
# The next campaign is expected to be so far from the usual as the newest one was.
_PERSISTING = 0.5
# A machine is a few percent slower on one day than on another: taken for granted as long as fewer
# campaigns than these were seen.
_FIRST_SPEED_SPREAD = 0.06
_SPEED_CAMPAIGNS = 1.0
# A spread that few campaigns tell of is itself uncertain, less so for what is known of machines:
# Student's t, with so many degrees of freedom more than campaigns were seen.
_MORE_FREEDOM = 3.0
# The median of a normal distribution's absolute values.
_NORMAL_MEDIAN = 0.6745


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Logarithms of what runs measured, right-aligned: the newest stands in the last column."""

    # NaN where a case has fewer runs.
    values: Floats
    # The campaign of each run, counted from the oldest; -1 where there is none.
    campaigns: Whole

    @property
    def present(self) -> Flags:
        return self.campaigns >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What is expected of the next run of each case."""

    # Around which value, in which spread, both without what the campaign adds.
    level: Floats
    spread: Floats
    # From how many runs; 0 leaves the others NaN.
    runs: Whole
    # How far the newest and the one before stood from the level, in spreads; 0 where there is none.
    newest: Floats
    before: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """The spread that is usual for cases of a level, to be interpolated."""

    at: Floats
    spread: Floats


def arrange(case: Whole, campaign: Whole, values: Floats, *, cases: int) -> Runs:
    """Runs in the order they happened, as a matrix; of each case the newest are kept."""
    order = np.argsort(case, kind="stable")
    sorted_case = case[order]
    counts = np.bincount(case, minlength=cases)
    ends = np.cumsum(counts)
    column = KEPT - (ends[sorted_case] - np.arange(len(order)))
    kept = column >= 0
    made = np.full((cases, KEPT), np.nan)
    of = np.full((cases, KEPT), -1, dtype=np.int64)
    made[sorted_case[kept], column[kept]] = values[order][kept]
    of[sorted_case[kept], column[kept]] = campaign[order][kept]
    return Runs(values=made, campaigns=of)


def campaign_speeds(runs: Runs, *, campaigns: int) -> Floats:
    """By how much each campaign as a whole was slower than usual: a busy machine, another one."""
    speeds = np.zeros(campaigns)
    several = runs.present.sum(axis=1) > 1
    values, of = runs.values[several], runs.campaigns[several]
    if not len(values):
        return speeds
    there = of >= 0
    for _ in range(3):
        middle = middles(values - speeds[of])
        rest = (values - middle[:, None])[there]
        speeds = _medians_by(rest, of[there], groups=campaigns)
        seen = np.bincount(of[there], minlength=campaigns)
        speeds *= seen / (seen + _DOUBTFUL_CASES)
    return speeds


def expected_speeds(speeds: Floats) -> Floats:
    """What each campaign's speed was expected to be from those before it; the last is the next."""
    expected = np.zeros(len(speeds) + 1)
    if len(speeds):
        usual = np.cumsum(speeds) / np.arange(1, len(speeds) + 1)
        expected[1:] = usual + _PERSISTING * (speeds - usual)
    return expected


def speed_bound(speeds: Floats, expected: Floats) -> float:
    """How far nine of ten campaigns are at most from the speed that was expected of them."""
    missed = (speeds - expected[:-1])[1:]
    squares = _SPEED_CAMPAIGNS * _FIRST_SPEED_SPREAD**2 + float((missed**2).sum())
    seen = _SPEED_CAMPAIGNS + len(missed)
    return float(stdtrit(seen + _MORE_FREEDOM, 0.95) * np.sqrt(squares / seen))


def usual_spreads(runs: Runs, speeds: Floats) -> Usual:
    """How far the runs of one case lie apart, by level: short runs scatter more than long ones."""
    rest = runs.values - speeds[runs.campaigns]
    rest[~runs.present] = np.nan
    steps = np.diff(rest, axis=1) / np.sqrt(2.0)
    here = ~np.isnan(steps)
    if not here.any():
        return Usual(at=np.zeros(1), spread=np.full(1, _FIRST_SPREAD))
    of = np.broadcast_to(middles(rest)[:, None], steps.shape)[here]
    sizes = np.abs(steps[here])
    parts = int(np.clip(len(sizes) // 200, 1, 10))
    chunks = np.array_split(np.argsort(of, kind="stable"), parts)
    return Usual(
        at=np.array([np.median(of[chunk]) for chunk in chunks]),
        spread=np.maximum(
            [np.median(sizes[chunk]) / _NORMAL_MEDIAN for chunk in chunks], _LEAST_SPREAD
        ),
    )


def levels(runs: Runs, speeds: Floats, usual: Usual, *, before: int) -> Levels:
    """From all runs but the newest `before`, with the speed of their campaigns taken out."""
    width = runs.values.shape[1] - before
    first = max(0, width - _RECENT)
    of = runs.campaigns[:, first:width]
    rest = runs.values[:, first:width] - speeds[of]
    rest[of < 0] = np.nan
    counted = (of >= 0).sum(axis=1)
    middle = middles(rest)
    spread = _spreads(rest, np.interp(np.nan_to_num(middle), usual.at, usual.spread))
    bound = (_OUTLYING * spread)[:, None]
    off = np.clip(rest - middle[:, None], -bound, bound)
    weight = np.where(of >= 0, _FADING ** np.arange(of.shape[1])[::-1], 0.0)
    total = np.maximum(weight.sum(axis=1), 1e-12)
    level = middle + np.nansum(np.where(of >= 0, off, 0.0) * weight, axis=1) / total
    apart = (rest - level[:, None]) / spread[:, None]
    newest = apart[:, -1] if apart.shape[1] else np.full(len(level), np.nan)
    older = apart[:, -2] if apart.shape[1] > 1 else np.full(len(level), np.nan)
    return Levels(
        level=level,
        spread=spread,
        runs=counted,
        newest=np.nan_to_num(newest),
        before=np.nan_to_num(older),
    )


def middles(values: Floats) -> Floats:
    """The median of each row, NaN where it is empty; ten times as fast as NumPy's on short rows."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    ordered = np.sort(values, axis=1)
    counts = (~np.isnan(values)).sum(axis=1)
    rows = np.arange(len(values))
    low = ordered[rows, np.maximum(0, (counts - 1) // 2)]
    return (low + ordered[rows, np.minimum(counts // 2, values.shape[1] - 1)]) / 2


def _spreads(values: Floats, usual: Floats) -> Floats:
    """How far runs lie apart: of the case, leaning on what is usual for cases of its level."""
    steps = np.diff(values, axis=1) / np.sqrt(2.0)
    # One stall must not make a case look noisy for good.
    own = np.minimum(np.abs(steps), (4 * usual)[:, None]) ** 2
    seen = (~np.isnan(steps)).sum(axis=1)
    squares = _SPREAD_RUNS * usual**2 + np.nansum(own, axis=1)
    return np.maximum(np.sqrt(squares / (_SPREAD_RUNS + seen)), _LEAST_SPREAD)


def _medians_by(values: Floats, of: Whole, *, groups: int) -> Floats:
    order = np.lexsort((values, of))
    counts = np.bincount(of, minlength=groups)
    starts = np.cumsum(counts) - counts
    ordered = values[order]
    found = np.zeros(groups)
    has = counts > 0
    low = starts[has] + (counts[has] - 1) // 2
    high = starts[has] + counts[has] // 2
    found[has] = (ordered[low] + ordered[high]) / 2
    return found
