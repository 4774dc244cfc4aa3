"""Where several series moved: what they say together of the one place."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.chances import FLOOR, Chances, Pool, guessed
from proctor.monitoring.trends.changes import find_all_changes
from proctor.monitoring.trends.discoveries import discoveries, finding
from proctor.monitoring.trends.series import Series, SeriesName
from proctor.monitoring.trends.shared_noise import likeness
from proctor.monitoring.trends.source import Observed


def chances(first: int, *logs: float) -> Chances:
    return Chances(first=first, logs=np.array(logs, float))


def observed(name: str, values: np.ndarray, places: np.ndarray) -> Observed:
    series = Series(
        name=SeriesName(case=name), times=places.astype(float), values=values, commits=()
    )
    return Observed(series=series, places=tuple(places.tolist()), area="")


def moved(seed: int, *, at: int = 60, by: float = 2.5, shared: float = 0.0) -> list[Observed]:
    """Eight series of 100 campaigns, each absent from some."""
    rng = np.random.default_rng(seed)
    machine = rng.normal(size=100)
    out = list[Observed]()
    for i in range(8):
        noise = (1 - shared) ** 0.5 * rng.normal(size=100) + shared**0.5 * machine
        noise[at:] += by
        places = np.flatnonzero(rng.random(100) > 0.1)
        out.append(observed(f"case {i}", 100 + noise[places], places))
    return out


def test_each_series_rules_out_what_it_can():
    """The place that none of them finds unlikely wins over two best guesses beside it."""
    pool = Pool(chances(10, 0, -1, -9))
    pool.add(chances(10, -8, -1, 0))
    told = pool.place()
    assert (told.at, told.low, told.high) == (11, 11, 11)


def test_how_likely_a_place_is_or_one_beside_it():
    """Nothing is likely far from where the shift may be at all."""
    alike = chances(10, 0, 0, 0, 0, 0)
    assert [round(alike.near(at), 9) for at in (8, 9, 10, 12, 14, 15, 16)] == [
        *(0.0, 0.2, 0.4, 0.6, 0.4, 0.2, 0.0)
    ]
    assert alike.near(3) == alike.near(5) == alike.near(40) == 0.0


def test_a_series_that_has_it_wrong_does_not_outvote_the_others():
    """What it says against a place is bounded."""
    pool = Pool(chances(50, 0, -4))
    for _ in range(3):
        pool.add(chances(50, 0, -4))
    pool.add(chances(52, 0))
    assert pool.place().at == 50


def test_places_that_nobody_tells_apart_are_a_range_and_show_at_their_end():
    """No series was run at the first two of them."""
    told = Pool(chances(7, 0, 0, 0, -FLOOR)).place()
    assert (told.at, told.low, told.high) == (9, 7, 9)


def test_series_that_err_together_know_less_of_the_place():
    """Their range is as wide as that of few."""
    pool = Pool(chances(0, -2, 0, -2))
    for _ in range(7):
        pool.add(chances(0, -2, 0, -2))
    apart, alike = pool.place(), pool.place(alike=1.0)
    assert (apart.low, apart.high) == (1, 1)
    assert (alike.low, alike.high) == (0, 2)


def test_agreeing_costs_nothing_and_being_elsewhere_the_most():
    """What parts two causes."""
    pool = Pool(chances(10, -1, 0, -1))
    assert pool.loss(chances(11, 0, -3)) == pytest.approx(0)
    assert pool.loss(chances(10, 0, -3)) == pytest.approx(1)
    assert pool.loss(chances(90, 0)) == FLOOR


def test_campaigns_that_a_series_was_not_in_may_hold_its_shift():
    """Its points are at 0, 3, 4 and 9 of the order that all share."""
    told = chances(1, -1, 0, -2).among([0, 3, 4, 9])
    assert told.first == 1
    assert told.logs.tolist() == [-1, -1, -1, 0, -2, -2, -2, -2, -2]


def test_the_first_point_of_all_may_be_the_first_of_its_level():
    """Nothing older is known of it."""
    told = chances(0, 0, -1).among([4, 6])
    assert (told.first, told.logs.tolist()) == (4, [0, -1, -1])


def test_a_range_without_chances_is_alike_all_over_but_for_its_best_guess():
    """As with a shift that runs have proven."""
    told = Pool(guessed(5, 3, 8)).place()
    assert (told.at, told.low, told.high) == (5, 3, 8)


def test_series_that_share_a_machine_are_seen_to_be_alike():
    """From what their levels leave, also where some were not run."""
    own = [(each, [np.searchsorted(each.places, 60)]) for each in moved(1)]
    shared = [(each, [np.searchsorted(each.places, 60)]) for each in moved(1, shared=0.5)]
    assert likeness(own) < 0.1
    assert 0.35 < likeness(shared) < 0.65
    assert likeness(own[:1]) == likeness([]) == 0.0


def test_a_series_without_noise_is_like_no_other():
    """Counts of instructions do not waver."""
    still = observed("still", np.ones(100), np.arange(100))
    assert likeness([(still, []), (still, [])]) == 0.0


def test_many_series_place_a_shift_that_each_places_badly():
    """Small shifts: alone six in ten are exact, eight together nearly always, and told once."""
    exact = held = pieces = alone = changes = 0
    for seed in range(12):
        series = moved(seed)
        changed = find_all_changes([each.series.values for each in series])
        found = [
            finding(each, change)
            for each, those in zip(series, changed, strict=True)
            for change in those
        ]
        alone += sum(each.commit == 60 for each in found)
        changes += len(found)
        told = discoveries(found, looked_at=8)
        most = max(told, key=lambda each: len(each.findings))
        exact += most.commit == 60
        held += most.low <= 60 <= most.high
        pieces += len(told)
    assert exact >= 11
    assert held >= 11
    assert alone < 0.85 * changes
    assert pieces <= 14


def test_how_likely_a_place_or_one_beside_is():
    """Also at the ends of what is known."""
    even = chances(10, 0.0, 0.0, 0.0, 0.0)
    assert even.near(11) == pytest.approx(0.75)
    assert even.near(10) == even.near(13) == pytest.approx(0.5)
    assert even.moved(5).near(16) == pytest.approx(0.75)
