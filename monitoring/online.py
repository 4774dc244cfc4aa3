"""The newest shift: has the level just moved? Asked after every point, answered in microseconds.

Change points need both sides; the last few points are the edge where they are blind. Here the
mean of the last four is held against all earlier means of four of the same level, so that
noise with memory, modes and seasons brings its own yardstick.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from .changes import Change, find_changes
from .ranks import Floats
from .robust import level, median, spread

NEWEST = 4
# Earlier points that serve as the yardstick: at most, and at least.
_LONGEST = 100
_SHORTEST = 16
# One value counts for at most so many standard deviations: a spike is no shift.
_HOLD = 3.0
_LIMIT = 4.0
# A confirmed shift is sought among so many points, with at least so many behind it, and at so
# many false alarms per 1,000 points.
_REMEMBERED = 200
_BEHIND = 5
_CONFIRMED = 0.001
# Each of the newest must stand out by itself by so much: three bad runs and a good one are a burst.
_EACH = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShift:
    """The level seems to have moved with `index`."""

    index: int
    before: float
    after: float
    # In standard deviations of single values.
    effect: float
    # In standard deviations of means of as many values.
    strength: float


def newest_shift(values: Floats, *, limit: float = _LIMIT) -> NewShift | None:
    """Whether the last points of one level's values lie off the level."""
    n = len(values)
    if n < _SHORTEST + NEWEST:
        return None
    old, new = values[max(0, n - _LONGEST - NEWEST) : n - NEWEST], values[n - NEWEST :]
    middle = level(old)
    away = old - middle
    bound = _HOLD * spread(away)
    held = np.minimum(np.maximum(away, -bound), bound)
    # A level without any noise: whatever differs, differs.
    unit = float(np.sqrt(held @ held / len(held))) or 1e-9 * max(abs(middle), 1e-300)
    off = (new - middle) / unit
    side = 1.0 if float(off[0]) > 0 else -1.0
    off *= side
    if float(off.min()) < _EACH:
        return None
    sums = np.cumsum(held * (side / unit))
    means = sums[NEWEST - 1 :].copy()
    means[1:] -= sums[:-NEWEST]
    means /= NEWEST
    mean = float(np.minimum(off, _HOLD + 1).sum()) / NEWEST
    # Skewed noise strays farther to one side: that side's yardstick counts as much as both.
    same = means[means > 0]
    wide = float(means @ means) / len(means) + float(same @ same) / max(len(same), 1)
    typical = math.sqrt(wide / 2)
    # Few earlier points know their own spread badly.
    strength = mean / max(typical, 0.45) / (1 + 3 / len(old))
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


class Watch:
    """Follows one series point by point."""

    def __init__(self, values: Iterable[float] = (), *, limit: float = _LIMIT) -> None:
        self._limit = limit
        self._level = list[float]()
        self._seen = 0
        for value in values:
            self.append(value)

    def append(self, value: float) -> NewShift | None:
        """Take the next point; the shift it completes, if any, starts a new level."""
        if not np.isfinite(value):
            return None
        self._seen += 1
        self._level.append(value)
        del self._level[: -(_LONGEST + NEWEST)]
        found = newest_shift(np.array(self._level), limit=self._limit)
        if found is None:
            return None
        self._level = self._level[-NEWEST:]
        return NewShift(
            index=self._seen - NEWEST,
            before=found.before,
            after=found.after,
            effect=found.effect,
            strength=found.strength,
        )


def confirmed_shift(values: Floats, *, since: int = 0, alarms: float = _CONFIRMED) -> Change | None:
    """The newest shift after place `since` that the points behind it have confirmed.

    The slower and surer of the two alerts: for a message to people, where `newest_shift` is a
    reason to run again.
    """
    start = max(0, len(values) - _REMEMBERED)
    found = find_changes(values[start:], alarms=alarms)
    newest = [c for c in found if c.index + start > since]
    if not newest or len(values) - start - newest[-1].index < _BEHIND:
        return None
    last = newest[-1]
    return replace(last, index=last.index + start, low=last.low + start, high=last.high + start)
