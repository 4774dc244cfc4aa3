"""How strong the strongest of all candidates gets in a series without change.

A normal deviate at the best of many splits is no normal deviate. `tests/bench/calibrate_changes.py`
simulated how often the strongest exceeds a limit; on ranks that holds for every noise.
"""

from __future__ import annotations

import math

import numpy as np

# log P(strongest > t) = a - _FALL * t^2, with a by the number of points.
_FALL = 0.49
_POINTS = (12, 24, 60, 100, 200, 400, 1000, 2500, 6000)
_START = (1.2, 0.9, 1.4, 2.0, 2.8, 3.3, 4.4, 5.2, 6.3)
_LOG_POINTS = tuple(math.log(n) for n in _POINTS)


def threshold(n: int, alarms: float) -> float:
    """The limit that a series of n points without change exceeds so often per 1,000 points."""
    chance = min(0.5, alarms * n / 1000)
    return math.sqrt((_start(n) - math.log(chance)) / _FALL)


def false_alarm_chance(strength: float, n: int) -> float:
    """How often a series of n points without change would show a shift as strong."""
    return min(1.0, math.exp(_start(n) - _FALL * strength * strength))


def _start(n: int) -> float:
    beyond = max(0.0, math.log(n / _POINTS[-1]))
    return float(np.interp(math.log(n), _LOG_POINTS, _START)) + beyond
