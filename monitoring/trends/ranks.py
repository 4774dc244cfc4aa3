"""Normal scores: values replaced by what a Gaussian sample of their rank would show.

Heavy tails, skew, outliers and quantisation stop mattering, and every statistic computed on
them has one distribution whatever the noise is.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@lru_cache(maxsize=2048)
def expected_scores(n: int) -> Floats:
    """Blom's approximation of the expected order statistics, scaled to unit variance."""
    raw = ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    return raw / np.sqrt(raw @ raw / n) if n > 1 else raw


def normal_scores(values: Floats) -> Floats:
    """Scores of mean zero and variance one; ties share the mean of theirs; all zero if constant."""
    n = len(values)
    order = values.argsort()
    ordered = values[order]
    scores = expected_scores(n)
    fresh = ordered[1:] != ordered[:-1]
    out = np.empty(n)
    if fresh.all():
        out[order] = scores
        return out
    first = np.concatenate(([0], np.flatnonzero(fresh) + 1))
    counts = np.diff(first, append=n)
    out[order] = np.repeat(np.add.reduceat(scores, first) / counts, counts)
    spread = out @ out / n
    return out / np.sqrt(spread) if spread > 1e-12 else np.zeros(n)


def gaussian_equivalent(square: Floats | float, freedom: Floats | float) -> Floats | float:
    """The normal deviate as unlikely as this squared t value (Wallace's approximation)."""
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    return scale * np.sqrt(freedom * np.log(1 + square / freedom))


def square_of(deviate: float, freedom: float) -> float:
    """The squared t value that is as unlikely as this normal deviate."""
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    return freedom * math.expm1((deviate / scale) ** 2 / freedom)
