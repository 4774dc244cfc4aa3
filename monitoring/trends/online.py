"""The newest shift: has the level just moved? Asked after every point, answered in microseconds.

Change points need both sides; the last few points are the edge where they are blind. Here the
last few are held against all earlier sums of as many neighbours of the same level, so that noise
with memory, modes and seasons brings its own yardstick. A suspicion goes by the size of the last
four; a confirmation by the normal scores of five to twenty (van der Waerden's test), which have
one distribution for all noise without memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from .changes import Change
from .evidence import memory_factor
from .location import places, relocate
from .ranks import Floats, normal_scores
from .robust import level, median, residuals, spread
from .thresholds import false_alarm_chance

NEWEST = 4
# Earlier points that serve as the yardstick: at most, and at least.
_LONGEST = 100
_SHORTEST = 16
# `trend_quality.py --part online` and `--part aa` measure what these limits let through: half a
# false suspicion in 1,000 points, and one message in 25,000 points of noise without memory.
_LIMIT = 4.2
# One value counts for at most so many standard deviations: a spike is no shift. Each of the
# newest must stand out by itself: three bad runs and a good one are a burst.
_HOLD = 3.0
_EACH = 0.9
# Calm noise may seem calmer than it is; few earlier points know their own spread badly.
_CALMEST = 0.45
_UNSURE = 3.0
# How far a tenth of Gaussian deviations lie.
_TENTH = 1.645
# After how many points a shift is looked at again, and how strong it must be then.
_LOOKS = ((5, 4.0), (7, 3.9), (10, 3.6), (14, 4.2), (20, 4.5))
# Dependent points are fewer than they seem, and know their own spread the worse.
_DEPENDENT = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShift:
    """The level seems to have moved with `index`."""

    index: int
    before: float
    after: float
    # In standard deviations of single values.
    effect: float
    # As a normal deviate.
    strength: float


def newest_shift(values: Floats, *, limit: float = _LIMIT) -> NewShift | None:
    """Whether the last four points of one level's values lie off the level."""
    n = len(values)
    if n < _SHORTEST + NEWEST:
        return None
    old, new = values[-(_LONGEST + NEWEST) : -NEWEST], values[-NEWEST:]
    middle = level(old)
    away = old - middle
    bound = _HOLD * max(spread(away), _tail_spread(away))
    held = np.minimum(np.maximum(away, -bound), bound)
    # A level without any noise: whatever differs, differs.
    unit = math.sqrt(float(held @ held) / len(held)) or 1e-9 * max(abs(middle), 1e-300)
    off = (new - middle) / unit
    side = 1.0 if float(off[0]) > 0 else -1.0
    off *= side
    if float(off.min()) < _EACH:
        return None
    typical = math.sqrt(_square_of_rounds(held * (side / unit), NEWEST)) / NEWEST
    mean = float(np.minimum(off, _HOLD + 1).sum()) / NEWEST
    strength = mean / max(typical, _CALMEST) / (1 + _UNSURE / len(old))
    if strength < limit:
        return None
    after = median(new)
    return NewShift(
        index=n - NEWEST,
        before=middle,
        after=after,
        effect=(after - middle) / unit,
        strength=strength,
    )


def _tail_spread(away: Floats) -> float:
    """Standard deviation by the nine tenths: where most values are equal the median sees none."""
    size = np.abs(away)
    at = len(size) * 9 // 10
    size.partition(at)
    return float(size[at]) / _TENTH


def _square_of_rounds(values: Floats, count: int) -> float:
    """The typical square of the sum of so many neighbours.

    Skewed noise strays farther to one side: the side above counts as much as both together.
    """
    sums = np.cumsum(values)
    rounds = sums[count - 1 :].copy()
    rounds[1:] -= sums[:-count]
    above = rounds[rounds > 0]
    both = float(rounds @ rounds) / len(rounds)
    return (both + float(above @ above) / max(len(above), 1)) / 2


class Watch:
    """Follows one series point by point."""

    def __init__(self, values: Iterable[float] = (), *, limit: float = _LIMIT) -> None:
        self._limit = limit
        self._level = list[float]()
        self._seen = 0
        for value in values:
            self.append(value)

    def append(self, value: float) -> NewShift | None:
        """Take the next point; the shift it completes, if any, starts a new level.

        What is not a finite number is no point, and has no place in the count.
        """
        if not math.isfinite(value):
            return None
        self._seen += 1
        self._level.append(value)
        del self._level[: -(_LONGEST + NEWEST)]
        found = newest_shift(np.array(self._level), limit=self._limit)
        if found is None:
            return None
        self._level = self._level[-NEWEST:]
        return replace(found, index=self._seen - NEWEST)


def confirmed_shift(values: Floats, *, since: int = 0) -> Change | None:
    """The shift that the points behind it have just confirmed; its level began at place `since`.

    The slower and surer of the two alerts: for a message to people, where `newest_shift` is a
    reason to run again. Asked after each point, it answers first after five points if the shift
    is large, and again at some later points; whoever tells of it goes on with its index as
    `since`.
    """
    start = max(since, len(values) - _LONGEST - _LOOKS[-1][0])
    for newest, limit in _LOOKS:
        here = values[max(start, len(values) - _LONGEST - newest) :]
        known = len(here) - newest
        if known < max(_SHORTEST, 2 * newest):
            break
        strength = _confirmed_strength(here, newest, limit)
        if strength >= limit:
            return _placed(here, known, strength, first=len(values) - len(here))
    return None


def _confirmed_strength(values: Floats, newest: int, limit: float) -> float:
    """The summed normal scores of the newest as a normal deviate."""
    known, scores = len(values) - newest, normal_scores(values)
    total = float(scores[known:].sum())
    # If the points were independent; memory can only take from it.
    alone = abs(total) * math.sqrt(len(scores) / (newest * known))
    if alone < limit:
        return alone
    old = scores[:known] * math.copysign(1.0, total)
    old -= old.mean()
    own = float(old @ old) / known * newest
    memory = _square_of_rounds(old, newest) / own if own > 0 else 1.0
    more = max(memory, memory_factor(values[:known])) - 1
    return (
        alone
        if more <= 0
        else alone / math.sqrt(1 + more) / (1 + _DEPENDENT * more * newest / known)
    )


def _placed(values: Floats, split: int, strength: float, *, first: int) -> Change:
    shifts = relocate(values, [split])
    (place,) = places(values, shifts, memory=memory_factor(values))
    before, after = level(values[: place.at]), level(values[place.at :])
    noise = spread(residuals(values, shifts))
    return Change(
        index=first + place.at,
        low=first + place.low,
        high=first + place.high,
        before=before,
        after=after,
        effect=(after - before) / noise if noise > 0 else math.copysign(math.inf, after - before),
        strength=strength,
        p_value=false_alarm_chance(strength, len(values)),
        chances=place.chances.moved(first),
    )
