"""Simple forecasters, and how to weigh them by how well each did lately.

No single one wins: the last value is best an hour ahead, the mean of the same hour of the week
a day ahead, a median after a flaky week. Each expert answers for every place of a series at
once: what it would have said `ahead` steps earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.signal import lfilter

from .ranks import Floats

# Given the values and how far ahead, what was expected at each place; NaN where it cannot say.
Expert = Callable[[Floats, int], Floats]

# How sharply the better expert is preferred.
_SHARPNESS = 12.0


def _behind(values: Floats, steps: int, unknown: float = np.nan) -> Floats:
    out = np.full(len(values), unknown)
    if steps < len(values):
        out[steps:] = values[: len(values) - steps]
    return out


def last(values: Floats, ahead: int) -> Floats:
    return _behind(values, ahead)


def smoothed(share: float) -> Expert:
    """Exponentially weighted mean."""

    def expert(values: Floats, ahead: int) -> Floats:
        if not len(values):
            return values
        level, _ = lfilter([share], [1, share - 1], values, zi=[values[0] * (1 - share)])
        return _behind(level, ahead)

    return expert


def middle(count: int) -> Expert:
    """Median of the last values."""

    def expert(values: Floats, ahead: int) -> Floats:
        padded = np.concatenate((np.full(count - 1, np.nan), values))
        rows = np.lib.stride_tricks.sliding_window_view(padded, count)
        known = np.minimum(np.arange(1, len(values) + 1), count)
        ordered = np.sort(rows, axis=1)
        at = np.arange(len(values))
        return _behind((ordered[at, (known - 1) // 2] + ordered[at, known // 2]) / 2, ahead)

    return expert


def season(period: int, rounds: int) -> Expert:
    """Mean of the same place in the last rounds of a season."""

    def expert(values: Floats, ahead: int) -> Floats:
        first = -(-ahead // period)
        parts = np.array([_behind(values, period * (first + i)) for i in range(rounds)])
        known = np.isfinite(parts)
        count = known.sum(axis=0)
        total = np.where(known, parts, 0.0).sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    return expert


def season_at_level(period: int, rounds: int, recent: int) -> Expert:
    """The season's shape, moved to where the last values lie."""
    shape = season(period, rounds)

    def expert(values: Floats, ahead: int) -> Floats:
        # How far the season was off when last seen, carried to the time in question.
        off = values - shape(values, 1)
        sums = np.cumsum(np.where(np.isfinite(off), off, 0.0))
        lifted = sums.copy()
        lifted[recent:] -= sums[:-recent]
        return shape(values, ahead) + _behind(lifted / recent, ahead)

    return expert


DURATION: Mapping[str, Expert] = {
    "last": last,
    "smoothed 0.5": smoothed(0.5),
    "smoothed 0.3": smoothed(0.3),
    "smoothed 0.1": smoothed(0.1),
    "median of 3": middle(3),
    "median of 7": middle(7),
    "median of 15": middle(15),
}
HOURLY_LOAD: Mapping[str, Expert] = {
    "last": last,
    "smoothed 0.3": smoothed(0.3),
    "mean of day": smoothed(0.08),
    "same hour yesterday": season(24, 1),
    "hour of day": season(24, 7),
    "hour of week": season(168, 4),
    "hour of day, at level": season_at_level(24, 7, 6),
    "hour of week, at level": season_at_level(168, 4, 6),
}


def opinions(values: Floats, experts: Mapping[str, Expert], ahead: int) -> Floats:
    """One row an expert; a place beyond the end stands for the future."""
    future = np.concatenate((values, np.full(ahead, np.nan)))
    return np.array([expert(future, ahead) for expert in experts.values()])


def weigh(
    opinion: Floats, values: Floats, ahead: int, *, half_life: float
) -> tuple[Floats, Floats]:
    """The weighted opinion at each place, and the weights.

    Only errors known `ahead` steps before count, half as much after each half-life.
    """
    size = opinion.shape[1]
    truth = np.concatenate((values, np.full(size - len(values), np.nan)))
    errors = np.abs(opinion - truth)
    known = np.isfinite(errors)
    fade = 0.5 ** (1 / half_life)
    recent = lfilter([1.0], [1, -fade], np.where(known, errors, 0.0), axis=1)
    mass = lfilter([1.0], [1, -fade], known.astype(float), axis=1)
    late_error = np.array([_behind(row, ahead, 0.0) for row in recent])
    late_mass = np.array([_behind(row, ahead, 0.0) for row in mass])
    usable = np.isfinite(opinion)
    tested = (late_mass > 0) & usable
    typical = late_error / np.maximum(late_mass, 1e-300)
    best = np.where(tested, typical, np.inf).min(axis=0)
    best = np.where(np.isfinite(best), best, 1.0)
    # Nobody is infinitely better than another; the untested count like half as good as the best.
    floor = 1e-3 * np.abs(np.where(usable, opinion, 0.0)).max(axis=0) + 1e-300
    ratio = np.where(tested, (typical + floor) / (best + floor), 2.0)
    weight = np.where(usable, ratio**-_SHARPNESS, 0.0)
    weight /= np.maximum(weight.sum(axis=0), 1e-300)
    combined = np.where(usable, opinion * weight, 0.0).sum(axis=0)
    return np.where(usable.any(axis=0), combined, np.nan), weight
