"""Normal scores and robust levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from proctor.monitoring.trends.ranks import gaussian_equivalent, normal_scores
from proctor.monitoring.trends.robust import clipped, level, median, residuals, spread

VALUES = arrays(float, st.integers(2, 60), elements=st.integers(-1000, 1000).map(float))


@given(VALUES)
def test_scores_depend_on_the_order_only(values):
    """Any rising transformation leaves them as they are."""
    assert normal_scores(values) == pytest.approx(normal_scores(np.exp(values / 500)))


@given(VALUES)
def test_scores_have_mean_zero_and_variance_one(values):
    """Unless all values are equal, when there is nothing to score."""
    scores = normal_scores(values)
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    expected = 0.0 if len(set(values.tolist())) == 1 else 1.0
    assert (scores @ scores) / len(scores) == pytest.approx(expected, abs=1e-9)


def test_equal_values_share_a_score():
    """Coarse clocks make ties, and ties say nothing of order."""
    scores = normal_scores(np.array([1.0, 2.0, 2.0, 3.0]))
    assert scores[1] == scores[2]


@given(VALUES)
def test_the_median_is_numpys(values):
    """Faster, and the same."""
    assert median(values) == np.median(values)


def test_a_wild_value_moves_neither_level_nor_spread():
    """One bad run in twenty is no new level."""
    calm = np.random.default_rng(1).normal(10, 1, 200)
    wild = calm.copy()
    wild[:10] = 1e6
    assert level(wild) == pytest.approx(level(calm), abs=0.2)
    assert spread(wild - level(wild)) == pytest.approx(spread(calm - level(calm)), rel=0.2)


@given(VALUES, st.floats(0.1, 10), st.integers(-100, 100))
def test_levels_and_spreads_follow_scale_and_shift(values, factor, offset):
    """Units do not matter."""
    moved = values * factor + offset
    assert level(moved) == pytest.approx(level(values) * factor + offset, abs=1e-6)
    assert spread(residuals(moved, ())) == pytest.approx(
        spread(residuals(values, ())) * factor, abs=1e-6
    )


def test_residuals_know_the_levels_between_shifts():
    """Each segment is judged by its own level."""
    assert residuals(np.array([1.0] * 5 + [9.0] * 5), (5,)).tolist() == [0.0] * 10


def test_clipped_residuals_stay_within_their_bound():
    """What sticks out is held, not dropped."""
    held = clipped(np.array([-1.0, 1.0, -1.0, 1.0, 50.0]))
    assert len(held) == 5
    assert held.max() == pytest.approx(2.5 * 1.4826)


def test_a_squared_t_value_of_many_points_is_a_squared_deviate():
    """And of few points it is worth less."""
    assert gaussian_equivalent(9.0, 1e6) == pytest.approx(3.0, rel=1e-3)
    assert gaussian_equivalent(9.0, 5) < 2.5
