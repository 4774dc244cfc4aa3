"""Candidate shifts: the best split of many seeded intervals, narrowest convincing interval first.

Intervals of growing length cover the series (Kovács et al., seeded binary segmentation); among
those whose best split convinces, the narrowest wins (Baranowski et al., narrowest over
threshold), because a narrow interval holds one shift only.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .intervals import SHORTEST, best_leans, leans_of, lengths_of, of_length, plan, weights_of
from .ranks import Floats, Ints, gaussian_equivalent, normal_scores, square_of
from .segments import FEW, Ranked, Side, edges, ordered, side_by_side

# The noise of the whole series weighs in a narrow interval like so many points of its own.
_PRIOR = 8.0
# The quantile of the steps from point to point that shifts hardly touch.
_USUAL = 0.68
# Up to so many points four bytes hold running sums to a thousandth of a lean that counts; what
# misses by less than this is asked again with eight.
_ROUGH = 16_384
_ENOUGH = 0.98
# Above this many points one flat table of all splits costs more than a loop over the lengths.
_FLAT = 300
# Above this many points the intervals that hold a shift already are worth leaving out.
_FEW_POINTS = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    """What intervals are judged by."""

    # Running sums of the scores and of their squares.
    sums: Floats
    squares: Floats
    # The running sums with half the bytes, as long as that leaves enough digits.
    rough: NDArray[np.floating]
    # The variance of the noise in each segment.
    noise: Floats

    def strengths(self, starts: Ints, lengths: Ints | int, owner: Ints, lean: Floats) -> Floats:
        """The best splits' leans as normal deviates."""
        square, freedom = self._squares(starts, lengths, owner, lean)
        return np.asarray(gaussian_equivalent(square, freedom))

    def promising(
        self, starts: Ints, length: int, owner: Ints, lean: Floats, threshold: float
    ) -> Ints:
        """Which intervals of one length may convince, of leans that are a little off."""
        square, freedom = self._squares(starts, length, owner, lean)
        return np.flatnonzero(square > _ENOUGH * square_of(threshold, float(freedom)))

    def _squares(
        self, starts: Ints, lengths: Ints | int, owner: Ints, lean: Floats
    ) -> tuple[Floats, Floats]:
        """The leans as squared t values, and their degrees of freedom."""
        ends, size, gain = starts + lengths, np.asarray(lengths, float), lean * lean
        freedom = size + (_PRIOR - 2)
        total = self.sums.take(ends) - self.sums.take(starts)
        within = self.squares.take(ends) - self.squares.take(starts) - total * total / size - gain
        noise = (np.maximum(within, 0) + _PRIOR * self.noise.take(owner)) / freedom
        return gain / noise, freedom


def candidates(values: Floats, threshold: float, ranked: Ranked | None = None) -> list[int]:
    """Places where a shift may be; each found segment is searched again with its own ranks.

    Small steps between far-apart levels show only in the second look, where the ranks are
    those of the segment. Of one series, or of all rows of a table.
    """
    n = values.shape[-1]
    if n < 2 * SHORTEST:
        return []
    starts = np.arange(0, values.size, n)
    ranked = ranked or Ranked(values)
    found = _convincing(ranked, starts, starts + n, threshold)
    if not found:
        return []
    bounds = edges(values, found)
    a, b = bounds[:-1], bounds[1:]
    # A row in which nothing was found has been looked at.
    again = (b - a >= 2 * SHORTEST) & (b - a < n)
    return sorted(found + _convincing(ranked, a[again], b[again], threshold))


def _convincing(ranked: Ranked, starts: Ints, ends: Ints, threshold: float) -> list[int]:
    """The splits that exceed the threshold, narrowest interval first, one to an interval."""
    if not len(starts):
        return []
    n = ranked.values.shape[-1]
    scores = np.zeros(ranked.values.size)
    noise = _score(ranked, starts, ends, scores)
    # Variance seen in steps from point to point, which shifts hardly touch.
    noise = np.minimum(1.0, np.maximum(0.02, noise * noise / 2))
    sums = _running(scores, n)
    scan = _Scan(
        sums=sums,
        squares=_running(scores * scores, n),
        rough=sums.astype(np.float32) if n <= _ROUGH else sums,
        noise=noise,
    )
    points = int((ends - starts).sum())
    look = _at_once if points <= _FLAT else _together if points <= _FEW_POINTS else _by_length
    # There is one running sum more in each row than there are values.
    found = look(scan, starts + starts // n, (ends - starts).tolist(), threshold)
    return [at - at // (n + 1) for at in found]


def _running(flat: Floats, n: int) -> Floats:
    """Running sums of each row of n, zero first."""
    out = np.zeros((len(flat) // n, n + 1))
    np.cumsum(flat.reshape(-1, n), axis=1, out=out[:, 1:])
    return out.reshape(-1)


def _score(ranked: Ranked, starts: Ints, ends: Ints, scores: Floats) -> Floats:
    """Write the normal scores of each segment; how far its points usually lie apart."""
    apart, values = np.empty(len(starts)), ranked.values.reshape(-1)
    if len(starts) <= FEW:
        for i, (a, b) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            scores[a:b] = here = normal_scores(values[a:b])
            steps, at = np.abs(here[1:] - here[:-1]), int(_USUAL * (b - a - 2))
            steps.partition(at)
            apart[i] = steps[at]
        return apart
    n = ranked.points
    for side in side_by_side(starts, ends):
        found, places = ranked.scores(side)
        at = places + (side.starts // n * n)[:, None]
        if side.beyond is None:
            scores[at] = found
        else:
            scores[at[~side.beyond]] = found[~side.beyond]
    # Half the bytes sort in half the time, and this needs no more digits.
    steps = np.abs(scores[1:] - scores[:-1]).astype(np.float32)
    for side in side_by_side(starts, ends - 1):
        at = (_USUAL * (side.lengths - 1)).astype(np.intp)
        apart[side.which] = _nth(steps, side, at)
    return apart


def _nth(flat: NDArray[np.float32], side: Side, at: Ints) -> NDArray[np.float32]:
    """The value of each segment with so many smaller ones."""
    if side.beyond is None:
        cells = side.of(flat, 0.0)
        cells.partition(at[0], axis=1)
    else:
        cells = ordered(flat, side)
    return cells[np.arange(len(cells)), at]


def _at_once(scan: _Scan, firsts: Ints, lengths: list[int], threshold: float) -> list[int]:
    """All intervals of a few short segments."""
    plans = [plan(m) for m in lengths]
    owner = np.arange(len(plans)).repeat([len(p.starts) for p in plans])
    starts, length, counts, splits, share, weight = _side_by_side(
        [(p.starts, p.lengths, p.counts, p.splits, p.share, p.weight) for p in plans]
    )
    starts = starts + firsts.take(owner)
    splits = splits + firsts.repeat([len(p.splits) for p in plans])
    low = scan.sums.take(starts)
    lean = (scan.sums.take(starts + length) - low).repeat(counts)
    lean *= share
    lean += low.repeat(counts)
    lean -= scan.sums.take(splits)
    np.abs(lean, out=lean)
    lean *= weight
    offsets = np.cumsum(counts) - counts
    strength = scan.strengths(starts, length, owner, np.maximum.reduceat(lean, offsets))
    hits = np.flatnonzero(strength > threshold)
    hits = hits[np.lexsort((-strength[hits], length[hits]))]
    found = list[int]()
    for i in hits.tolist():
        if _free(found, int(starts[i]), int(starts[i] + length[i])):
            first = int(offsets[i])
            best = lean[first : first + int(counts[i])].argmax()
            insort(found, int(splits[first + best]))
    return found


def _side_by_side(parts: list[tuple[Any, ...]]) -> Iterable[Any]:
    return parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))


def _free(found: list[int], start: int, end: int) -> bool:
    """Whether nothing was found in the interval so far."""
    # Kept in order: the first beyond the start is inside the interval, or nothing is.
    beyond = bisect_right(found, start)
    return beyond == len(found) or found[beyond] >= end


def _by_length(scan: _Scan, firsts: Ints, lengths: list[int], threshold: float) -> list[int]:
    """The intervals of one length after those of another; what holds a shift is not looked at."""
    found, whole = list[int](), np.array(lengths)
    for length in lengths_of(max(lengths))[:-1]:
        starts, owner = of_length(firsts, whole, length)
        if found:
            free = _all_free(found, starts, length)
            starts, owner = starts[free], owner[free]
            if not len(starts):
                continue
        lean = best_leans(scan.rough, starts, length).astype(float)
        hits = scan.promising(starts, length, owner, lean, threshold)
        if not len(hits):
            continue
        starts, owner = starts[hits], owner[hits]
        leans = leans_of(scan.sums, starts, length)
        strength = scan.strengths(starts, length, owner, leans.max(axis=1))
        order = (-strength).argsort(kind="stable")[: np.count_nonzero(strength > threshold)]
        splits = starts + SHORTEST + leans.argmax(axis=1)
        for start, split in zip(starts[order].tolist(), splits[order].tolist(), strict=True):
            if _free(found, start, start + length):
                insort(found, split)
    return _with_whole(scan, found, firsts, whole, threshold)


def _together(scan: _Scan, firsts: Ints, lengths: list[int], threshold: float) -> list[int]:
    """The same, but all lengths are asked at once: of few points, whatever holds a shift."""
    whole, known = np.array(lengths), lengths_of(max(lengths))[:-1]
    parts = [of_length(firsts, whole, length) for length in known]
    leans = [best_leans(scan.sums, at, n) for (at, _), n in zip(parts, known, strict=True)]
    starts, owner = (np.concatenate(column) for column in zip(*parts, strict=True))
    length = np.repeat(known, [len(at) for at, _ in parts])
    strength = scan.strengths(starts, length, owner, np.concatenate(leans))
    hits = np.flatnonzero(strength > threshold)
    hits = hits[np.lexsort((-strength[hits], length[hits]))]
    found = list[int]()
    for start, size in zip(starts[hits].tolist(), length[hits].tolist(), strict=True):
        if _free(found, start, start + size):
            insort(
                found, start + SHORTEST + int(leans_of(scan.sums, np.array([start]), size).argmax())
            )
    return _with_whole(scan, found, firsts, whole, threshold)


def _with_whole(
    scan: _Scan, found: list[int], firsts: Ints, lengths: Ints, threshold: float
) -> list[int]:
    """Last each segment as a whole."""
    known = np.array([*found, np.iinfo(np.intp).max])
    free = np.flatnonzero(known[known.searchsorted(firsts, side="right")] >= firsts + lengths)
    return sorted(found + _whole(scan, firsts[free], lengths[free], free, threshold))


def _all_free(found: list[int], starts: Ints, length: int) -> NDArray[np.bool_]:
    """In which of the intervals, which are in order, nothing was found so far."""
    known = np.array(found)
    # Each shift is in a few intervals in a row.
    first = starts.searchsorted(known - length, side="right")
    beyond = starts.searchsorted(known, side="left")
    count = len(starts) + 1
    inside = np.bincount(first, minlength=count) - np.bincount(beyond, minlength=count)
    return np.cumsum(inside)[:-1] == 0


def _whole(scan: _Scan, starts: Ints, lengths: Ints, owner: Ints, threshold: float) -> list[int]:
    """The best split of each segment as a whole, where it convinces."""
    if not len(starts):
        return []
    weights = [weights_of(m) for m in lengths.tolist()]
    counts = lengths - (2 * SHORTEST - 1)
    offsets = np.cumsum(counts) - counts
    low = scan.sums.take(starts)
    lean = (scan.sums.take(starts + lengths) - low).repeat(counts)
    lean *= np.concatenate([share for _, share in weights])
    lean += low.repeat(counts)
    lean -= scan.sums.take(np.arange(len(lean)) + (starts + SHORTEST - offsets).repeat(counts))
    np.abs(lean, out=lean)
    lean *= np.concatenate([weight for weight, _ in weights])
    strength = scan.strengths(starts, lengths, owner, np.maximum.reduceat(lean, offsets))
    return [
        int(starts[i]) + SHORTEST + int(lean[offsets[i] : offsets[i] + counts[i]].argmax())
        for i in np.flatnonzero(strength > threshold).tolist()
    ]
