"""Classes of series: improving, degrading, stable, volatile."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.heading import TrendClass, classify
from proctor.monitoring.trends.series import Direction


def series(seed: int, *, spread: float = 0.03, n: int = 80) -> np.ndarray:
    return 50 * (1 + spread * np.random.default_rng(seed).normal(size=n))


SHAPES = {
    "creep": np.linspace(0, 1, 80),
    "step": (np.arange(80) > 45).astype(float),
    "late creep": np.clip(np.linspace(-1, 1, 80), 0, 1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_the_direction_is_never_wrong(shape, seed):
    """Up is worse for seconds, and better for rates."""
    up, down = (series(seed) * (1 + by * SHAPES[shape]) for by in (0.3, -0.3))
    assert classify(up).kind is TrendClass.DEGRADING
    assert classify(down).kind is TrendClass.IMPROVING
    assert classify(up, Direction.HIGHER_IS_BETTER).kind is TrendClass.IMPROVING


def test_a_level_with_a_little_noise_is_stable():
    """Forty histories without change: at most one is said to move."""
    told = [classify(series(seed)).kind for seed in range(40)]
    assert told.count(TrendClass.STABLE) >= 39


@pytest.mark.parametrize("turn", [1, -1])
def test_one_odd_run_of_a_short_history_is_no_direction(turn):
    """Megabytes of a case whose first run found no caches; and the same from its end."""
    values = [
        45.42,
        40.63,
        40.53,
        40.56,
        40.59,
        40.63,
        40.72,
        40.5,
        40.49,
        40.83,
        40.55,
        40.58,
        40.58,
    ]
    assert classify(np.array(values[::turn])).kind is TrendClass.STABLE


def test_a_level_that_swings_is_volatile():
    """And has no direction."""
    told = [classify(series(seed, spread=0.35)).kind for seed in range(20)]
    assert told.count(TrendClass.VOLATILE) >= 18


def test_size_and_slope_are_told():
    """In shares of the level, and in units per point."""
    told = classify(np.linspace(100, 120, 81))
    assert told.slope == pytest.approx(0.25)
    assert told.effect == pytest.approx(0.15, abs=0.02)


def test_slopes_of_long_series_are_per_point_too():
    """Thinned for speed, told for every point."""
    assert classify(np.linspace(100, 200, 1001)).slope == pytest.approx(0.1)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 3.0]])
def test_too_little_has_no_class(values):
    """Three runs are no trend."""
    assert classify(np.array(values)).kind is TrendClass.UNKNOWN


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_a_constant_is_stable(level):
    """Also at zero."""
    assert classify(np.full(50, level)).kind is TrendClass.STABLE
