"""Segments looked at together give what each gives alone."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.ranks import normal_scores
from proctor.monitoring.trends.robust import level, median, residuals, spread
from proctor.monitoring.trends.segments import (
    Ranked,
    edges,
    levels,
    middles,
    ordered,
    residual_rows,
    row_spreads,
    side_by_side,
)


def a_table(coarse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Four rows of 900 values, and the edges of segments of 4 to 900."""
    rows = np.random.default_rng(1).normal(size=(4, 900))
    cuts = [4, 9, 40, 300, 905, 950, 2400, 2405, 2412, 2600]
    return np.round(rows) if coarse else rows, edges(rows, cuts)


@pytest.mark.parametrize("coarse", [False, True])
def test_scores_of_segments_are_those_of_each_alone(coarse):
    """Ties share theirs within a segment, and nothing beyond its end counts."""
    rows, bounds = a_table(coarse)
    flat, seen = rows.reshape(-1), 0
    for side in side_by_side(bounds[:-1], bounds[1:]):
        scores, places = Ranked(rows).scores(side)
        for i, which in enumerate(side.which.tolist()):
            a, b = bounds[which], bounds[which + 1]
            alone = np.empty(b - a)
            # Places count within the row.
            alone[places[i, : b - a] - a % 900] = scores[i, : b - a]
            assert alone == pytest.approx(normal_scores(flat[a:b]))
            assert not scores[i, b - a :].any()
            seen += 1
    assert seen == len(bounds) - 1


@pytest.mark.parametrize("coarse", [False, True])
def test_levels_medians_and_residuals_are_those_of_each_alone(coarse):
    """Whatever the lengths beside them."""
    rows, bounds = a_table(coarse)
    flat = rows.reshape(-1)
    parts = [flat[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
    assert levels(rows, bounds[:-1], bounds[1:]) == pytest.approx([level(p) for p in parts])
    for side in side_by_side(bounds[:-1], bounds[1:]):
        expected = [median(parts[i]) for i in side.which.tolist()]
        assert middles(ordered(flat, side), side.lengths) == pytest.approx(expected)
    rest = residual_rows(rows, [40, 905])
    assert rest[0] == pytest.approx(residuals(rows[0], [40]))
    assert rest[1] == pytest.approx(residuals(rows[1], [5]))
    assert row_spreads(rest) == pytest.approx([spread(r) for r in rest])
