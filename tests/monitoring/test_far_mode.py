"""Which series have a far mode, and which runs are the usual ones."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.changes import Change
from proctor.monitoring.trends.far_mode import usual_runs


def noise(n: int = 90) -> np.ndarray:
    return np.random.default_rng(5).normal(10, 1, n)


@pytest.mark.parametrize("by", [-300.0, 40.0])
def test_the_usual_runs_are_those_between_the_far_ones(by):
    """Every third run is far, on either side; the row beside it has no second mode."""
    moved = noise()
    moved[::3] += by
    (usual,) = usual_runs(np.array([noise(), moved])).items()
    assert usual[0] == 1
    assert usual[1].tolist() == [i for i in range(90) if i % 3]


def test_a_few_outliers_are_no_mode():
    values = noise()
    values[::9] += 300
    assert usual_runs(values[None]) == {}


def test_runs_that_stay_away_are_on_another_level():
    """A third of all runs in one piece, or in pieces of nine: those are shifts."""
    one, several = noise(), noise()
    one[60:] += 300
    several[np.arange(90) % 27 < 9] += 300
    assert usual_runs(np.array([one, several])) == {}


@pytest.mark.parametrize("rows", [np.zeros((2, 0)), np.zeros((1, 8)), np.full((1, 90), 3.0)])
def test_nothing_that_wavers_has_no_modes(rows):
    assert usual_runs(rows) == {}


def test_a_place_among_the_usual_runs_may_be_any_that_was_passed_by():
    """The shift shows at the first usual run; the far ones before it may be the first as well."""
    change = Change(index=2, low=2, high=3, before=1, after=2, effect=3, strength=9, p_value=0.0)
    moved = change.among(np.array([0, 1, 5, 6, 9]))
    assert (moved.index, moved.low, moved.high) == (5, 2, 6)
