"""Generated hourly load of a test fleet: offices, bursts, growth, walks, regime changes."""

from __future__ import annotations

import numpy as np
from histories import Floats, Rng

KINDS = ("office", "around the clock", "bursty", "growing", "walk", "regimes")


def load_trace(kind: str, weeks: int, rng: Rng) -> Floats:
    """Work-seconds an hour, never negative."""
    hours = np.arange(weeks * 168)
    hour, day = hours % 24, hours // 24 % 7
    peak, width = rng.uniform(11, 16), rng.uniform(3, 5)
    shape = np.exp(-(((hour - peak + 12) % 24 - 12) ** 2) / (2 * width**2)) + rng.uniform(0, 0.2)
    shape = shape * np.where(day >= 5, rng.uniform(0.05, 0.6), 1.0)
    noise = np.exp(rng.uniform(0.1, 0.4) * rng.normal(size=len(hours)))
    # Whoever pushes once pushes again: deviations last some hours.
    wander = np.zeros(len(hours))
    steps, keep = rng.normal(size=len(hours)), rng.uniform(0.5, 0.9)
    for i in range(1, len(hours)):
        wander[i] = keep * wander[i - 1] + np.sqrt(1 - keep**2) * steps[i]
    wander = np.exp(rng.uniform(0.1, 0.5) * wander)
    flat = 1 + 0.2 * shape
    base = {
        "office": shape * noise * wander,
        "around the clock": flat * noise * wander,
        "bursty": (0.3 * shape + rng.poisson(0.06, len(hours)) * rng.uniform(1, 4)) * noise,
        "growing": shape * noise * wander * np.linspace(1, rng.uniform(1.5, 3), len(hours)),
        "walk": np.exp(np.cumsum(0.08 * rng.normal(size=len(hours))) * 0.5) * noise,
        "regimes": shape * noise * wander * rng.uniform(0.4, 2.5, size=weeks).repeat(168),
    }
    return 1000 * base[kind]
