"""Tests that look after every run are seldom wrong, and stop early where it is clear."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.sequential import Answer, compare, side_of


def decide(chance: np.random.Generator, shift: float, noise: float, most: int = 15):
    first, second = [], []
    for number in range(most):
        first.append(float(np.exp(chance.normal(0, noise))))
        second.append(float(np.exp(chance.normal(shift, noise))))
        told = compare(first, second, suspected=0.1, last=number == most - 1)
        if told.answer is not Answer.OPEN:
            return told.answer, number + 1
    return Answer.OPEN, most


def test_equal_levels_are_seldom_called_worse():
    """Four hundred comparisons with looks after every pair, at two noises."""
    chance = np.random.default_rng(1)
    wrong = sum(
        decide(chance, 0.0, noise)[0] is Answer.WORSE for noise in (0.03, 0.1) for _ in range(200)
    )
    assert wrong <= 12


def test_a_tenth_more_is_found_within_few_runs():
    """Noise of 3 %: nearly always, and with six runs of each at the median."""
    chance = np.random.default_rng(2)
    told = [decide(chance, np.log(1.1), 0.03) for _ in range(200)]
    assert sum(answer is Answer.WORSE for answer, _ in told) >= 195
    assert np.median([runs for _, runs in told]) <= 6


def test_equal_levels_end_as_the_same():
    """Without noise to speak of there is nothing to wait for."""
    told = compare([1.0, 1.001, 0.999, 1.0, 1.0], [1.0, 1.0, 1.001, 0.999, 1.0], suspected=0.1)
    assert told.answer is Answer.SAME


@pytest.mark.parametrize(("level", "expected"), [(1.0, Answer.SAME), (1.1, Answer.WORSE)])
def test_the_side_of_a_commit_is_told(level, expected):
    """Between two known levels that differ by three times the noise."""
    chance = np.random.default_rng(3)
    good = np.exp(chance.normal(0, 0.03, 8)).tolist()
    bad = np.exp(chance.normal(np.log(1.1), 0.03, 8)).tolist()
    wrong = 0
    for _ in range(300):
        values: list[float] = []
        answer = Answer.OPEN
        while answer is Answer.OPEN:
            values.append(float(level * np.exp(chance.normal(0, 0.03))))
            answer = side_of(values, good, bad, last=len(values) == 15)
        wrong += answer is not expected
    assert wrong <= 2


def test_one_outlier_decides_nothing():
    """A run that was held up once."""
    assert side_of([9.0], [1.0, 1.01, 0.99, 1.0], [1.1, 1.11, 1.09, 1.1]) is Answer.OPEN
