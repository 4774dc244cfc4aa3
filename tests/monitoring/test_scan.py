"""Candidates, their places and their evidence: the parts that find_changes is made of."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.background import Background, take_off, waves_in, waves_in_steps
from proctor.monitoring.trends.changes import describe
from proctor.monitoring.trends.evidence import (
    held_residuals,
    lasting_memories,
    memory_factor,
    strengths,
)
from proctor.monitoring.trends.location import _worthiest, places, relocate
from proctor.monitoring.trends.pruning import prune, without_bursts, without_slopes
from proctor.monitoring.trends.scan import candidates


def noise(seed: int, n: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def remembering(seed: int, phi: float, n: int = 400) -> np.ndarray:
    values = noise(seed, n)
    for i in range(1, n):
        values[i] += phi * values[i - 1]
    return values


@pytest.mark.parametrize("n", [120, 600])
def test_each_step_of_a_stair_is_a_candidate(n):
    """By the flat table of short series and by the lengths of long ones."""
    values = 0.5 * noise(1, n) + 6 * (np.arange(n) // (n // 3))
    found = candidates(values, 4.0)
    for step in (n // 3, 2 * n // 3):
        assert any(abs(at - step) <= 1 for at in found)


def test_a_small_step_between_far_levels_shows_in_the_second_look():
    """Where the ranks are those of the segment."""
    values = noise(2, 180)
    values[60:] += 100
    values[120:] += 3
    assert any(abs(at - 120) <= 2 for at in candidates(values, 4.0))


@pytest.mark.parametrize("n", [0, 1, 7])
def test_too_few_points_have_no_candidates(n):
    """Two levels of four points are the least."""
    assert candidates(np.arange(float(n)), 3.0) == []


def test_a_shift_is_moved_to_where_the_values_say():
    """From a guess some points off, both to the left and to the right."""
    values = noise(3)
    values[100:] += 8
    assert relocate(values, [93]) == [100]
    assert relocate(values, [106]) == [100]


def test_the_place_of_a_small_shift_is_told_less_exactly():
    """The range holds it, and is the wider the smaller the shift and the longer the memory."""
    small, large = noise(4), noise(4)
    small[100:] += 1.5
    large[100:] += 8
    (wide,), (narrow,) = (places(v, relocate(v, [100]), memory=1.0) for v in (small, large))
    (wider,) = places(small, relocate(small, [100]), memory=4.0)
    assert narrow.low <= 100 <= narrow.high
    assert narrow.high - narrow.low < wide.high - wide.low <= wider.high - wider.low


def test_ranges_hold_the_shift_as_often_as_they_say():
    """About 95 in 100."""
    held = 0
    for seed in range(200):
        values = noise(seed, 80)
        values[40:] += 2.0
        (place,) = places(values, relocate(values, [40]), memory=1.0)
        held += place.low <= 40 <= place.high
    assert held >= 180


def test_memory_is_seen_in_noise_that_has_it():
    """AR(1) noise with 0.6 carries a quarter of the evidence; white noise carries all."""
    white = np.mean([memory_factor(noise(seed, 400)) for seed in range(10)])
    brown = np.mean([memory_factor(remembering(seed, 0.6)) for seed in range(10)])
    assert white < 1.2
    assert 2.5 < brown < 6


def test_shifts_are_not_taken_for_memory():
    """Which would hide them."""
    values = noise(5)
    values[100:] += 10
    assert memory_factor(values) < 1.4
    assert lasting_memories(values[None], (100,))[0] < 1.6


def test_slow_wander_beneath_quick_noise_is_memory_that_lasts():
    """Steps from point to point hardly show it."""
    slow = np.repeat(noise(6, 40), 10)
    values = 1.5 * noise(7, 400) + slow
    assert lasting_memories(values[None], ())[0] > max(2.0, memory_factor(values))


def test_pruning_keeps_what_convinces():
    """And drops the rest, weakest first."""
    values = noise(8)
    values[100:] += 5
    assert prune(values, [50, 100, 150], threshold=4.0, memory=1.0) == [100]
    assert prune(values, [100], threshold=4.0, memory=1e4) == []
    assert strengths(values, [100], 1.0)[0] > strengths(values, [100], 3.0)[0] > 0


def test_a_line_is_no_step_and_a_burst_no_level():
    """Neither is a shift for good."""
    creep = 0.1 * noise(9, 100) + np.linspace(0, 10, 100)
    assert without_slopes(creep, [50]) == []
    burst = noise(10, 100)
    burst[50:54] += 20
    quick = np.ones(1)
    assert without_bursts(burst, [50, 54], quick) == []
    stay = noise(10, 100)
    stay[50:] += 20
    assert without_bursts(stay, [50], quick) == [50]


def test_bursts_last_longer_where_runs_resemble_their_predecessors():
    """Eight runs elsewhere are a shift and its end in quick noise, and nothing in slow noise."""
    values = noise(10, 100)
    values[50:58] += 20
    assert without_bursts(values, [50, 58], np.array([1.0])) == [50, 58]
    assert without_bursts(values, [50, 58], np.array([2.0])) == []
    both = np.stack((values, values))
    assert without_bursts(both, [50, 58, 150, 158], np.array([2.0, 1.0])) == [150, 158]
    values[50:62] += 20
    assert without_bursts(values, [50, 62], np.array([2.0])) == [50, 62]


def test_a_wave_is_found_at_its_frequency_and_taken_off():
    """Also where a step hides it."""
    time = np.arange(240)
    wave = 3 * np.sin(2 * np.pi * time / 24)
    values = 0.5 * noise(11, 240) + wave
    assert waves_in(held_residuals(values[None], ())) == [pytest.approx(1 / 24, rel=0.03)]
    values[120:] += 15
    assert waves_in_steps(values[None]) == [pytest.approx(1 / 24, rel=0.03)]
    (rest,) = take_off(values[None], (120,), [Background(waves=(1 / 24,))])
    assert float(rest[:120].std()) < 0.8


def test_waves_that_noise_suggests_do_not_pay():
    """The spectrum of white noise has peaks; what they explain is not worth their price."""
    kept = 0
    for seed in range(30):
        values = noise(seed)
        values[100:] += 5
        kept += bool(describe(values).background.waves)
    assert kept <= 2


def test_a_slope_is_taken_off_beside_a_step():
    """Without taking the step with it."""
    values = 0.2 * noise(12) + np.linspace(0, 10, 200)
    values[100:] += 5
    (rest,) = take_off(values[None], (100,), [Background(slope=True)])
    assert rest[100:].mean() - rest[:100].mean() == pytest.approx(5, abs=1)
    assert abs(np.polyfit(np.arange(100), rest[:100], 1)[0]) < 0.01


def test_a_shift_whose_likely_places_are_its_neighbours_stays_where_it_was() -> None:
    """Beyond half the way to either of them no place is told; and no other is better."""
    chance = np.zeros((2, 60))
    # All that is likely of the first lies beside its left neighbour.
    chance[0, 2:6] = 1.0
    chance[1, 34:38] = (0.1, 0.2, 1.0, 0.1)
    where = (np.array([0, 0]), np.array([38, 38]), np.array([60, 60]))
    assert _worthiest(chance, where, np.array([0, 1])).tolist() == [38, 37]
