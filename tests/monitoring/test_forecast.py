"""Forecasts: the experts, their weights, intervals, and the way to a limit."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.experts import DURATION, HOURLY_LOAD, opinions, weigh
from proctor.monitoring.trends.forecast import (
    expected_duration,
    expected_load,
    past_forecasts,
    steps_to,
)


@pytest.mark.parametrize(("experts", "ahead"), [(DURATION, 1), (HOURLY_LOAD, 1), (HOURLY_LOAD, 24)])
def test_nobody_knows_the_future(experts, ahead):
    """What was forecast for a place does not depend on anything after its time."""
    values = np.random.default_rng(1).gamma(2, size=600)
    changed = values.copy()
    changed[500:] = 1e6
    told, other = (past_forecasts(v, experts, ahead) for v in (values, changed))
    assert told[: 500 + ahead] == pytest.approx(other[: 500 + ahead], nan_ok=True)


def test_weights_go_to_who_was_right():
    """The weekly shape beats the last value where there is one, and shares sum to one."""
    hours = np.arange(168 * 8)
    values = 100 + 80 * np.sin(2 * np.pi * hours / 24) * (hours // 24 % 7 < 5)
    opinion = opinions(values, HOURLY_LOAD, 24)
    _, weights = weigh(opinion, values, 24, half_life=168)
    newest = dict(zip(HOURLY_LOAD, weights[:, -1], strict=True))
    assert sum(newest.values()) == pytest.approx(1)
    assert newest["hour of week"] + newest["hour of week, at level"] > 0.9


def test_a_steady_duration_is_forecast_with_a_narrow_interval():
    """And the interval holds about as many as it says."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(100):
        values = rng.normal(10, 0.5, 61)
        told = expected_duration(values[:-1])
        assert told is not None
        assert told.low <= told.value <= told.high
        held += told.low <= values[-1] <= told.high
    assert 80 <= held <= 99


def test_a_shift_is_followed_within_a_few_runs():
    """The old level is no forecast for the new one."""
    told = expected_duration(np.array([10.0] * 40 + [20.0] * 6))
    assert told is not None
    assert told.value == pytest.approx(20, abs=2)


def test_one_run_is_expected_again_with_room_to_be_wrong():
    """A new case has a first forecast."""
    told = expected_duration(np.array([4.0]))
    assert told is not None
    assert (told.value, told.low, told.high) == pytest.approx((4.0, 2.0, 8.0))


def test_no_history_has_no_forecast():
    """None is not zero."""
    assert expected_duration(np.array([])) is None
    assert expected_duration(np.array([np.nan, np.inf])) is None
    assert expected_load(np.array([]), 3) == ()


def test_values_that_are_no_numbers_are_passed_over():
    """The rest is forecast as if they were not there."""
    with_nan = expected_duration(np.array([5.0, np.nan, 5.0, np.inf, 5.0]))
    assert with_nan is not None
    assert with_nan.value == 5.0


def test_load_is_never_negative_and_told_for_each_hour():
    """Falling load ends at nothing."""
    told = expected_load(np.linspace(100, 0, 400), 24)
    assert [t.ahead for t in told] == list(range(1, 25))
    assert all(0 <= t.low <= t.value <= t.high for t in told)


def test_the_weighted_forecast_beats_the_last_value_on_noise_about_a_level():
    """And is hardly worse than the best expert."""
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(level, 1, 60) for level in (10, 14, 9, 12, 20)])
    told = dict(zip(DURATION, opinions(values, DURATION, 1)[:, :300], strict=True))
    errors = {name: np.nanmean(np.abs(said - values)[20:]) for name, said in told.items()}
    ours = np.nanmean(np.abs(past_forecasts(values, DURATION, 1) - values)[20:])
    assert ours < 0.9 * errors["last"]
    assert ours < 1.06 * min(errors.values())


def test_a_steady_rise_reaches_its_limit_when_the_line_does():
    """Expected, and soonest, which is not later."""
    values = np.arange(50.0) + np.random.default_rng(4).normal(0, 0.5, 50)
    told = steps_to(60.0, values)
    assert told is not None
    expected, soonest = told
    assert expected == pytest.approx(11, abs=1)
    assert soonest <= expected


def test_what_does_not_move_towards_a_limit_never_reaches_it():
    """Flat, falling, or too slow."""
    assert steps_to(60.0, np.full(50, 10.0)) is None
    assert steps_to(60.0, -np.arange(50.0)) is None
    assert steps_to(1e6, np.arange(50.0)) is None
    assert steps_to(60.0, np.array([1.0, 2.0])) is None
