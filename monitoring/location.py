"""Exactly where a shift happened: on the raw values, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .ranks import Floats
from .robust import level, spread
from .scan import SHORTEST

# Student noise with so many degrees of freedom: an outlier moves nothing.
_FREEDOM = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The first point after a shift: best guess, and the range that holds 95 % of the chance."""

    at: int
    low: int
    high: int


def _walk(values: Floats, split: int) -> Floats:
    """For each split from SHORTEST on, the log likelihood of the two levels, up to a constant."""
    left, right = values[:split], values[split:]
    before, after = level(left), level(right)
    noise = spread(np.concatenate((left - before, right - after)))
    if noise <= 0:
        noise = abs(after - before) / 10 or 1.0
    scale = 1 / (noise * noise * _FREEDOM)
    per_point = np.log1p((values - after) ** 2 * scale) - np.log1p((values - before) ** 2 * scale)
    walk = np.cumsum(per_point) * ((_FREEDOM + 1) / 2)
    return walk[SHORTEST - 1 : len(values) - SHORTEST]


def relocate(values: Floats, shifts: Sequence[int], rounds: int = 2) -> list[int]:
    """Move each shift to where the raw values say, given its neighbours."""
    kept = list(shifts)
    for _ in range(rounds):
        moved = False
        for i, at in enumerate(kept):
            a = kept[i - 1] if i else 0
            b = kept[i + 1] if i + 1 < len(kept) else len(values)
            best = a + SHORTEST + int(_walk(values[a:b], at - a).argmax())
            moved |= best != at
            kept[i] = best
        if not moved:
            break
    return kept


def places(values: Floats, shifts: Sequence[int], *, memory: float) -> list[Place]:
    """The range of each shift; noise with memory widens it."""
    edges, out = (0, *shifts, len(values)), list[Place]()
    for a, at, b in zip(edges, edges[1:], edges[2:], strict=False):
        walk = _walk(values[a:b], at - a) / memory
        chance = np.exp(walk - walk.max())
        # The fewest places that hold 95 % together; between them, all.
        order = np.argsort(-chance, kind="stable")
        held = np.cumsum(chance[order]) / chance.sum()
        inside = order[: int(np.searchsorted(held, 0.95)) + 1]
        first = a + SHORTEST
        low, high = first + int(inside.min()), first + int(inside.max())
        out.append(Place(at=at, low=min(low, at), high=max(high, at)))
    return out
