"""Exactly where a shift happened: on the raw values, with an interval.

Of one series, or of all rows of a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import SHORTEST
from .noise_law import noise_laws
from .ranks import Floats, Ints
from .robust import level, spread
from .segments import FEW, Ranked, Side, edges, inner, levels, side_by_side, spreads

# Student noise with so many degrees of freedom: an outlier moves nothing.
_FREEDOM = 4.0
# The last word on a place moves it no farther than this.
_REACH = 8
# Log likelihoods nearer than this are equal but for rounding.
_EQUAL = 1e-9


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
        which, column = side.which, np.arange(side.width)
        here = side.of(flat, 0.0)
        off_before, off_after = here - before[which][:, None], here - after[which][:, None]
        size = np.where(column < (cuts - starts)[which][:, None], off_before, off_after)
        noise = spreads(np.abs(size, out=size), side)
        if not noise.all():
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


def _first_best(walks: Floats) -> Ints:
    """Where each walk is highest; of equal places, which rounding tells apart, the first."""
    return (walks >= walks.max(axis=-1, keepdims=True) - _EQUAL).argmax(axis=-1)


def relocate(
    values: Floats, cuts: Sequence[int], rounds: int = 2, *, ranked: Ranked | None = None
) -> list[int]:
    """Move each shift to where the raw values say, given its neighbours.

    One after the other from left to right: each lies between its left neighbour's new place and
    its right neighbour's old one. All are asked together, with a guess of those new places, and
    asked again where the guess was wrong; the first guess is right soon, then the second.
    """
    if not cuts:
        return []
    bounds = edges(values, cuts)
    which = inner(values, bounds)
    known, best = np.full((3, len(which)), -1), bounds[which]
    for _ in range(rounds):
        guess = bounds.copy()
        while True:
            asked = np.stack((guess[which - 1], bounds[which], bounds[which + 1]))
            fresh = (asked != known).any(axis=0).nonzero()[0]
            if not len(fresh):
                break
            known[:, fresh] = asked[:, fresh]
            best[fresh] = _best_places(values, asked[:, fresh], ranked)
            guess[which] = best
        if (guess == bounds).all():
            break
        bounds = guess
    return bounds[which].tolist()


def _best_places(values: Floats, asked: Ints, ranked: Ranked | None) -> Ints:
    """The best places of shifts between their neighbours."""
    flat, (starts, cuts, ends) = values.reshape(-1), asked
    if len(cuts) <= FEW:
        walks = [_walk(flat[a:b], at - a) for a, at, b in asked.T.tolist()]
        best = [int((walk >= walk.max() - _EQUAL).argmax()) for walk in walks]
        return starts + SHORTEST + np.array(best)
    # Neighbours share a side.
    size = len(flat) + 1
    sides, place = np.unique(
        np.concatenate((starts * size + cuts, cuts * size + ends)), return_inverse=True
    )
    before, after = levels(values, sides // size, sides % size, ranked)[place].reshape(2, -1)
    out = np.empty(len(cuts), np.intp)
    for side, walks in _walks(values, (starts, cuts, ends), before, after):
        out[side.which] = starts[side.which] + _first_best(walks) + 1
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
        # The fewest places that hold 95 % together; between them, all. Those too unlikely to
        # hold the rest even together are not among them.
        total = chance.sum(axis=1)
        likely, column = (chance >= (0.05 / chance.shape[1] * total)[:, None]).nonzero()
        share = chance[likely, column] / total[likely]
        order = np.lexsort((-share, likely))
        column, share = column[order], share[order]
        before = np.cumsum(share) - share
        before -= before[likely.searchsorted(likely)]
        inside = before < 0.95
        column, firsts = column[inside], likely[inside].searchsorted(np.arange(len(chance)))
        low[side.which] = starts[side.which] + 1 + np.minimum.reduceat(column, firsts)
        high[side.which] = starts[side.which] + 1 + np.maximum.reduceat(column, firsts)
    return [
        Place(at=here, low=min(a, here), high=max(b, here))
        for here, a, b in zip(at.tolist(), low.tolist(), high.tolist(), strict=True)
    ]
