"""Change points: where, how far, how surely; and silence where nothing changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.monitoring.trends.changes import (
    SURE,
    describe,
    find_all_changes,
    find_changes,
    find_ranged_changes,
)
from proctor.monitoring.trends.thresholds import false_alarm_chance, threshold


def noisy(seed: int, n: int = 120, *, at: int | None = None, by: float = 0.0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(100, 1, n)
    if at is not None:
        values[at:] += by
    return values


def test_a_clean_step_is_found_exactly():
    """The index is the first point of the new level, and the sizes are told."""
    (change,) = find_changes(noisy(1, at=70, by=8.0))
    assert change.index == 70
    assert change.low <= 70 <= change.high
    assert change.before == pytest.approx(100, abs=0.5)
    assert change.after == pytest.approx(108, abs=0.5)
    assert change.relative == pytest.approx(0.08, abs=0.01)
    assert change.effect == pytest.approx(8, rel=0.3)
    assert change.probability > 0.999


def test_a_step_without_any_noise_is_found():
    """Counts of instructions do not waver."""
    (change,) = find_changes([5.0] * 30 + [6.0] * 30)
    assert (change.index, change.before, change.after) == (30, 5.0, 6.0)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [3.0] * 100, [0.0] * 50])
def test_nothing_is_found_where_there_is_nothing(values):
    """Empty, short and constant series have no shifts, and raise nothing."""
    assert find_changes(values) == ()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_scale_and_origin_do_not_matter(seed, factor, offset):
    """Milliseconds show the same shifts as seconds."""
    values = noisy(seed, at=60, by=4.0) - 100
    found = [c.index for c in find_changes(values)]
    assert [c.index for c in find_changes(values * factor + offset * factor)] == found


@pytest.mark.parametrize("factor", [1e-310, 1e-300, 1e-162, 1e-120, 1e120, 1e200])
@pytest.mark.parametrize("count", [1, 8])
def test_values_whose_squares_are_no_numbers_are_judged_as_all_others(factor, count):
    """p-values, residuals: one such series ended the look at all of them."""
    rng = np.random.default_rng(11)
    plain = np.concatenate((rng.normal(1, 0.1, 40), rng.normal(2, 0.1, 40)))
    ((usual,),) = find_all_changes([plain])
    for found in find_all_changes([plain * factor] * count):
        (change,) = found
        assert (change.index, change.low, change.high) == (usual.index, usual.low, usual.high)
        assert change.relative == pytest.approx(usual.relative, rel=1e-3)
        assert change.after == pytest.approx(usual.after * factor, rel=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_upside_down_is_the_same(seed):
    """Improvements are found as surely as regressions."""
    values = noisy(seed, at=50, by=3.0)
    assert [c.index for c in find_changes(-values)] == [c.index for c in find_changes(values)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e12, 1e12, allow_nan=False) | st.integers(-3, 3).map(float), max_size=80)
)
def test_any_finite_values_give_ordered_shifts_inside(values):
    """Whatever is recorded, the answer is well-formed."""
    found = find_changes(values)
    places = [c.index for c in found]
    assert places == sorted(set(places))
    assert all(0 < c.low <= c.index <= c.high < len(values) for c in found)
    assert all(0 <= c.p_value <= 1 for c in found)


def test_an_excursion_of_two_runs_is_no_shift():
    """Bad runs are anomalies."""
    values = noisy(3)
    values[60:62] += 20
    assert find_changes(values) == ()


def test_two_shifts_that_undo_each_other_are_both_found():
    """A regression and its fix."""
    values = noisy(4, 150)
    values[50:100] += 6
    assert [c.index for c in find_changes(values)] == [50, 100]


def test_a_slow_creep_is_no_shift():
    """It is a trend, and said elsewhere."""
    values = noisy(5, 200) + np.linspace(0, 5, 200)
    assert find_changes(values) == ()


def test_a_season_is_taken_off_and_the_shift_in_it_found():
    """Nightly load comes round; the step beside it does not."""
    wave = 2 * np.sin(2 * np.pi * np.arange(240) / 24)
    assert find_changes(noisy(6, 240) + wave) == ()
    told = find_changes(noisy(6, 240, at=130, by=5.0) + wave)
    assert [abs(c.index - 130) <= 1 for c in told] == [True]


def falsely_found(seed: int, count: int, phi: float) -> float:
    """Shifts per 1,000 points in noise that remembers."""
    rng, found = np.random.default_rng(seed), 0
    for _ in range(count):
        values = np.zeros(200)
        for i, step in enumerate(rng.normal(size=200)):
            values[i] = (phi * values[i - 1] if i else 0.0) + step
        found += len(find_changes(values))
    return 1000 * found / (200 * count)


@pytest.mark.parametrize("phi", [0.0, 0.4])
def test_quiet_series_stay_quiet(phi):
    """Noise with or without memory shifts less than once in some thousand points."""
    assert falsely_found(7, 60, phi) <= 0.25


def test_shifts_of_three_sigma_are_found_nearly_always():
    """In skewed noise as in any other: ranks do not mind."""
    rng, right, within = np.random.default_rng(8), 0, 0
    for _ in range(40):
        values = np.exp(0.6 * rng.normal(size=150))
        values[90:] += 3 * 0.82
        found = [c.index for c in find_changes(values)]
        right += len(found) == 1
        within += any(abs(i - 90) <= 1 for i in found)
    assert right >= 36
    assert within >= 36


def test_noise_that_wanders_is_described_with_its_memory():
    """What is said to be dependent counts for less."""
    rng = np.random.default_rng(9)
    slow = np.repeat(rng.normal(size=40), 6) + 0.5 * rng.normal(size=240)
    assert describe(slow).memory > 2


def test_thresholds_and_chances_are_each_others_inverse():
    """A limit for one alarm in 1,000 points lets through just that chance."""
    for n in (24, 100, 1000):
        assert false_alarm_chance(threshold(n, 0.1), n) == pytest.approx(0.1 * n / 1000)
    assert threshold(1000, 0.01) > threshold(100, 0.01)


def a_mixture(seed: int, lengths: list[int]) -> list[np.ndarray]:
    """Quiet, moving, creeping, seasonal, coarse and constant series."""
    rng = np.random.default_rng(seed)
    out = list[np.ndarray]()
    for i, n in enumerate(lengths):
        time, values = np.arange(n), rng.normal(size=n)
        if i % 7 in {1, 3, 5}:
            values += 4.0 * (time >= n // 3) - 7.0 * (time >= 2 * n // 3)
        if i % 7 == 2:
            values += 6 * time / max(n, 1)
        if i % 7 == 3:
            values += 3 * np.sin(time / 2)
        if i % 7 == 4:
            values = np.round(values) + 2 * (time >= n // 2)
        out.append(np.full(n, 3.0) if i % 7 == 6 else values)
    return out


@pytest.mark.parametrize("lengths", [[100] * 40, [0, 3, 8, 12, 40, 40, 100, 350, 900] * 3])
def test_many_series_together_are_judged_as_each_alone(lengths):
    """Whatever lies beside a series, its shifts are its own."""
    series = a_mixture(10, lengths)
    together = find_all_changes(series)
    assert sum(map(len, together)) >= 10
    for values, found in zip(series, together, strict=True):
        alone = find_changes(values)
        assert [(c.index, c.low, c.high) for c in found] == [
            (c.index, c.low, c.high) for c in alone
        ]
        assert [c.strength for c in found] == pytest.approx([c.strength for c in alone])
        assert [c.before for c in found] == pytest.approx([c.before for c in alone])


def test_a_clean_step_down_is_a_step_down():
    """Without any noise its effect has no size, and a direction all the same."""
    (down,) = find_changes(np.repeat([6.0, 5.0], 20))
    (up,) = find_changes(np.repeat([5.0, 6.0], 20))
    assert (down.effect, up.effect) == (-np.inf, np.inf)


def test_a_large_shift_of_a_short_history_is_found():
    """A new project's first regression, ten times its noise: steps across it are no memory."""
    found = 0
    for seed in range(40):
        values = 1 + 0.03 * np.random.default_rng(seed).normal(size=34)
        values[14:] *= 1.3
        found += [change.index for change in find_changes(values)] == [14]
    assert found >= 36


def test_a_shift_between_odd_runs_of_a_short_history_is_found():
    """Milliseconds of a case that became a third faster on a machine that was busy three times."""
    before = [139, 140, 136, 139, 163, 139, 143, 142, 149, 134, 143, 135, 140, 138, 137, 140]
    after = [99, 94, 99, 94, 101, 97, 119, 134, 109, 94, 102, 96, 95, 105, 98, 99]
    assert [change.index for change in find_changes([*before, *after])] == [16]


def test_a_shift_and_its_mend_in_a_short_history_are_found():
    """Seventeen slow runs between two levels that are alike; milliseconds of a real case."""
    before = [52, 51, 46, 47, 51, 46, 46, 46, 46, 46, 49, 46, 50]
    slow = [62, 64, 59, 62, 59, 62, 59, 75, 66, 76, 62, 64, 61, 60, 60, 59, 69]
    mended = [48, 46, 46, 47, 45, 45, 49, 48, 51]
    assert [change.index for change in find_changes([*before, *slow, *mended])] == [13, 30]


def test_a_short_history_without_a_shift_has_none():
    """One false one in 6,800 points at most."""
    calm = [np.random.default_rng(seed).normal(size=34) for seed in range(200)]
    assert sum(map(len, find_all_changes(calm))) <= 1


def throttled(seed: int, n: int = 200) -> np.ndarray:
    """A disk that in every third run does far less than it can."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5000, 1, n)
    away = rng.random(n) < 0.33
    values[away] -= 200 + 800 * rng.random(np.count_nonzero(away))
    return values


def test_a_shift_of_the_usual_mode_is_found_beside_a_far_one():
    """Levels, size and range are those of the usual runs; the far ones it does not touch."""
    found = more = 0
    for seed in range(20):
        values = throttled(seed)
        values[90:] += 4.0
        changes = find_changes(values)
        here = [c for c in changes if c.low <= 90 <= c.high and abs(c.index - 90) <= 3]
        found += len(here)
        more += len(changes) - len(here)
        for change in here:
            assert change.before == pytest.approx(5000, abs=0.6)
            assert change.after == pytest.approx(5004, abs=0.6)
            assert change.effect == pytest.approx(4, rel=0.4)
    assert found >= 18
    assert more <= 1


def test_a_shift_without_a_place_is_told_only_where_its_range_is():
    """Nearly all that are told lie at the shift or beside it; the others are there for who asks."""
    rng = np.random.default_rng(11)
    placed = near = 0
    for _ in range(60):
        values = rng.normal(size=120)
        values[60:] += 1.7
        told = find_changes(values)
        assert {c.index for c in told} <= {c.index for c in find_changes(values, sure=0.0)}
        placed += len(told)
        near += sum(abs(c.index - 60) <= 1 for c in told)
        assert all(c.chances and c.chances.near(c.index) >= SURE for c in told)
    every = find_ranged_changes([np.repeat([0.0, 1.0], 60)])
    assert [c.index for c in every[0]] == [60]
    assert placed >= 30
    assert near >= 0.8 * placed


def test_a_far_mode_alone_is_no_shift():
    """Nor is a change of all the runs told twice, or lost."""
    series = [throttled(seed) for seed in range(40)]
    assert sum(map(len, find_all_changes(series))) <= 1
    for values in series[:10]:
        values[120:] += 5000
        (change,) = find_changes(values)
        assert change.index == 120


def test_shifts_that_are_missed_do_not_take_others_with_them():
    """What they leave looks like a long memory, to which all shifts would fall."""
    silent = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        # Quick noise with a little memory, on levels of eight runs each.
        values = rng.normal(size=360)
        for i in range(1, len(values)):
            values[i] += 0.3 * values[i - 1]
        values += 0.8 * rng.normal(size=45).repeat(8)
        for place in (20, 34, 75, 100, 150, 170, 250, 320):
            values[place:] += rng.choice([-1, 1]) * np.exp(rng.uniform(*np.log((1.5, 6.0))))
        silent += not find_changes(values)
    assert silent <= 4
