"""How much the noise of several series is one: what hits a machine hits all that ran on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .ranks import Floats
from .robust import clipped, residuals
from .source import Observed


def likeness(series: Iterable[tuple[Observed, Sequence[int]]]) -> float:
    """The mean correlation of what the levels of each series leave, given its shifts."""
    columns, sizes = list[Sequence[int]](), list[Floats]()
    for each, shifts in series:
        held = clipped(residuals(each.series.values, shifts))
        norm = float(held @ held) / max(len(held), 1)
        if norm > 0:
            columns.append(each.places)
            sizes.append(held / norm**0.5)
    if len(sizes) < 2:
        return 0.0
    place, size = np.concatenate(columns), np.concatenate(sizes)
    counts = np.bincount(place)
    sums = np.bincount(place, weights=size)
    squares = np.bincount(place, weights=size * size)
    pairs = float((counts * (counts - 1)).sum())
    shared = float((sums * sums - squares).sum()) / pairs if pairs else 0.0
    return min(max(shared, 0.0), 1.0)
