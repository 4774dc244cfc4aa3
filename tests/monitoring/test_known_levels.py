"""New runs are told to lie at one of two known levels, or at neither, and seldom wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.known_levels import Levels, Side, side_of_levels

MOST = 15


def history(chance, *, shift: float, noise: float, before: int = 20, after: int = 4) -> Levels:
    """As campaigns of different days measured it."""
    return Levels(before=chance.normal(0, noise, before), after=chance.normal(shift, noise, after))


def run_until_clear(chance, known: Levels, *, at: float, noise: float, common: float) -> Side:
    """Runs of one hour: a share of the variance is common to all of them."""
    here = at + chance.normal(0, noise * common**0.5)
    runs: list[float] = []
    for _ in range(MOST):
        runs.append(here + chance.normal(0, noise * (1 - common) ** 0.5))
        side = side_of_levels(runs, known).side
        if side is not Side.OPEN:
            return side
    return Side.OPEN


def shares(*, at: float, shift: float = 0.1, noise: float = 0.03, common: float = 0.0, after=4):
    """How often each answer was given, in 400 made-up suspicions."""
    chance = np.random.default_rng(17)
    told = [
        run_until_clear(
            chance,
            history(chance, shift=shift, noise=noise, after=after),
            at=at,
            noise=noise,
            common=common,
        )
        for _ in range(400)
    ]
    return {side: told.count(side) / len(told) for side in Side}


@pytest.mark.parametrize("common", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("noise", [0.02, 0.04])
def test_seldom_wrong_also_where_runs_of_one_hour_have_much_in_common(common, noise):
    """A tenth more: at most three in a hundred are wrong on either side."""
    for at, wrong in ((0.0, Side.AFTER), (0.1, Side.BEFORE)):
        assert shares(at=at, noise=noise, common=common)[wrong] <= 0.03


def test_a_clear_shift_is_decided_within_few_runs():
    """A tenth more at 2 % of noise."""
    assert shares(at=0.1, noise=0.02)[Side.AFTER] >= 0.95
    assert shares(at=0.0, noise=0.02)[Side.BEFORE] >= 0.95


def test_a_shift_smaller_than_the_noise_is_not_decided_by_force():
    """Nobody can tell: most stay open, and few are wrong."""
    told = shares(at=0.0, shift=0.01, noise=0.05)
    assert told[Side.OPEN] >= 0.8
    assert told[Side.AFTER] <= 0.03


def test_runs_far_from_both_levels_belong_to_neither():
    """Twice as slow where a tenth was suspected: another machine, or caches that are cold."""
    assert shares(at=0.7)[Side.NEITHER] >= 0.98


def test_one_odd_run_decides_nothing():
    """Among runs as before."""
    known = Levels(before=np.linspace(-0.03, 0.03, 20), after=0.1 + np.linspace(-0.02, 0.02, 4))
    assert side_of_levels([0.0, 0.01, -0.01, 0.0, 0.9, 0.01], known).side is not Side.AFTER


def test_levels_without_any_noise_are_no_division_by_zero():
    """Values that a coarse clock made equal."""
    known = Levels(before=np.zeros(8), after=np.full(3, 0.2))
    assert side_of_levels([0.2] * 4, known).side is Side.AFTER
    assert side_of_levels([0.0] * 4, known).side is Side.BEFORE


def test_a_single_point_after_the_shift_still_decides_when_it_is_large():
    """The newest value alone was odd, and the runs agree with it, or with those before."""
    known = Levels(before=np.linspace(-0.03, 0.03, 20), after=np.array([0.5]))
    assert side_of_levels([0.49, 0.51, 0.5, 0.5, 0.5], known).side is Side.AFTER
    assert side_of_levels([0.01, -0.01, 0.0, 0.01, 0.0], known).side is Side.BEFORE


def test_an_improvement_is_a_shift_as_well():
    """The sign of the step does not matter."""
    assert shares(at=-0.1, shift=-0.1, noise=0.02)[Side.AFTER] >= 0.95
