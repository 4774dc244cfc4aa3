"""Cleaning of series: what is left out, converted and said of it."""

from __future__ import annotations

import math

import pytest

from proctor.monitoring.trends.series import (
    Direction,
    Point,
    Series,
    SeriesName,
    UnitChanged,
    series_of,
)

NAME = SeriesName(case="tests/test_a.py::test_one")


def cleaned(*points: Point) -> Series:
    return series_of(points, name=NAME)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_left_out_and_said(bad):
    """NaN and infinity never reach the mathematics, and never vanish silently."""
    series = cleaned(Point(time=1, value=1.0), Point(time=2, value=bad), Point(time=3, value=2.0))
    assert series.values.tolist() == [1.0, 2.0]
    assert any("not a finite number" in note for note in series.notes)


def test_units_of_one_family_are_converted_to_the_newest():
    """A benchmark that goes from milliseconds to seconds keeps its history."""
    series = cleaned(Point(time=1, value=250.0, unit="ms"), Point(time=2, value=0.5, unit="s"))
    assert series.values.tolist() == pytest.approx([0.25, 0.5])
    assert series.unit == "s"


def test_units_without_a_common_family_are_refused_with_a_remedy():
    """Seconds cannot become bytes."""
    with pytest.raises(UnitChanged) as caught:
        cleaned(Point(time=1, value=1.0, unit="s"), Point(time=2, value=1.0, unit="MB"))
    assert "'s'" in str(caught.value)
    assert caught.value.remedy


def test_a_value_recorded_twice_counts_once():
    """The same point ingested again is no evidence."""
    point = Point(time=1, value=1.0, commit="a")
    assert len(cleaned(point, point)) == 1


def test_a_clock_that_jumps_back_keeps_the_order_of_arrival():
    """Times never decrease, and no value is moved or lost."""
    series = cleaned(*(Point(time=t, value=float(i)) for i, t in enumerate((10, 20, 5, 30))))
    assert series.values.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert series.times.tolist() == [10, 20, 20, 30]
    assert any("time before its predecessor" in note for note in series.notes)


def test_durations_are_brought_to_the_speed_of_the_reference():
    """Two seconds on a machine twice as fast are four on the reference; bytes are bytes."""
    seconds = cleaned(Point(time=1, value=2.0, unit="s", speed=2.0))
    size = cleaned(Point(time=1, value=2.0, unit="MB", speed=2.0))
    rate = cleaned(Point(time=1, value=2.0, unit="MB/s", speed=2.0))
    assert (seconds.values[0], size.values[0], rate.values[0]) == (4.0, 2.0, 1.0)


def test_nothing_at_all_is_a_series_without_points():
    """An empty history is no error."""
    assert len(cleaned()) == 0


def test_one_point_says_that_it_says_nothing():
    """A person reads why there is no judgement."""
    assert "says nothing about change" in cleaned(Point(time=1, value=1.0)).notes[0]


def test_worse_depends_on_the_direction():
    """More seconds are worse, more operations a second are better."""
    point = Point(time=1, value=1.0)
    rate = series_of([point], name=NAME, direction=Direction.HIGHER_IS_BETTER)
    assert cleaned(point).is_worse(1.0, 2.0)
    assert rate.is_worse(2.0, 1.0)
