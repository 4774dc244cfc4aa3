"""Single odd points, judged by what came before them only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.monitoring.trends.anomalies import anomalies, anomaly_scores


def noisy(seed: int, n: int = 120) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 2, n)


def test_one_slow_run_is_found_with_what_was_expected():
    """The only point that is said to be odd."""
    values = noisy(1)
    values[70] = 160
    (found,) = anomalies(values)
    assert (found.index, found.value) == (70, 160)
    assert found.expected == pytest.approx(100, abs=3)
    assert found.score > 15


def test_later_points_change_nothing():
    """A score is final when its point arrives."""
    values = noisy(2)
    values[60] = 150
    whole = anomaly_scores(values)
    for n in (30, 61, 90):
        assert anomaly_scores(values[:n]) == pytest.approx(whole[:n])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_scale_does_not_matter(seed, factor):
    """Units do not."""
    values = noisy(seed)
    assert anomaly_scores(values * factor) == pytest.approx(anomaly_scores(values), rel=1e-6)


def test_a_second_mode_is_not_odd_for_ever():
    """A value seen every fifth run is usual."""
    values = noisy(3, 200)
    values[::5] += 30
    assert [a.index for a in anomalies(values) if a.index > 60] == []


def test_after_a_shift_the_new_level_is_soon_usual():
    """The shift's first runs may be odd, its tenth is not."""
    values = noisy(4, 200)
    values[100:] += 40
    assert [a.index for a in anomalies(values) if a.index >= 110] == []


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 5, [3.0] * 80])
def test_nothing_is_odd_where_nothing_differs(values):
    """Empty, short and constant series."""
    assert anomalies(np.array(values)) == ()


def test_what_leaves_a_constant_is_odd():
    """Counts of instructions do not waver."""
    assert [a.index for a in anomalies(np.array([5.0] * 40 + [6.0] + [5.0] * 5))] == [40]


@pytest.mark.parametrize(
    ("factor", "odd"), [(1.03, False), (0.97, False), (1.3, True), (0.7, True)]
)
def test_a_little_off_a_level_that_hardly_moves_is_not_odd(factor: float, odd: bool) -> None:
    """A thousandth is then many deviations, and still nothing that went wrong."""
    values = 2.0 + 1e-4 * np.random.default_rng(5).standard_normal(60)
    values[50] *= factor
    assert (50 in {each.index for each in anomalies(values)}) == odd
