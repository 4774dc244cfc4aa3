"""Predictions from runs: levels that outliers do not move, honest intervals, kin for the new."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.monitoring.prediction.kin import by_kin, tiers
from proctor.monitoring.prediction.levels import (
    arrange,
    campaign_speeds,
    expected_speeds,
    levels,
    middles,
    usual_spreads,
)
from proctor.monitoring.prediction.model import ENOUGH, Examples, Model
from proctor.monitoring.prediction.predictor import (
    Measured,
    Suite,
    foresee,
    last_value,
    median_of_all,
)


def suite(number: int) -> Suite:
    ids = [f"tests/test_{each % 5}.py::test_{each}" for each in range(number)]
    return Suite(
        case_ids=ids, groups=[each.partition("::")[0] for each in ids], marks=[()] * number
    )


def measured(seconds: np.ndarray) -> Measured:
    """A row a case, a column a campaign."""
    cases, campaigns = seconds.shape
    return Measured(
        case=np.tile(np.arange(cases), campaigns),
        campaign=np.repeat(np.arange(campaigns), cases),
        seconds=seconds.T.ravel(),
        cpu_seconds=seconds.T.ravel() * 0.9,
        peak_bytes=np.full(seconds.size, 1e8),
        moved_bytes=np.zeros(seconds.size),
    )


def noisy(cases: int, campaigns: int, *, noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = rng.normal(0, 1, (cases, 1))
    return np.exp(base + rng.normal(0, noise, (cases, campaigns)))


def seconds_of(table: np.ndarray, number: int = 0) -> tuple[float, float, float]:
    suite_here = suite(len(table))
    told = foresee(suite_here, measured(table)).cases[suite_here.case_ids[number]]
    return told.low_seconds, told.seconds, told.high_seconds


@pytest.mark.parametrize("runs", [1, 2, 3, 12, 20])
def test_a_steady_case_takes_what_it_took(runs: int) -> None:
    """From the first run on, and the interval holds it."""
    low, middle, high = seconds_of(np.full((4, runs), 2.0))
    assert middle == pytest.approx(2.0, rel=0.01)
    assert low < 2.0 < high


def test_one_stalled_run_does_not_move_a_prediction() -> None:
    """Ten times as long, once."""
    table = np.full((4, 5), 2.0)
    table[0, 3] = 20.0
    assert seconds_of(table)[1] == pytest.approx(2.0, rel=0.1)


def test_a_case_that_became_slower_is_believed() -> None:
    """After three runs at the new level, and not by the old one."""
    table = np.full((4, 8), 1.0)
    table[0, 4:] = 3.0
    assert seconds_of(table)[1] == pytest.approx(3.0, rel=0.25)


def test_a_slow_campaign_is_no_news_of_its_cases() -> None:
    """When all are half as slow again, the machine was: the next one is expected halfway back."""
    table = np.full((40, 4), 1.0) * np.linspace(0.5, 4, 40)[:, None]
    table[:, 3] *= 1.5
    _, middle, _ = seconds_of(table, 39)
    assert 4.0 < middle < 5.2
    runs = arrange(
        measured(table).case, measured(table).campaign, np.log(measured(table).seconds), cases=40
    )
    speeds = campaign_speeds(runs, campaigns=4)
    assert speeds[3] - speeds[0] == pytest.approx(np.log(1.5), rel=0.3)
    assert 0 < expected_speeds(speeds)[4] < speeds[3]


def test_workers_that_are_known_to_be_slow_are_allowed_for() -> None:
    """Seconds are those of a usual worker."""
    table = np.full((4, 3), 2.0)
    told = measured(table)
    slow = Measured(
        **{
            name: getattr(told, name)
            for name in ("case", "campaign", "cpu_seconds", "peak_bytes", "moved_bytes")
        },
        seconds=told.seconds * 2,
        slowness=np.full(len(told.seconds), 2.0),
    )
    assert foresee(suite(4), slow).cases == pytest.approx(foresee(suite(4), told).cases)


@pytest.mark.parametrize("cases", [60, 900])
def test_nine_of_ten_runs_lie_in_the_interval(cases: int) -> None:
    """Of those it has not seen, with few cases and with many."""
    inside: list[bool] = []
    for seed in range(3):
        table = noisy(cases, 5, noise=0.15, seed=seed)
        told = foresee(suite(cases), measured(table[:, :4])).cases
        for number, case_id in enumerate(suite(cases).case_ids):
            one = told[case_id]
            inside.append(one.low_seconds <= table[number, 4] <= one.high_seconds)
    assert 0.83 <= np.mean(inside) <= 0.98


def test_predictions_beat_the_last_value() -> None:
    """Where runs scatter, several of them know more than one."""
    table = noisy(900, 5, noise=0.2, seed=1)
    told = measured(table[:, :4])
    predicted = foresee(suite(900), told).cases
    mine = np.array([predicted[each].seconds for each in suite(900).case_ids])
    truth = table[:, 4]

    def missed(values: np.ndarray) -> float:
        return float(np.median(np.abs(values - truth) / truth))

    assert missed(mine) < 0.9 * missed(last_value(told, cases=900))
    assert missed(mine) < 1.05 * missed(median_of_all(told, cases=900))


def test_the_same_runs_give_the_same_predictions() -> None:
    """Nothing of it is left to chance."""
    table = noisy(700, 3, noise=0.2, seed=2)
    assert foresee(suite(700), measured(table)) == foresee(suite(700), measured(table))


def test_a_suite_that_never_ran_has_no_predictions() -> None:
    """Nor has one whose cases never passed."""
    nothing = measured(np.zeros((0, 0)))
    assert foresee(suite(0), nothing).cases == {}
    assert foresee(suite(3), nothing).kin == {}


def test_a_case_without_runs_has_no_prediction_of_its_own() -> None:
    """Its kin have."""
    told = foresee(suite(4), measured(np.full((3, 3), 2.0)))
    assert "tests/test_3.py::test_3" not in told.cases
    assert told.kin["tests"].seconds == pytest.approx(2.0, rel=0.01)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.floats(0, 1e6), min_size=3, max_size=3), min_size=1, max_size=12))
def test_whatever_was_measured_a_prediction_is_a_number(rows: list[list[float]]) -> None:
    """Zeros, hours, one case or several: finite, and within its interval."""
    told = foresee(suite(len(rows)), measured(np.array(rows)))
    assert len(told.cases) == len(rows)
    for one in (*told.cases.values(), *told.kin.values()):
        assert 0 <= one.low_seconds <= one.seconds <= one.high_seconds < float("inf")


def test_runs_are_arranged_with_the_newest_last() -> None:
    """Cases may miss campaigns; more runs than are kept push the oldest out."""
    case = np.array([0, 1, 0, *[1] * 20])
    runs = arrange(case, np.arange(23), np.arange(23.0), cases=3)
    assert runs.values[0, -2:].tolist() == [0.0, 2.0]
    assert runs.values[1].tolist() == [float(each) for each in range(11, 23)]
    assert runs.present.sum(axis=1).tolist() == [2, 12, 0]
    known = levels(runs, np.zeros(23), usual_spreads(runs, np.zeros(23)), before=0)
    assert known.runs.tolist() == [2, 7, 0]
    assert np.isnan(known.level[2])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.floats(-10, 10) | st.none(), min_size=4, max_size=4), min_size=1))
def test_middles_are_medians(rows: list[list[float | None]]) -> None:
    """As NumPy has them, for rows with holes."""
    values = np.array([[np.nan if each is None else each for each in row] for row in rows])
    found = middles(values)
    for row, middle in zip(values, found, strict=True):
        known = row[~np.isnan(row)]
        assert np.isnan(middle) if not len(known) else middle == pytest.approx(np.median(known))


def test_kin_lean_on_what_they_belong_to() -> None:
    """One case says little of its function; twenty say what they say."""
    ids = [
        *(f"t/a.py::many[{each}]" for each in range(20)),
        *(f"t/b.py::few[{each}]" for each in (0, 1)),
    ]
    levels_here = np.array([0.0] * 20 + [4.0] * 2)
    kin = {
        name: (each.low[row], each.level[row], each.high[row], each.cases[row])
        for each in by_kin(tiers(ids, [each.partition("::")[0] for each in ids]), levels_here)
        for row, name in enumerate(each.tier.names)
    }
    assert kin["t/a.py::many"][1] == pytest.approx(0.0, abs=0.1)
    assert 2.0 < kin["t/b.py::few"][1] < 4.0
    assert kin[""][3] == kin["t"][3] == 22
    assert all(low <= level <= high for low, level, high, _ in kin.values())


def test_what_a_model_learned_is_followed_only_where_it_helps() -> None:
    """Noise teaches nothing; a feature that tells the next run does."""
    rng = np.random.default_rng(0)
    number = 3 * ENOUGH
    feature = rng.normal(size=(number, 1))
    aside = np.arange(number) % 3 == 0
    stratum = np.ones(number, dtype=bool)
    noise = rng.normal(size=number)

    def model(apart: np.ndarray) -> Model:
        return Model(Examples(features=feature, apart=apart, stratum=stratum, aside=aside))

    assert model(2 * feature[:, 0] + 0.1 * noise).weight[True] == 1.0
    told = model(noise)
    assert told.weight[True] < 1.0
    others = rng.normal(size=(number, 1))
    quantiles, fresh = told.predict(others, stratum), rng.normal(size=number)
    inside = np.mean((quantiles.low <= fresh) & (fresh <= quantiles.high))
    assert inside == pytest.approx(0.9, abs=0.05)
