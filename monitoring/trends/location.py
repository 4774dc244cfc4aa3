"""Exactly where a shift happened: on the raw values, with an interval.

Of one series, or of all rows of a table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .chances import FLOOR, Chances
from .intervals import SHORTEST
from .noise_law import NoiseLaws, noise_laws
from .ranks import Floats, Ints
from .robust import level, spread
from .segments import FEW, Ranked, Side, edges, inner, levels, side_by_side, spreads

# Student noise with so many degrees of freedom: an outlier moves nothing.
_FREEDOM = 4.0
# The last word on a place moves it no farther than this.
_REACH = 8
# Log likelihoods nearer than this are equal but for rounding.
_EQUAL = 1e-9
# A place beside the true one is nearly as good; the true one is worth so much more. The likeliest
# alone is two off or more in one case of twenty, even to whoever knows all about the noise.
_EXACT = 0.7
_LEAST = math.exp(-FLOOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The first point after a shift: best guess, and the range that holds 95 % of the chance."""

    at: int
    low: int
    high: int
    # Of all places that are not hopeless.
    chances: Chances


def _gains_of(
    values: Floats, where: tuple[Ints, Ints, Ints], before: Floats, after: Floats
) -> Iterator[tuple[Side, Floats]]:
    """For each point between start and end, what it adds to the log likelihood of later shifts.

    Given the levels before and after; the cut tells which points show the noise.
    """
    starts, cuts, ends = where
    flat = values.reshape(-1)
    for side in side_by_side(starts, ends):
        which = side.which
        here = side.of(flat, 0.0)
        off_before, off_after = here - before[which][:, None], here - after[which][:, None]
        # Its own level for each point; to choose among both differences would cost far more.
        splits = (cuts - starts)[which]
        own = np.stack((before[which], after[which]), axis=1).reshape(-1)
        own = own.repeat(np.stack((splits, side.width - splits), axis=1).reshape(-1))
        size = here - own.reshape(here.shape)
        noise = spreads(np.abs(size, out=size), side)
        if not noise.all():
            step = np.abs(after - before)[which] / 10
            noise = np.where(noise > 0, noise, np.where(step > 0, step, 1.0))
        scale = (1 / (noise * noise * _FREEDOM))[:, None]
        yield side, _gains(off_before, off_after, scale)


def _walked(gains: Floats, side: Side) -> Floats:
    """The log likelihood of each split, up to a constant.

    Column 0 is for a split behind the first point; where a side would be too short, chance is
    nought.
    """
    walk = np.cumsum(gains, axis=1, out=gains)
    walk[:, : SHORTEST - 1] = -np.inf
    walk[np.arange(side.width) >= (side.lengths - SHORTEST)[:, None]] = -np.inf
    return walk


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
    for side, gains in _gains_of(values, (starts, cuts, ends), before, after):
        out[side.which] = starts[side.which] + _first_best(_walked(gains, side)) + 1
    return out


def settle(values: Floats, cuts: Sequence[int]) -> list[int]:
    """Move each shift by what the law of its series' own noise says about the points beside it."""
    return _settled(values, cuts)[0]


def _settled(values: Floats, cuts: Sequence[int]) -> tuple[list[int], Floats | None]:
    """The moved shifts; what the law says of the places beside each, where any series has one."""
    kept, n = list(cuts), values.shape[-1]
    laws = noise_laws(values.reshape(-1, n), kept) if kept else None
    if laws is None:
        return kept, None
    bounds = edges(values, kept)
    which = inner(values, bounds)
    walk = _beside(values, laws, bounds, which)
    all_bounds = bounds.tolist()
    for k, known, chance in zip(
        which.tolist(), laws.known[bounds[which] // n].tolist(), walk, strict=True
    ):
        here_at = all_bounds[k]
        low = max(all_bounds[k - 1] + SHORTEST, here_at - _REACH)
        high = min(all_bounds[k + 1] - SHORTEST, here_at + _REACH)
        if known and low < high:
            start = low - here_at + _REACH
            all_bounds[k] = low + int(chance[start : start + high - low + 1].argmax())
    walk[~laws.known[bounds[which] // n]] = np.nan
    return [all_bounds[k] for k in which.tolist()], walk


def _beside(values: Floats, laws: NoiseLaws, bounds: Ints, which: Ints) -> Floats:
    """The log chance of each place round each shift, up to a constant."""
    flat, n = values.reshape(-1), values.shape[-1]
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
    return np.cumsum(stay, axis=1) - stay + step - np.cumsum(moved, axis=1)


def places(values: Floats, cuts: Sequence[int], *, memory: float | Floats) -> list[Place]:
    """Where each shift is by the law of the noise, and how likely it is elsewhere.

    Farther off than the law looks, points of noise with memory count for less.
    """
    n, rough = values.shape[-1], np.asarray(cuts, np.intp)
    settled, law = _settled(values, cuts)
    bounds = edges(values, settled)
    which = inner(values, bounds)
    starts, at, ends = bounds[which - 1], bounds[which], bounds[which + 1]
    factors = np.broadcast_to(memory, values.size // n).take(at // n)
    found = levels(values, bounds[:-1], bounds[1:])
    out = dict[int, Place]()
    for side, gains in _gains_of(values, (starts, at, ends), found[which - 1], found[which]):
        weighed = gains / factors[side.which][:, None]
        if law is not None:
            more = np.diff(law[side.which], axis=1)
            columns = (rough - _REACH - starts)[side.which][:, None] + np.arange(2 * _REACH)
            known = (columns >= 0) & (columns < side.lengths[:, None]) & ~np.isnan(more)
            weighed[known.nonzero()[0], columns[known]] = more[known]
        walk = _walked(weighed, side)
        walk -= walk.max(axis=1, keepdims=True)
        chance = np.exp(walk)
        low, high = _likeliest(chance)
        some = walk > -FLOOR
        first, last = some.argmax(axis=1), side.width - some[:, ::-1].argmax(axis=1)
        np.maximum(walk, -FLOOR, out=walk)
        # Between places that are not hopeless none is.
        np.maximum(chance, _LEAST, out=chance)
        column = np.arange(side.width)
        chance[(column < first[:, None]) | (column >= last[:, None])] = 0.0
        best = _worthiest(chance, (starts, at, ends), side.which)
        for k, logs, here, a, b, c, d in zip(
            side.which.tolist(),
            walk,
            best.tolist(),
            low.tolist(),
            high.tolist(),
            first.tolist(),
            last.tolist(),
            strict=True,
        ):
            offset = int(starts[k]) + 1
            out[k] = Place(
                at=here,
                low=min(offset + a, here),
                high=max(offset + b, here),
                chances=Chances(first=offset + c, logs=logs[c:d].copy()),
            )
    return [out[k] for k in range(len(at))]


def _worthiest(chance: Floats, where: tuple[Ints, Ints, Ints], which: Ints) -> Ints:
    """The place to tell of each shift.

    Not beyond half the way to a neighbour, less half a side: there is the neighbour's own place.
    """
    starts, at, ends = (each[which] for each in where)
    worth = (1 + _EXACT) * chance
    worth[:, 1:] += chance[:, :-1]
    worth[:, :-1] += chance[:, 1:]
    column = np.arange(1, chance.shape[1] + 1)
    worth[column < ((at - starts + 1) // 2 + SHORTEST // 2)[:, None]] = 0.0
    worth[column > (at - starts + (ends - at) // 2 - SHORTEST // 2)[:, None]] = 0.0
    # Where all that is likely lies with the neighbours it stays where it was.
    return np.where(worth.any(axis=1), starts + 1 + worth.argmax(axis=1), at)


def _likeliest(chance: Floats) -> tuple[Ints, Ints]:
    """The first and the last of the fewest columns that hold 95 % together, in each row.

    Those too unlikely to hold the rest even together are not among them.
    """
    total = chance.sum(axis=1)
    likely, column = (chance >= (0.05 / chance.shape[1] * total)[:, None]).nonzero()
    share = chance[likely, column] / total[likely]
    order = np.lexsort((-share, likely))
    column, share = column[order], share[order]
    before = np.cumsum(share) - share
    before -= before[likely.searchsorted(likely)]
    inside = before < 0.95
    column, firsts = column[inside], likely[inside].searchsorted(np.arange(len(chance)))
    return np.minimum.reduceat(column, firsts), np.maximum.reduceat(column, firsts)
