"""How strong the strongest of all candidates gets in a series without change."""

from __future__ import annotations

import math


def threshold(n: int, alarms: float) -> float:
    return 4.3


def false_alarm_chance(strength: float, n: int) -> float:
    return math.exp(-strength**2/2)*n
