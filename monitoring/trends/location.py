"""Exactly where a shift happened: on the raw values, with an interval.

Of one series, or of all rows of a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .noise_law import noise_laws
from .ranks import Floats, Ints
from .robust import TO_SIGMA, level, spread
from .scan import SHORTEST
from .segments import FEW, Side, edges, inner, levels, middles, side_by_side

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


def _walks(
    values: Floats, where: tuple[Ints, Ints, Ints], before: Floats, after: Floats
) -> Iterator[tuple[Side, Floats]]:
    """For each split between start and end, the log likelihood of the levels before and after.

    Up to a constant; the cut tells which points show the noise. Column 0 is for a split behind
    the first point, and where a side would be too short, chance is nought.
    """
    starts, cuts, ends = where
    flat = values.reshape(-1)
    for side in side_by_side(starts, ends):
        which, column = side.which, np.arange(side.places.shape[1])
        here = flat.take(side.places)
        off_before, off_after = here - before[which][:, None], here - after[which][:, None]
        size = np.where(column < (cuts - starts)[which][:, None], off_before, off_after)
        np.abs(size, out=size)
        side.fill(size, np.inf)
        size.sort(axis=1)
        noise = TO_SIGMA * middles(size, side.lengths)
        if not noise.all():
            side.fill(size, 0.0)
            noise = np.where(noise > 0, noise, size.sum(axis=1) / side.lengths)
            step = np.abs(after - before)[which] / 10
            noise = np.where(noise > 0, noise, np.where(step > 0, step, 1.0))
        scale = (1 / (noise * noise * _FREEDOM))[:, None]
        walk = _gains(off_before, off_after, scale)
        np.cumsum(walk, axis=1, out=walk)
        walk[:, : SHORTEST - 1] = -np.inf
        walk[column >= (side.lengths - SHORTEST)[:, None]] = -np.inf
        yield side, walk


def _gains(off_before: Floats, off_after: Floats, scale: Floats | float) -> Floats:
    """What each point adds to the log likelihood by lying before the shift."""
    off_after *= off_after
    off_after *= scale
    off_after += 1
    off_before *= off_before
    off_before *= scale
    off_before += 1
    off_after /= off_before
    np.log(off_after, out=off_after)
    off_after *= (_FREEDOM + 1) / 2
    return off_after


def _walk(values: Floats, split: int) -> Floats:
    """The same for one shift, from the first split with a long enough side on."""
    before, after = level(values[:split]), level(values[split:])
    off_before, off_after = values - before, values - after
    noise = spread(np.concatenate((off_before[:split], off_after[split:])))
    if noise <= 0:
        noise = abs(after - before) / 10 or 1.0
    walk = np.cumsum(_gains(off_before, off_after, 1 / (noise * noise * _FREEDOM)))
    return walk[SHORTEST - 1 : len(values) - SHORTEST]


def relocate(values: Floats, cuts: Sequence[int], rounds: int = 2) -> list[int]:
    """Move each shift to where the raw values say, given its neighbours."""
    if not cuts:
        return []
    n, bounds = values.shape[-1], edges(values, cuts).tolist()
    movable = [k for k, at in enumerate(bounds) if at % n]
    known, known_levels = dict[tuple[int, int, int], int](), dict[tuple[int, int], float]()
    for _ in range(rounds):
        moved = False
        ahead = movable
        while ahead:
            asked = {_between(bounds, k) for k in ahead}.difference(known)
            known.update(_best_places(values, [*asked], known_levels))
            waiting = list[int]()
            for k in ahead:
                # What moved to the left of it asks again; what is beyond waits for that.
                if waiting and waiting[-1] == k - 1:
                    waiting.append(k)
                    continue
                best = known.get(_between(bounds, k))
                if best is None:
                    waiting.append(k)
                    continue
                moved |= best != bounds[k]
                bounds[k] = best
            ahead = waiting
        if not moved:
            break
    return [bounds[k] for k in movable]


def _between(bounds: list[int], k: int) -> tuple[int, int, int]:
    return bounds[k - 1], bounds[k], bounds[k + 1]


def _best_places(
    values: Floats,
    asked: list[tuple[int, int, int]],
    known: dict[tuple[int, int], float],
) -> dict[tuple[int, int, int], int]:
    """The best places of shifts between their neighbours; learns levels of segments."""
    flat = values.reshape(-1)
    if len(asked) <= FEW:
        return {
            (a, at, b): a + SHORTEST + int(_walk(flat[a:b], at - a).argmax()) for a, at, b in asked
        }
    sides = [pair for a, at, b in asked for pair in ((a, at), (at, b))]
    new = [*{*sides}.difference(known)]
    if new:
        starts, ends = np.array(new).T
        known.update(zip(new, levels(flat, starts, ends).tolist(), strict=True))
    found = np.array([known[pair] for pair in sides])
    starts, cuts, ends = np.array(asked).T
    out = dict[tuple[int, int, int], int]()
    for side, walk in _walks(values, (starts, cuts, ends), found[::2], found[1::2]):
        best = starts[side.which] + walk.argmax(axis=1) + 1
        for i, at in zip(side.which.tolist(), best.tolist(), strict=True):
            out[asked[i]] = at
    return out


def settle(values: Floats, cuts: Sequence[int]) -> list[int]:
    """Move each shift by what the law of its series' own noise says about the points beside it."""
    kept, n = list(cuts), values.shape[-1]
    laws = noise_laws(values.reshape(-1, n), kept) if kept else None
    if laws is None:
        return kept
    flat, bounds = values.reshape(-1), edges(values, kept)
    which = inner(values, bounds)
    found = levels(flat, bounds[:-1], bounds[1:])
    before, after = found[which - 1][:, None], found[which][:, None]
    at = bounds[which]
    rows = at // n
    # The points round each shift that belong to its series and have a predecessor in it.
    places = at[:, None] + np.arange(-_REACH, _REACH + 1)
    first, last = rows * n + 1, rows * n + n - 1
    outside = (places < first[:, None]) | (places > last[:, None])
    places = np.minimum(np.maximum(places, first[:, None]), last[:, None])
    here, previous = flat.take(places), flat.take(places - 1)
    stay = np.where(outside, 0.0, laws.log_chance(rows, here - before, previous - before))
    moved = np.where(outside, 0.0, laws.log_chance(rows, here - after, previous - after))
    # The first point of the new level has a predecessor on the old one.
    step = laws.log_chance(rows, here - after, previous - before)
    walk = np.cumsum(stay, axis=1) - stay + step - np.cumsum(moved, axis=1)
    all_bounds = bounds.tolist()
    for k, row, chance in zip(which.tolist(), laws.known[rows].tolist(), walk, strict=True):
        here_at = all_bounds[k]
        low = max(all_bounds[k - 1] + SHORTEST, here_at - _REACH)
        high = min(all_bounds[k + 1] - SHORTEST, here_at + _REACH)
        if row and low < high:
            start = low - here_at + _REACH
            all_bounds[k] = low + int(chance[start : start + high - low + 1].argmax())
    return [all_bounds[k] for k in which.tolist()]


def places(values: Floats, cuts: Sequence[int], *, memory: float | Floats) -> list[Place]:
    """The range of each shift; noise with memory widens it."""
    n, bounds = values.shape[-1], edges(values, cuts)
    which = inner(values, bounds)
    starts, at, ends = bounds[which - 1], bounds[which], bounds[which + 1]
    factors = np.broadcast_to(memory, values.size // n).take(at // n)
    low, high = at.copy(), at.copy()
    found = levels(values, bounds[:-1], bounds[1:])
    for side, walk in _walks(values, (starts, at, ends), found[which - 1], found[which]):
        chance = walk / factors[side.which][:, None]
        chance = np.exp(chance - chance.max(axis=1, keepdims=True))
        # The fewest places that hold 95 % together; between them, all.
        order = np.argsort(-chance, axis=1, kind="stable")
        held = np.cumsum(np.take_along_axis(chance, order, 1), axis=1)
        held /= chance.sum(axis=1, keepdims=True)
        # What comes before it is not enough.
        enough = held < 0.95
        inside = np.ones(enough.shape, bool)
        inside[:, 1:] = enough[:, :-1]
        first = starts[side.which] + 1
        low[side.which] = first + np.where(inside, order, chance.shape[1]).min(axis=1)
        high[side.which] = first + np.where(inside, order, -1).max(axis=1)
    return [
        Place(at=here, low=min(a, here), high=max(b, here))
        for here, a, b in zip(at.tolist(), low.tolist(), high.tolist(), strict=True)
    ]
