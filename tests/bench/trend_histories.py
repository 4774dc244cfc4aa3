"""Generated series for the other questions: single outliers, trend classes, quiet CI histories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from histories import NOISES, Floats, Rng, shift_places

from proctor.monitoring.trends.heading import TrendClass

# What durations of tests in CI look like: skewed, a few modes, tied to their predecessors.
CI_NOISES = ("gaussian", "log-normal", "skewed", "two modes", "sticky modes", "ar1", "quantised")
CLASSES = (TrendClass.STABLE, TrendClass.IMPROVING, TrendClass.DEGRADING, TrendClass.VOLATILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A series with odd points marked."""

    values: Floats
    odd: Floats


def ci_series(n: int, rng: Rng, *, kind: str, spread: float | None = None) -> Floats:
    """A duration of a test without change: noise of 3 to 5 % about one level."""
    share = float(rng.uniform(0.03, 0.05)) if spread is None else spread
    return float(np.exp(rng.uniform(-3, 5))) * (1 + share * NOISES[kind](n, rng))


def with_outliers(rng: Rng, *, n: int = 300) -> Labelled:
    """CI-like: a level that shifts now and then, and one run in fifty that went wrong."""
    values = ci_series(n, rng, kind=str(rng.choice(CI_NOISES)))
    for at in shift_places(n, int(rng.poisson(1.0)), rng):
        values[at:] *= float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.05, 0.3)))
    odd = rng.random(n) < 0.02
    odd[:20] = False
    # A machine that somebody else uses: up to several times slower, hardly ever faster.
    factor = np.where(rng.random(n) < 0.9, rng.uniform(1.5, 4.0, n), rng.uniform(0.3, 0.6, n))
    return Labelled(values=np.where(odd, values * factor, values), odd=odd.astype(float))


def of_class(kind: TrendClass, rng: Rng) -> Floats:
    """A duration (less is better) that is of this class by construction."""
    n = int(rng.choice([40, 80, 160]))
    if kind is TrendClass.VOLATILE:
        # Swings of a fifth and more from run to run, with or without memory.
        noise = NOISES[str(rng.choice(["gaussian", "log-normal", "two modes", "skewed"]))](n, rng)
        return float(np.exp(rng.uniform(-2, 4))) * np.maximum(
            1 + rng.uniform(0.22, 0.45) * noise, 0.02
        )
    spread = float(rng.uniform(0.01, 0.06))
    values = ci_series(n, rng, kind=str(rng.choice(CI_NOISES)), spread=spread)
    if kind is TrendClass.STABLE:
        return values
    size = float(rng.uniform(0.08, 0.5))
    sign = 1.0 if kind is TrendClass.DEGRADING else -1.0
    shape = rng.choice(["creep", "step", "steps", "late creep"])
    time = np.linspace(0, 1, n)
    if shape == "creep":
        move = time
    elif shape == "step":
        move = (time > rng.uniform(0.3, 0.7)).astype(float)
    elif shape == "steps":
        move = sum((time > at).astype(float) for at in rng.uniform(0.2, 0.8, size=3)) / 3
    else:
        start = rng.uniform(0.2, 0.5)
        move = np.clip((time - start) / (1 - start), 0, 1)
    return values * np.exp(sign * np.log1p(size) * move)
