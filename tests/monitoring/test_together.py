"""What is asked of many candidates at once is what one after the other would give."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from proctor.monitoring.trends.evidence import strengths
from proctor.monitoring.trends.location import relocate
from proctor.monitoring.trends.pruning import prune
from proctor.monitoring.trends.scan import candidates
from proctor.monitoring.trends.segments import Ranked, residual_rows
from proctor.monitoring.trends.stairs import SLOPE_PRICE, shifts_beside_slope

POINTS = 400


def wandering(seed: int, rows: int = 4) -> np.ndarray:
    """Noise that remembers, with steps in it: weak candidates side by side."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(rows, POINTS))
    slow = np.cumsum(steps, axis=1) * 0.25
    slow[:, 150:] += 6
    return slow + rng.normal(size=(rows, POINTS))


def dropped_one_by_one(values: np.ndarray, cuts: list[int], threshold: float) -> list[int]:
    kept = list(cuts)
    while kept:
        found = strengths(values, kept, 1.0)
        weakest = min(range(len(kept)), key=found.__getitem__)
        if found[weakest] >= threshold:
            break
        del kept[weakest]
    return kept


@pytest.mark.parametrize("seed", range(6))
def test_candidates_are_dropped_as_if_weakest_first(seed):
    """Though what follows is guessed and asked for ahead, a guess decides nothing."""
    table = wandering(seed)
    cuts = [*range(20, POINTS - 10, 17)]
    everywhere = [row * POINTS + at for row in range(len(table)) for at in cuts]
    expected = [
        row * POINTS + at
        for row, values in enumerate(table)
        for at in dropped_one_by_one(values, cuts, 4.0)
    ]
    assert 0 < len(expected) < len(everywhere)
    assert prune(table, everywhere, threshold=4.0, memory=1.0) == expected


@pytest.mark.parametrize("seed", range(6))
def test_shifts_are_moved_as_if_from_left_to_right(seed):
    """Each between its left neighbour's new place and its right neighbour's old one."""
    table = wandering(seed)
    cuts = [*range(30, POINTS - 20, 37)]
    expected = list[int]()
    for row, values in enumerate(table):
        bounds = [0, *cuts, POINTS]
        for k in range(1, len(bounds) - 1):
            a, at, b = bounds[k - 1 : k + 2]
            (best,) = relocate(values[a:b], [at - a], 1)
            bounds[k] = a + best
        expected += [row * POINTS + at for at in bounds[1:-1]]
    everywhere = [row * POINTS + at for row in range(len(table)) for at in cuts]
    assert relocate(table, everywhere, 1) == expected


def worth_one_by_one(values: np.ndarray, cuts: list[int], price: float) -> list[int]:
    """By least squares with a common slope, trying each step in turn."""
    time = np.arange(float(len(values)))

    def left(kept: list[int], slope: bool) -> float:
        columns = [(time >= a) & (time < b) for a, b in pairwise([0, *kept, POINTS])]
        shape = np.array([*columns, *([time] if slope else [])], float).T
        fit = np.linalg.lstsq(shape, values, rcond=None)[0]
        return float(((values - shape @ fit) ** 2).sum())

    kept, stages = list(cuts), [(POINTS * math.log(left(cuts, False)) + price * len(cuts), cuts)]
    while kept:
        tried = [[at for at in kept if at != gone] for gone in kept]
        kept = min(tried, key=lambda cuts: left(cuts, True))
        cost = POINTS * math.log(left(kept, True)) + price * len(kept) + SLOPE_PRICE
        stages.append((cost, kept))
    return min(stages, key=lambda stage: stage[0])[1]


def test_steps_beside_a_slope_are_those_of_least_squares():
    """A creep takes the staircase over; a step that is one stays; rows of any number of steps."""
    rng = np.random.default_rng(5)
    noise = rng.uniform(-1, 1, size=(3, POINTS))
    creep = np.linspace(0, 8, POINTS)
    table = noise + np.array([creep, np.zeros(POINTS), -creep])
    table[:, 200:] += 4
    cuts = [[60, 130, 200, 270, 340], [200], [120, 200, 300]]
    flat = [row * POINTS + at for row, mine in enumerate(cuts) for at in mine]
    # No value is far enough from its level to be held.
    found = shifts_beside_slope(table, flat, residual_rows(table, flat), 14.0)
    expected = [
        row * POINTS + at
        for row, mine in enumerate(cuts)
        for at in worth_one_by_one(table[row], mine, 14.0)
    ]
    assert found == expected
    assert found == [200, POINTS + 200, 2 * POINTS + 200]


@pytest.mark.parametrize("threshold", [3.0, 4.0, 5.0])
def test_candidates_of_many_rows_are_those_of_each(threshold):
    """By all lengths at once, by one length after the other, with half the bytes or not."""
    table = np.repeat(wandering(3, rows=12), 2, axis=0)
    together = candidates(table, threshold)
    alone = [
        row * POINTS + at for row, one in enumerate(table) for at in candidates(one, threshold)
    ]
    assert together == alone


def test_long_series_need_more_bits():
    """Rank and place of a value share a number; beyond 32,768 points it is a longer one."""
    for n in (1 << 15, (1 << 15) + 1):
        values = np.random.default_rng(n).normal(size=n)
        values[n // 2 :] += 2
        found = candidates(values, 4.5, Ranked(values))
        assert any(abs(at - n // 2) <= 3 for at in found)
