"""Which series to run again: the newest points, held against what came before them.

Nobody is told of a suspicion: it costs a dozen runs, and what they say is told. So it may be
wrong a hundred times as often as a message may, and sees shifts that the history alone cannot
tell from its noise for weeks: those of noise with memory, and those of twice the noise.
"""

from __future__ import annotations

import math

import numpy as np

from .changes import Change
from .ranks import Floats
from .robust import median, spread
from .thresholds import false_alarm_chance

# So many of the newest points may lie behind the shift, and so many have to.
NEWEST = 10
FEWEST = 3
# Points before them that tell level and noise: at most, and at least.
_LONGEST = 60
_SHORTEST = 16
# As a normal deviate of independent points. `trend_quality.py --part alerts` counts what it costs.
_LIMIT = 3.6
# One value counts for at most so many standard deviations.
_HOLD = 3.0
# How far a tenth of Gaussian deviations lie.
_TENTH = 1.645
# Few earlier points know their own spread badly.
_UNSURE = 3.0
# How far beside the likeliest place the shift may have begun.
_BESIDE = 4


def suspicion(values: Floats, *, since: int = 0, limit: float = _LIMIT) -> Change | None:
    """The shift upwards that the newest of one level's values hint at.

    Points before `since` are known to be of the level: runs have said so, or a person.
    """
    n = len(values)
    most = min(NEWEST, n - max(since, _SHORTEST))
    if most < FEWEST:
        return None
    old, new = values[-(_LONGEST + most) : -most], values[-most:]
    middle, unit = _level_and_noise(old)
    off = np.minimum(np.maximum((new[::-1] - middle) / unit, -_HOLD), _HOLD)
    counts = np.arange(1, most + 1)
    # The sum of the newest one, two, three...: Page's test with both ends free.
    deviates = off.cumsum() / np.sqrt(counts * (1 + counts / len(old)))
    behind = FEWEST + int(np.argmax(deviates[FEWEST - 1 :]))
    strength = float(deviates[behind - 1]) / (1 + _UNSURE / len(old))
    if strength < limit:
        return None
    index, after = n - behind, median(new[-behind:])
    return Change(
        index=index,
        low=max(index - _BESIDE, n - most),
        high=n - 1,
        before=middle,
        after=after,
        effect=(after - middle) / unit,
        strength=strength,
        p_value=false_alarm_chance(strength, n),
    )


def _level_and_noise(values: Floats) -> tuple[float, float]:
    """Mean and standard deviation of values held near their middle."""
    middle = median(values)
    away = values - middle
    size = np.abs(away)
    at = len(size) * 9 // 10
    size.partition(at)
    # Where most values are equal the middle of the deviations sees no noise.
    bound = _HOLD * max(spread(away), float(size[at]) / _TENTH)
    held = np.minimum(np.maximum(away, -bound), bound)
    mean = float(np.add.reduce(held)) / len(held)
    held -= mean
    noise = math.sqrt(float(held @ held) / (len(held) - 1))
    # A level without any noise: whatever differs, differs.
    return middle + mean, noise or 1e-9 * max(abs(middle), 1e-300)
