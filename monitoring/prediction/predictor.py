"""What the next run of each case will take: seconds and peak memory, as medians and intervals.

A case's own runs make a robust level; where there are hundreds of cases, gradient boosting learns
from their features how the next run differs from the level; conformal calibration makes nine of
ten runs lie within the interval. Cases that never ran are judged by their kin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from ...infra.predictions import Prediction, Predictions
from .kin import Kin, Tier, by_kin, tiers
from .levels import (
    KEPT,
    Flags,
    Floats,
    Levels,
    Runs,
    Usual,
    Whole,
    arrange,
    campaign_speeds,
    expected_speeds,
    levels,
    middles,
    speed_bound,
    usual_spreads,
)
from .model import Examples, Model

# Shorter than this and a clock says little.
_LEAST_SECONDS = 1e-4
# Runs from here on are the ones that matter to a plan; they are calibrated apart from the others.
LONG_SECONDS = 0.1
# The newest runs of each case that are predicted to learn from.
_TARGETS = 3
_MARK_BUCKETS = 6
_PARAMETER_BUCKETS = 24
# Every so many cases one is set aside for calibration.
_ASIDE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Whose runs they are."""

    case_ids: Sequence[str]
    # For pytest the files they stand in.
    groups: Sequence[str]
    # Names of their markers.
    marks: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Runs with a result, oldest first, as columns."""

    # Numbers of cases in their suite, and of campaigns in the order they began.
    case: Whole
    campaign: Whole
    seconds: Floats
    cpu_seconds: Floats
    peak_bytes: Floats
    # Read and written.
    moved_bytes: Floats
    # How much slower than usual the worker is, where somebody scored it; 1 is usual.
    slowness: Floats | None = None

    @property
    def campaigns(self) -> int:
        """How many there are; one to come where none was yet."""
        return int(self.campaign.max()) + 1 if len(self.campaign) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """By case: a median and what nine of ten lie between, as logarithms; NaN where unknown."""

    middle: Floats
    low: Floats
    high: Floats
    kin: list[Kin]
    # What all cases of a campaign share of it.
    shared: float


def foresee(suite: Suite, measured: Measured) -> Predictions:
    """Predictions for every case that ran, and for those that never did."""
    ranks = tiers(suite.case_ids, suite.groups)
    seconds = _interval(suite, ranks, measured, _log_seconds(measured), shared=True)
    there = measured.peak_bytes > 0
    peaks = _interval(
        suite, ranks, _only(measured, there), np.log(measured.peak_bytes[there]), shared=False
    )
    middle, low, high = np.exp(seconds.middle), np.exp(seconds.low), np.exp(seconds.high)
    cases = {
        suite.case_ids[number]: Prediction(
            seconds=float(middle[number]),
            low_seconds=float(low[number]),
            high_seconds=float(high[number]),
            peak_bytes=_bytes(float(peaks.middle[number])),
            peak_high_bytes=_bytes(float(peaks.high[number])),
        )
        for number in np.flatnonzero(~np.isnan(seconds.middle)).tolist()
    }
    return Predictions(cases=cases, kin=_kin(seconds.kin, peaks.kin), shared=seconds.shared)


def _kin(seconds: Sequence[Kin], peaks: Sequence[Kin]) -> dict[str, Prediction]:
    found: dict[str, Prediction] = {}
    for rank, (time, peak) in enumerate(zip(seconds, peaks, strict=True)):
        # A function of one case is that case.
        fewest = 2 if rank == len(seconds) - 1 else 1
        for group in np.flatnonzero(time.cases >= fewest).tolist():
            found[time.tier.names[group]] = Prediction(
                seconds=float(np.exp(time.level[group])),
                low_seconds=float(np.exp(time.low[group])),
                high_seconds=float(np.exp(time.high[group])),
                peak_bytes=_bytes(float(peak.level[group])),
                peak_high_bytes=_bytes(float(peak.high[group])),
            )
    return found


def _log_seconds(measured: Measured) -> Floats:
    logs = np.log(np.maximum(measured.seconds, _LEAST_SECONDS))
    return logs if measured.slowness is None else logs - np.log(measured.slowness)


def _only(measured: Measured, rows: Flags) -> Measured:
    return replace(
        measured,
        case=measured.case[rows],
        campaign=measured.campaign[rows],
        seconds=measured.seconds[rows],
        cpu_seconds=measured.cpu_seconds[rows],
        peak_bytes=measured.peak_bytes[rows],
        moved_bytes=measured.moved_bytes[rows],
        slowness=None if measured.slowness is None else measured.slowness[rows],
    )


def _interval(
    suite: Suite, ranks: Sequence[Tier], measured: Measured, values: Floats, *, shared: bool
) -> Interval:
    """`shared`: whole campaigns are slower or faster than others, which does not hold of memory."""
    number = len(suite.case_ids)
    runs = arrange(measured.case, measured.campaign, values, cases=number)
    speeds = (
        campaign_speeds(runs, campaigns=measured.campaigns)
        if shared
        else np.zeros(measured.campaigns)
    )
    expected = expected_speeds(speeds)
    static = _static_features(suite, measured)
    usual = usual_spreads(runs, speeds)
    model = Model(_examples(ranks, runs, speeds, usual, static))
    now = levels(runs, speeds, usual, before=0)
    spread = _next_spread(now)
    kin = by_kin(ranks, now.level)
    told = model.predict(_features(now, static, kin), now.level >= np.log(LONG_SECONDS))
    middle = now.level + expected[-1] + told.middle * spread
    # All cases of a campaign miss together: few campaigns say how far, however many cases ran.
    common = speed_bound(speeds, expected) if shared else 0.0
    return Interval(
        middle=middle,
        low=middle - np.hypot((told.middle - told.low) * spread, common),
        high=middle + np.hypot((told.high - told.middle) * spread, common),
        kin=kin,
        shared=common,
    )


def _examples(
    ranks: Sequence[Tier], runs: Runs, speeds: Floats, usual: Usual, static: Floats
) -> Examples:
    """The newest runs, each with what was known before it; the campaign's own speed left out."""
    features: list[Floats] = []
    apart: list[Floats] = []
    strata: list[Flags] = []
    numbers: list[Whole] = []
    for back in range(1, _TARGETS + 1):
        column = KEPT - back
        known = levels(runs, speeds, usual, before=back)
        usable = (runs.campaigns[:, column] >= 0) & (known.runs > 0)
        if not usable.any():
            break
        spread = _next_spread(known)
        foreseen = known.level + speeds[runs.campaigns[:, column]]
        kin = by_kin(ranks, known.level)
        features.append(_features(known, static, kin)[usable])
        apart.append(((runs.values[:, column] - foreseen) / spread)[usable])
        strata.append((known.level >= np.log(LONG_SECONDS))[usable])
        numbers.append(np.flatnonzero(usable))
    if not features:
        width = static.shape[1] + _OWN_FEATURES
        none, no = np.zeros(0), np.zeros(0, dtype=bool)
        return Examples(features=np.zeros((0, width)), apart=none, stratum=no, aside=no)
    return Examples(
        features=np.concatenate(features),
        apart=np.concatenate(apart),
        stratum=np.concatenate(strata),
        # Neighbours in a file stand in both parts: all runs of a case in one.
        aside=np.concatenate(numbers) % _ASIDE == 0,
    )


def _next_spread(known: Levels) -> Floats:
    """Of the next run: its own, and what the level is uncertain by."""
    return known.spread * np.sqrt(1 + 1 / np.maximum(known.runs, 1))


_OWN_FEATURES = 8


def _features(known: Levels, static: Floats, kin: Sequence[Kin]) -> Floats:
    """What is known of each case before its next run."""
    *_, file, function = kin
    own = np.column_stack(
        (
            known.level,
            np.log(known.spread),
            known.runs.astype(np.float64),
            known.newest,
            known.before,
            function.of_case(function.level) - known.level,
            file.of_case(file.level) - known.level,
            function.of_case(function.cases.astype(np.float64)),
        )
    )
    return np.hstack((own, static))


def _static_features(suite: Suite, measured: Measured) -> Floats:
    """What does not change from run to run: markers, parameters, how it uses the machine."""
    number = len(suite.case_ids)
    marks = np.zeros((number, _MARK_BUCKETS))
    for row, names in enumerate(suite.marks):
        for name in names:
            marks[row, crc32(name.encode()) % _MARK_BUCKETS] = 1
    parameters = [case_id.partition("[")[2] for case_id in suite.case_ids]
    hashed = [crc32(text.encode()) % _PARAMETER_BUCKETS if text else -1 for text in parameters]
    total = np.bincount(measured.case, weights=measured.seconds, minlength=number)
    busy = np.bincount(measured.case, weights=measured.cpu_seconds, minlength=number)
    moved = np.bincount(measured.case, weights=measured.moved_bytes, minlength=number)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.column_stack(
            (
                busy / total,
                np.log1p(moved / np.maximum(total, _LEAST_SECONDS)),
                np.array(hashed, dtype=np.float64),
                np.array([len(text) for text in parameters], dtype=np.float64),
                marks,
            )
        )


def _bytes(logarithm: float) -> int:
    return 0 if np.isnan(logarithm) else int(np.exp(logarithm))


def last_value(measured: Measured, *, cases: int) -> Floats:
    """The newest run of each case: what a simple-minded predictor says."""
    found = np.full(cases, np.nan)
    found[measured.case] = measured.seconds
    return found


def median_of_all(measured: Measured, *, cases: int) -> Floats:
    """The median of the runs of each case: what a careful one says."""
    return middles(arrange(measured.case, measured.campaign, measured.seconds, cases=cases).values)
