"""Which of two levels known from history new runs belong to: Wald's test, after every run.

Runs of one hour share more than runs of different days do: the machine is warm, or busy. What the
history varied beyond what the new runs vary among themselves is taken for such a common part, and
no number of runs averages it out. So runs on a restless machine end undecided, not wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from .ranks import Floats
from .robust import clipped, level, spread

# One answer has to be so much likelier than the other.
_ODDS = math.log(50)
# Fewer runs say nothing about how much they vary.
FEWEST_RUNS = 4
FEWEST_BEFORE = 5
FEWEST_AFTER = 2
# Of the history's variance: so much is thought to be common to runs of one hour at the least.
_COMMON = 0.1
_COMMON_BESIDE_OTHERS = 0.05
# Two levels that lie further apart than so many deviations are no surer than that.
_SHARPEST = 8.0
# No history is quieter than that: clocks, and what else the machine does.
_QUIETEST = 0.005
# Runs so far outside both levels belong to neither.
_STRANGE = 4.0


class Side(StrEnum):
    """Where the runs belong."""

    BEFORE = "before"
    AFTER = "after"
    # Far from both: this is not what the history measured.
    NEITHER = "neither"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Logarithms of what was measured before a suspected shift and since."""

    before: Floats
    after: Floats
    # Each value is told beside others of its campaign: what they share is taken off.
    beside_others: bool = False

    @property
    def step(self) -> float:
        return level(self.after) - level(self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sided:
    """What the runs say so far."""

    side: Side
    # Logarithm of how much likelier they are after the shift than before it.
    odds: float
    # Of the runs beside the level before, with the interval that holds it with 90 %.
    ratio: float
    low: float
    high: float

    @property
    def chance(self) -> float:
        """That the likelier of the two is the wrong one."""
        return 1 / (1 + math.exp(min(abs(self.odds), 700.0)))


def side_of_levels(runs: Sequence[float], known: Levels) -> Sided:
    """Where these runs belong, given as logarithms like the levels."""
    values = np.asarray(runs, float)
    before, after = level(known.before), level(known.after)
    noise = _noise(known)
    middle = level(values) if len(values) < FEWEST_RUNS else _held(values, noise)
    # How far their middle may lie from the true one.
    mine = _variance_of_middle(values, noise, known)
    sides = (
        (before, mine + noise**2 / len(known.before)),
        (after, mine + noise**2 / len(known.after)),
    )
    odds = _likelihood(middle, *sides[1]) - _likelihood(middle, *sides[0])
    reach = 1.645 * math.sqrt(sides[0][1])
    return Sided(
        side=_side(odds, middle, len(values), sides),
        odds=odds,
        ratio=math.exp(middle - before),
        low=math.exp(middle - before - reach),
        high=math.exp(middle - before + reach),
    )


def _side(odds: float, middle: float, count: int, sides: Sequence[tuple[float, float]]) -> Side:
    if count < FEWEST_RUNS:
        return Side.OPEN
    (before, _), (after, _) = sides
    # Beyond both by more than they are apart, and by more than chance.
    outside = max(min(before, after) - middle, middle - max(before, after))
    widest = math.sqrt(max(variance for _, variance in sides))
    if outside > max(_STRANGE * widest, abs(after - before)):
        return Side.NEITHER
    if abs(odds) < _ODDS:
        return Side.OPEN
    return Side.AFTER if odds > 0 else Side.BEFORE


def _noise(known: Levels) -> float:
    """Of one measurement in the history."""
    rest = np.concatenate((known.before - level(known.before), known.after - level(known.after)))
    # Each level took a degree of freedom.
    small = math.sqrt(len(rest) / max(len(rest) - 2, 1))
    # The larger of the two: a middle may be too quiet by chance, or where values are coarse.
    wide = max(spread(rest), float(clipped(rest, 3.0).std())) if rest.any() else 0.0
    return max(wide * small, _QUIETEST, abs(known.step) / _SHARPEST)


def _held(values: Floats, noise: float) -> float:
    """The mean, where no single run lies further off than chance would have it."""
    middle = float(np.median(values))
    return float(np.clip(values, middle - 2 * noise, middle + 2 * noise).mean())


def _variance_of_middle(values: Floats, noise: float, known: Levels) -> float:
    whole = noise**2
    share = _COMMON_BESIDE_OTHERS if known.beside_others else _COMMON
    own = float(values.var(ddof=1)) if len(values) > 1 else whole
    # Few runs may agree by chance: only what they lack beyond that speaks for a common part.
    lucky = own * (1 + math.sqrt(2 / max(len(values) - 1, 1)))
    common = min(max(whole - lucky, share * whole), whole)
    return common + max(own, whole - common) / len(values)


def _likelihood(value: float, mean: float, variance: float) -> float:
    return -0.5 * ((value - mean) ** 2 / variance + math.log(variance))
