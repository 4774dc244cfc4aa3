"""What the newest points hint at: soon and often, for runs to decide."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.screening import NEWEST, suspicion


def noisy(seed: int, n: int, spread: float = 4.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, spread, n)


def test_a_shift_of_two_deviations_is_suspected_within_ten_runs():
    """Nearly always, with a range that holds its place."""
    seen = inside = 0
    for seed in range(60):
        values = noisy(seed, 70)
        values[60:] += 10
        found = next(filter(None, (suspicion(values[:n]) for n in range(61, 71))), None)
        seen += found is not None
        inside += found is not None and found.low <= 60 <= found.high
    assert seen >= 58
    assert inside >= 0.95 * seen


def test_a_large_shift_is_suspected_with_its_third_point():
    """Two bad runs may be anything."""
    values = noisy(1, 63)
    values[60:] += 40
    assert suspicion(values[:62]) is None
    found = suspicion(values)
    assert found is not None
    assert (found.index, found.high) == (60, 62)
    assert found.relative == pytest.approx(0.4, abs=0.05)


def test_noise_is_suspected_less_than_once_in_two_hundred_runs():
    """Each suspicion costs a dozen runs."""
    assert (
        sum(suspicion(noisy(seed, n)) is not None for seed in range(5) for n in range(20, 300)) < 7
    )


def test_what_got_faster_is_no_reason_to_run_again():
    """Nobody is alerted of it."""
    values = noisy(2, 70)
    values[60:] -= 30
    assert suspicion(values) is None


def test_points_that_were_looked_at_are_not_suspected_again():
    """Only what came later can be a shift; with enough of it, it is one."""
    values = noisy(3, 72)
    values[62:] += 20
    assert suspicion(values) is not None
    assert suspicion(values, since=70) is None
    found = suspicion(values, since=66)
    assert found is not None
    assert found.low >= 66


@pytest.mark.parametrize("values", [[], [1.0], [5.0] * 60, [1.0] * 12 + [9.0] * 5])
def test_too_little_or_constant_hints_at_nothing(values):
    """No judgement without something to compare with."""
    assert suspicion(np.array(values)) is None


def test_a_level_without_noise_still_shifts():
    """Whatever differs, differs."""
    found = suspicion(np.array([5.0] * 40 + [6.0] * 3))
    assert found is not None
    assert (found.before, found.after) == (5.0, 6.0)


def test_a_shift_older_than_the_newest_points_is_no_hint():
    """The history's own tests are for that."""
    values = noisy(4, 200)
    values[60:] += 30
    assert suspicion(values) is None
    assert NEWEST < 20
