"""The newest shift: suspected after four points, confirmed by those behind it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from proctor.monitoring.trends.online import Watch, confirmed_shift, newest_shift


def noisy(seed: int, n: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 2, n)


def test_a_jump_is_suspected_with_its_fourth_point():
    """Not before: three bad runs may be a burst."""
    watch = Watch(noisy(1))
    told = [watch.append(v) for v in (120.0, 121.0, 119.0, 120.0)]
    assert told[:3] == [None, None, None]
    assert told[3] is not None
    assert told[3].index == 100
    assert told[3].before == pytest.approx(100, abs=1)
    assert told[3].after == pytest.approx(120, abs=1)


def test_a_suspected_shift_is_told_once():
    """It starts a new level."""
    watch = Watch(noisy(1))
    told = [watch.append(120.0 + v) for v in noisy(2, 30) - 100]
    assert sum(t is not None for t in told) == 1


def test_single_bad_runs_are_no_shift():
    """However bad."""
    values = noisy(3, 60)
    values[[20, 33, 47]] = 1e4
    watch = Watch()
    assert [t for t in map(watch.append, values) if t] == []


def test_values_that_are_no_numbers_are_no_points():
    """They neither tell nor count."""
    watch = Watch(noisy(1))
    assert watch.append(math.nan) is None
    assert watch.append(math.inf) is None
    told = [watch.append(v) for v in (120.0, 121.0, 119.0, 120.0)]
    assert told[3] is not None
    assert told[3].index == 100


def test_watching_point_by_point_is_asking_after_each():
    """The incremental answer is the whole one."""
    values = noisy(4, 80)
    values[60:] += 15
    watch = Watch()
    first = next(i for i, v in enumerate(values) if watch.append(v) is not None)
    assert first == next(i for i in range(80) if newest_shift(values[: i + 1]) is not None)


@pytest.mark.parametrize("values", [[], [1.0], [5.0] * 60])
def test_too_little_or_constant_says_nothing(values):
    """No judgement without a yardstick, and none where nothing differs."""
    given = np.array(values)
    assert newest_shift(given) is None
    assert confirmed_shift(given) is None


def test_a_level_without_noise_still_shifts():
    """Whatever differs, differs."""
    found = newest_shift(np.array([5.0] * 40 + [6.0] * 4))
    assert found is not None
    assert (found.index, found.before, found.after) == (40, 5.0, 6.0)


def test_a_shift_is_confirmed_by_the_points_behind_it():
    """With its place and both levels."""
    values = noisy(5, 110)
    values[100:] += 12
    assert confirmed_shift(values[:103]) is None
    found = confirmed_shift(values)
    assert found is not None
    assert abs(found.index - 100) <= 1
    assert found.low <= 100 <= found.high
    assert found.after - found.before == pytest.approx(12, abs=2)


def test_what_was_told_is_not_told_again():
    """`since` is where the present level began."""
    values = noisy(6, 130)
    values[100:] += 12
    assert confirmed_shift(values, since=100) is None


def test_scale_and_origin_do_not_matter():
    """Units do not."""
    values = noisy(7, 104)
    values[100:] += 15
    one, other = newest_shift(values), newest_shift((values - 100) * 1e-6)
    assert one is not None
    assert other is not None
    assert one.strength == pytest.approx(other.strength)


def test_ten_percent_is_confirmed_within_ten_runs_and_calm_stays_calm():
    """At noise of 3 to 4 %: nearly always, and next to never for nothing."""
    rng, told, false = np.random.default_rng(8), 0, 0
    for _ in range(60):
        values = 1 + float(rng.uniform(0.03, 0.04)) * rng.normal(size=130)
        false += any(confirmed_shift(values[:k]) is not None for k in range(40, 121, 5))
        values[120:] *= 1.1
        told += any(confirmed_shift(values[: 120 + k]) is not None for k in (5, 7, 10))
    assert told >= 56
    assert false <= 1
