"""Findings of all series together: pooled by commit and area, few of them false."""

from __future__ import annotations

import numpy as np

from proctor.monitoring.trends.discoveries import Finding, discoveries
from proctor.monitoring.trends.series import SeriesName


def finding(
    case: str, commit: int, p_value: float, *, area: str = "core", worse: float = 0.1, wide: int = 2
) -> Finding:
    return Finding(
        series=SeriesName(case=case),
        area=area,
        commit=commit,
        low=commit - wide,
        high=commit + wide,
        p_value=p_value,
        worse_by=worse,
    )


def test_findings_of_one_commit_and_area_are_one_discovery():
    """With the range they all allow, and the guess most of them make."""
    (told,) = discoveries(
        [finding("a", 50, 1e-6), finding("b", 51, 1e-5, wide=1), finding("c", 50, 1e-4)],
        looked_at=100,
    )
    assert len(told.findings) == 3
    assert (told.commit, told.low, told.high) == (50, 50, 52)
    assert told.is_regression


def test_other_places_areas_and_directions_are_other_discoveries():
    """An improvement beside a regression is not its evidence."""
    told = discoveries(
        [
            finding("a", 50, 1e-6),
            finding("b", 90, 1e-6),
            finding("c", 50, 1e-6, area="io"),
            finding("d", 50, 1e-6, worse=-0.1),
        ],
        looked_at=100,
    )
    assert len(told) == 4
    assert sum(d.is_regression for d in told) == 3


def test_the_same_evidence_is_worth_less_among_many_series():
    """One in a thousand is news in ten series, and none in ten thousand."""
    one = [finding("a", 50, 1e-3)]
    assert len(discoveries(one, looked_at=10)) == 1
    assert discoveries(one, looked_at=10_000) == ()


def test_few_discoveries_are_false():
    """Of a thousand quiet series hardly any are told, while the true ones are."""
    rng, false, found = np.random.default_rng(1), 0, 0
    for _ in range(20):
        quiet = [
            finding(f"q{i}", int(rng.integers(10, 10_000)), float(p), wide=0)
            for i, p in enumerate(rng.random(1000))
            if p < 0.05
        ]
        true = [finding(f"t{i}", 20_000 + 10 * i, 1e-6, wide=0) for i in range(20)]
        told = discoveries(quiet + true, looked_at=1020)
        false += sum(d.commit < 20_000 for d in told)
        found += sum(d.commit >= 20_000 for d in told)
    assert found == 400
    assert false / (false + found) < 0.08


def test_the_most_certain_comes_first():
    """People read from the top."""
    told = discoveries([finding("a", 10, 1e-4), finding("b", 90, 1e-8)], looked_at=10)
    assert [d.commit for d in told] == [90, 10]


def test_nothing_found_is_nothing_told():
    """No findings, no discoveries."""
    assert discoveries([], looked_at=500) == ()
