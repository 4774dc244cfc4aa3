"""Tests that look after every run and stop as soon as they know which level it is.

Looking often finds something sooner or later; the limits are set so that all looks together are
wrong once in fifty times (`calibrate` in the tests counts it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.stats import mannwhitneyu

from .ranks import Floats

# Of one look: with so few runs, exact ranks can only just say as much.
_SURE = 0.006
FEWEST = 5
# How sure a place on one side has to be: 999 to 1, for a search takes ten such steps. No single
# run says more than a third of it: an outlier decides nothing.
_ODDS = math.log(999)


class Answer(StrEnum):
    """What the runs say so far."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two sets of runs beside each other."""

    answer: Answer
    # Of the second beside the first, with the interval that holds it with 90 %.
    ratio: float
    low: float
    high: float
    p_value: float


def compare(
    first: Sequence[float], second: Sequence[float], *, suspected: float, last: bool = False
) -> Compared:
    """Whether the second set lies higher: by about as much as suspected, or by nothing like it.

    `suspected` is a share of the level, such as 0.1; `last` says that there will be no more runs.
    """
    a, b = np.log(first), np.log(second)
    ratio, low, high = _ratio(a, b)
    p_value = float(mannwhitneyu(a, b, method="exact").pvalue) if _differ(a, b) else 1.0
    answer = Answer.OPEN
    least = math.log1p(abs(suspected)) / 2
    if min(len(a), len(b)) >= FEWEST:
        if p_value <= _SURE * 2:
            answer = Answer.WORSE if ratio > 0 else Answer.BETTER
        elif max(abs(low), abs(high)) < least:
            answer = Answer.SAME
    if answer is Answer.OPEN and last and abs(ratio) < least:
        answer = Answer.SAME
    return Compared(
        answer=answer,
        ratio=math.exp(ratio),
        low=math.exp(low),
        high=math.exp(high),
        p_value=p_value,
    )


def side_of(
    values: Sequence[float], good: Sequence[float], bad: Sequence[float], *, last: bool = False
) -> Answer:
    """Whether these runs belong to the good level (SAME), to the bad one (WORSE), or more are due.

    Wald's test between the two known levels, with their common noise and outliers held.
    """
    here, a, b = np.log(values), np.log(good), np.log(bad)
    low, high = float(np.median(a)), float(np.median(b))
    rest = np.concatenate((a - low, b - high))
    noise = max(1.4826 * float(np.median(np.abs(rest))), float(rest.std()) / 2, abs(high - low) / 8)
    each = np.clip((here - (low + high) / 2) * (high - low) / noise**2, -_ODDS / 3, _ODDS / 3)
    odds = float(each.sum())
    # Not quite: thirds do not add up to a whole.
    if abs(odds) >= 0.999 * _ODDS or last:
        return Answer.WORSE if odds > 0 else Answer.SAME
    return Answer.OPEN


def _ratio(a: Floats, b: Floats) -> tuple[float, float, float]:
    """Hodges and Lehmann's difference of logarithms, with Moses' interval of 90 %."""
    steps = np.sort((b[:, None] - a[None, :]).ravel())
    m, n = len(a), len(b)
    reach = 1.645 * math.sqrt(m * n * (m + n + 1) / 12)
    k = max(int(m * n / 2 - reach), 0)
    return float(np.median(steps)), float(steps[k]), float(steps[len(steps) - 1 - k])


def _differ(a: Floats, b: Floats) -> bool:
    both = np.concatenate((a, b))
    return bool(both.max() > both.min())
