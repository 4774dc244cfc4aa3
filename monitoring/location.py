"""Exactly where a shift happened: on the raw values, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .noise_law import NoiseLaw, noise_law
from .ranks import Floats
from .robust import level, spread
from .scan import SHORTEST

# Student noise with so many degrees of freedom: an outlier moves nothing.
_FREEDOM = 4.0
# The last word on a place moves it no farther than this.
_REACH = 8


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


def settle(values: Floats, shifts: Sequence[int]) -> list[int]:
    """Move each shift by what the law of this series' own noise says about the points beside it."""
    kept = list(shifts)
    law = noise_law(values, kept) if kept else None
    if law is None:
        return kept
    levels = [level(values[a:b]) for a, b in pairwise((0, *kept, len(values)))]
    for i, at in enumerate(kept):
        first = max((kept[i - 1] if i else 0) + SHORTEST, at - _REACH)
        last = min((kept[i + 1] if i + 1 < len(kept) else len(values)) - SHORTEST, at + _REACH)
        if first < last:
            kept[i] = _settled(values, law, (levels[i], levels[i + 1]), range(first, last + 1))
    return kept


def _settled(values: Floats, law: NoiseLaw, levels: tuple[float, float], among: range) -> int:
    """The likeliest first point of the new level."""
    before, after = levels
    here = values[among.start : among.stop]
    previous = values[among.start - 1 : among.stop - 1]
    stay = law.log_chance(here, before, previous, before)
    moved = law.log_chance(here, after, previous, after)
    # The first point of the new level has a predecessor on the old one.
    step = law.log_chance(here, after, previous, before)
    walk = np.cumsum(stay) - stay + step + moved.sum() - np.cumsum(moved)
    return among.start + int(walk.argmax())


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
