"""Candidate shifts: the best split of many seeded intervals, narrowest convincing interval first.

Intervals of growing length cover the series (Kovács et al., seeded binary segmentation); among
those whose best split convinces, the narrowest wins (Baranowski et al., narrowest over
threshold), because a narrow interval holds one shift only.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from .ranks import Floats, Ints, gaussian_equivalent, normal_scores

# Fewer points than this are outliers or a burst, no level.
SHORTEST = 4
_GROWTH = 2**0.5
# Neighbouring intervals of one length start half of it apart.
_OVERLAP = 2
# The noise of the whole series weighs in a narrow interval like so many points of its own.
_PRIOR = 8.0
# Above this length one flat table of all splits costs more than a loop over the lengths.
_FLAT = 220


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flat:
    """Every split of every interval, side by side."""

    starts: Ints
    ends: Ints
    lengths: Floats
    # Where each interval's splits begin, and what each split is made of.
    offsets: Ints
    splits: Ints
    owner: Ints
    share: Floats
    weight: Floats


@lru_cache(maxsize=1024)
def _lengths(n: int) -> tuple[int, ...]:
    out, length = list[int](), 2.0 * SHORTEST
    while round(length) < n:
        out.append(round(length))
        length *= _GROWTH
    return (*out, n)


@lru_cache(maxsize=4096)
def _weights(length: int) -> tuple[Floats, Floats]:
    at = np.arange(SHORTEST, length - SHORTEST + 1)
    return np.sqrt(length / (at * (length - at))), at / length


@lru_cache(maxsize=256)
def _flat(n: int) -> _Flat:
    starts, lengths = list[int](), list[int]()
    for length in _lengths(n):
        here = [*range(0, n - length + 1, max(1, length // _OVERLAP))]
        here += [n - length] if here[-1] != n - length else []
        starts += here
        lengths += [length] * len(here)
    s, size = np.array(starts), np.array(lengths)
    counts = size - 2 * SHORTEST + 1
    return _Flat(
        starts=s,
        ends=s + size,
        lengths=size.astype(float),
        offsets=np.concatenate(([0], np.cumsum(counts)[:-1])),
        splits=np.concatenate(
            [np.arange(a + SHORTEST, a + m - SHORTEST + 1) for a, m in zip(s, size, strict=True)]
        ),
        owner=np.repeat(np.arange(len(s)), counts),
        share=np.concatenate([_weights(m)[1] for m in lengths]),
        weight=np.concatenate([_weights(m)[0] for m in lengths]),
    )


def _noise_variance(scores: Floats) -> float:
    """Variance seen in steps from point to point, which shifts hardly touch."""
    steps = np.abs(scores[1:] - scores[:-1])
    at = int(0.68 * (len(steps) - 1))
    seen = float(np.partition(steps, at)[at])
    return min(1.0, max(0.02, seen * seen / 2))


def convincing(scores: Floats, threshold: float) -> list[int]:
    """The splits that exceed the threshold, narrowest interval first, one to an interval."""
    n = len(scores)
    sums, squares = np.zeros(n + 1), np.zeros(n + 1)
    np.cumsum(scores, out=sums[1:])
    np.cumsum(scores * scores, out=squares[1:])
    if n <= _FLAT:
        p = _flat(n)
        starts, ends, lengths = p.starts, p.ends, p.lengths
        low = sums.take(starts)
        total = sums.take(ends) - low
        lean = total.take(p.owner)
        lean *= p.share
        lean += low.take(p.owner)
        lean -= sums.take(p.splits)
        np.abs(lean, out=lean)
        lean *= p.weight
        best = np.maximum.reduceat(lean, p.offsets)
    else:
        starts, ends, best = _by_length(sums, n)
        lengths = (ends - starts).astype(float)
        total = sums.take(ends) - sums.take(starts)
    gain = best * best
    freedom = lengths + (_PRIOR - 2)
    within = squares.take(ends) - squares.take(starts) - total * total / lengths - gain
    noise = (np.maximum(within, 0) + _PRIOR * _noise_variance(scores)) / freedom
    strength = gaussian_equivalent(gain / noise, freedom)
    hits = np.flatnonzero(np.asarray(strength > threshold))
    order = hits[np.lexsort((-np.asarray(strength)[hits], lengths[hits]))]
    found = list[int]()
    for start, end in zip(starts[order].tolist(), ends[order].tolist(), strict=True):
        # Kept in order: the first beyond the start is inside the interval, or nothing is.
        beyond = bisect_right(found, start)
        if beyond == len(found) or found[beyond] >= end:
            insort(found, start + _best_split(sums[start : end + 1]))
    return found


def _best_split(sums: Floats) -> int:
    length = len(sums) - 1
    weight, share = _weights(length)
    lean = sums[SHORTEST : length - SHORTEST + 1] - sums[0] - (sums[-1] - sums[0]) * share
    return SHORTEST + int(np.abs(lean * weight).argmax())


def _by_length(sums: Floats, n: int) -> tuple[Ints, Ints, Floats]:
    starts, ends, best = list[Ints](), list[Ints](), list[Floats]()
    for length in _lengths(n):
        step = max(1, length // _OVERLAP)
        weight, share = _weights(length)
        inner = np.arange(0, n - length + 1, step)
        for here in (inner, np.array([n - length])):
            part = _windows(sums, int(here[0]), len(here), step, length + 1)
            low = part[:, :1]
            lean = part[:, SHORTEST : length - SHORTEST + 1] - low
            lean -= (part[:, -1:] - low) * share
            np.abs(lean, out=lean)
            lean *= weight
            starts.append(here)
            ends.append(here + length)
            best.append(lean.max(axis=1))
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(best)


def _windows(values: Floats, first: int, count: int, step: int, length: int) -> Floats:
    """`sliding_window_view` without its overhead, which counts in a loop over lengths."""
    size = values.itemsize
    return np.ndarray((count, length), float, values, first * size, (step * size, size))


def candidates(values: Floats, threshold: float, depth: int = 1) -> list[int]:
    """Places where a shift may be; each found segment is searched again with its own ranks.

    Small steps between far-apart levels show only in the second look, where the ranks are
    those of the segment.
    """
    n = len(values)
    if n < 2 * SHORTEST:
        return []
    found = convincing(normal_scores(values), threshold)
    if not found or depth == 0:
        return found
    out, edges = list(found), [0, *found, n]
    for a, b in pairwise(edges):
        out += [a + at for at in candidates(values[a:b], threshold, depth - 1)]
    return sorted(out)
