"""Where a series is heading: improving, degrading, stable or volatile, and by how much.

The test of Mann and Kendall says whether it moves at all, allowing for memory; how far it moved
is the last quarter's level against the first's, the slope that of Theil and Sen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

import numpy as np
from scipy.special import ndtr

from .evidence import memory_factor
from .ranks import Floats, Ints
from .robust import level, median, residuals, spread
from .series import Direction

# A series that swings by more than this share of its level from run to run has no usable level.
_VOLATILE = 0.15
# Smaller moves than this share of the level are not worth a word.
_NOTABLE = 0.03
# ... nor are moves that drown in the noise of single runs.
_ABOVE_NOISE = 0.6
_P_VALUE = 0.02
# Or the quarters lie so many standard deviations of their difference apart.
_APART = 5.0
# Pairs of more points than this add nothing to the slope but time.
_PAIRS = 300
_FEWEST = 8
_THREE = 3


class TrendClass(StrEnum):
    """What to call it."""

    IMPROVING = "improving"
    DEGRADING = "degrading"
    STABLE = "stable"
    VOLATILE = "volatile"
    # Too short to say.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The class of a series, with its evidence."""

    kind: TrendClass
    # Last quarter against first, as a share of the first.
    effect: float = 0.0
    # Per point, by Theil and Sen, in the unit of the values.
    slope: float = 0.0
    # Of the Mann-Kendall test, allowing for memory.
    p_value: float = 1.0
    # Run-to-run noise as a share of the level.
    noise: float = 0.0


def classify(values: Floats, direction: Direction = Direction.LOWER_IS_BETTER) -> Trend:
    """Judge a whole series; shifts count as moves like slow drifts do."""
    values = np.asarray(values, float)
    n = len(values)
    if n < _FEWEST:
        return Trend(kind=TrendClass.UNKNOWN)
    quarter = max(n // 4, _THREE)
    # Of three values the middle one: the first run of all, with cold caches, is no level.
    middle = level if quarter > _THREE else median
    first, last = middle(values[:quarter]), middle(values[-quarter:])
    scale = max(abs(first), abs(level(values)), 1e-300)
    effect = (last - first) / scale
    thin = values[:: math.ceil(n / _PAIRS)]
    rest = _residuals(values)
    memory = memory_factor(rest)
    slope, p_value = _slope_and_p(thin, memory)
    # Neighbours alone miss modes that last; residuals alone count a trend as noise.
    noise = max(spread(values[1:] - values[:-1]) / math.sqrt(2), spread(rest))
    share = noise / scale
    told = Trend(
        kind=TrendClass.STABLE,
        effect=effect,
        slope=slope / math.ceil(n / _PAIRS),
        p_value=p_value,
        noise=share,
    )
    # A step or two say little of order, but the quarters lie apart.
    apart = abs(last - first) > _APART * noise * math.sqrt(2 * memory / quarter)
    moved = (
        (p_value < _P_VALUE or apart)
        and abs(effect) > max(_NOTABLE, _ABOVE_NOISE * share)
        and (slope > 0) == (effect > 0)
    )
    if moved:
        worse = (effect > 0) == (direction is Direction.LOWER_IS_BETTER)
        kind = TrendClass.DEGRADING if worse else TrendClass.IMPROVING
        return replace(told, kind=kind)
    return replace(told, kind=TrendClass.VOLATILE) if share > _VOLATILE else told


def _residuals(values: Floats) -> Floats:
    """What levels of eighths leave: no creep or shift in it is worth a word."""
    n = len(values)
    return residuals(values, tuple(n * i // 8 for i in range(1, 8)) if n >= 32 else (n // 2,))


@lru_cache(maxsize=64)
def _pairs(n: int) -> tuple[Ints, Ints]:
    return np.triu_indices(n, 1)


def _slope_and_p(values: Floats, memory: float) -> tuple[float, float]:
    """Theil-Sen slope and the two-sided p-value of Kendall's test."""
    n = len(values)
    i, j = _pairs(n)
    rise = values[j] - values[i]
    score = float(np.sign(rise).sum())
    _, ties = np.unique(values, return_counts=True)
    tied = float((ties * (ties - 1.0) * (2 * ties + 5.0)).sum())
    variance = (n * (n - 1.0) * (2 * n + 5.0) - tied) / 18
    slopes = rise / (j - i)
    slope = median(slopes)
    if variance <= 0 or score == 0:
        return slope, 1.0
    deviate = (abs(score) - 1) / math.sqrt(variance * memory)
    return slope, float(2 * ndtr(-deviate))
