"""Levels and spreads that a few bad values cannot move."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .ranks import Floats

# The median absolute deviation of a Gaussian times this is its standard deviation.
TO_SIGMA = 1.4826
# Below this many points a full sort is the faster way to the middle.
_LONG = 1500


def median(values: Floats) -> float:
    """`numpy.median` without its overhead, which counts in series of a hundred points."""
    n = len(values)
    half, ordered = n // 2, values.copy()
    if n % 2:
        ordered.partition(half)
        return float(ordered[half])
    if n <= _LONG:
        ordered.partition((half - 1, half))
        return float(ordered[half - 1] + ordered[half]) / 2
    # Parting many points at two places costs many times as much as at one.
    ordered.partition(half)
    return float(ordered[:half].max() + ordered[half]) / 2


def spread(residuals: Floats) -> float:
    """Standard deviation by the median; by the mean where over half the residuals are zero."""
    size = np.abs(residuals)
    return TO_SIGMA * median(size) or float(size.mean())


def level(values: Floats) -> float:
    """The mean of the middle half: robust as a median, but not as coarse on coarse values."""
    n = len(values)
    cut = n // 4
    ordered = values.copy()
    if n > _LONG:
        ordered.partition(cut)
        middle = ordered[cut:]
        middle.partition(n - 2 * cut - 1)
        return float(np.add.reduce(middle[: n - 2 * cut])) / (n - 2 * cut)
    ordered.sort()
    return float(np.add.reduce(ordered[cut : n - cut])) / (n - 2 * cut)


def residuals(values: Floats, shifts: Sequence[int]) -> Floats:
    """What the levels of the segments between shifts leave."""
    out = np.empty(len(values))
    for a, b in pairwise((0, *shifts, len(values))):
        out[a:b] = values[a:b] - level(values[a:b])
    return out


def clipped(values: Floats, limit: float = 2.5) -> Floats:
    """Residuals held within so many standard deviations."""
    bound = limit * spread(values)
    return np.clip(values, -bound, bound)
