"""Candidate shifts: the best split of many seeded intervals, narrowest convincing interval first.

Intervals of growing length cover the series (Kovács et al., seeded binary segmentation); among
those whose best split convinces, the narrowest wins (Baranowski et al., narrowest over
threshold), because a narrow interval holds one shift only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .ranks import Floats, Ints, gaussian_equivalent, normal_scores

# Fewer points than this are outliers or a burst, no level.
SHORTEST = 4
_GROWTH = 2**0.5
# Neighbouring intervals of one length start a third of it apart.
_OVERLAP = 3
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The best split of each interval, and how strong it is as a normal deviate."""

    strength: Floats
    starts: Ints
    ends: Ints
    splits: Ints


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


def scan(scores: Floats) -> Scan:
    """Search all seeded intervals of a series of at least 2 * SHORTEST normal scores."""
    n = len(scores)
    sums, squares = np.zeros(n + 1), np.zeros(n + 1)
    np.cumsum(scores, out=sums[1:])
    np.cumsum(scores * scores, out=squares[1:])
    if n <= _FLAT:
        p = _flat(n)
        low, total = sums[p.starts], sums[p.ends] - sums[p.starts]
        lean = np.abs((sums[p.splits] - low[p.owner] - total[p.owner] * p.share) * p.weight)
        best = np.maximum.reduceat(lean, p.offsets)
        first = np.flatnonzero(lean == best[p.owner])
        splits = np.empty(len(best), np.intp)
        # The first of equals: later writes win, so write backwards.
        splits[p.owner[first[::-1]]] = p.splits[first[::-1]]
        starts, ends, lengths = p.starts, p.ends, p.lengths
    else:
        starts, ends, best, splits = _by_length(sums, n)
        lengths = (ends - starts).astype(float)
        total = sums[ends] - sums[starts]
    gain = best * best
    freedom = lengths - 2 + _PRIOR
    within = squares[ends] - squares[starts] - total * total / lengths - gain
    noise = (np.maximum(within, 0) + _PRIOR * _noise_variance(scores)) / freedom
    strength = gaussian_equivalent(gain / noise, freedom)
    return Scan(strength=np.asarray(strength), starts=starts, ends=ends, splits=splits)


def _by_length(sums: Floats, n: int) -> tuple[Ints, Ints, Floats, Ints]:
    starts, ends, best, splits = list[Ints](), list[Ints](), list[Floats](), list[Ints]()
    for length in _lengths(n):
        step = max(1, length // _OVERLAP)
        weight, share = _weights(length)
        windows = sliding_window_view(sums, length + 1)
        inner = np.arange(0, n - length + 1, step)
        for part, here in ((windows[::step], inner), (windows[-1:], np.array([n - length]))):
            low = part[:, :1]
            lean = part[:, SHORTEST : length - SHORTEST + 1] - low
            lean -= (part[:, -1:] - low) * share
            lean *= weight
            np.abs(lean, out=lean)
            at = lean.argmax(axis=1)
            rows = np.arange(len(at))
            starts.append(here)
            ends.append(here + length)
            best.append(lean[rows, at])
            splits.append(here + SHORTEST + at)
    return (
        np.concatenate(starts),
        np.concatenate(ends),
        np.concatenate(best),
        np.concatenate(splits),
    )


def candidates(values: Floats, threshold: float, depth: int = 1) -> list[int]:
    """Places where a shift may be; each found segment is searched again with its own ranks.

    Small steps between far-apart levels show only in the second look, where the ranks are
    those of the segment.
    """
    n = len(values)
    if n < 2 * SHORTEST:
        return []
    found = _narrowest_first(scan(normal_scores(values)), threshold)
    if not found or depth == 0:
        return found
    out, edges = list(found), [0, *found, n]
    for a, b in zip(edges, edges[1:], strict=False):
        out += [a + at for at in candidates(values[a:b], threshold, depth - 1)]
    return sorted(out)


def _narrowest_first(seen: Scan, threshold: float) -> list[int]:
    hits = np.flatnonzero(seen.strength > threshold)
    if not len(hits):
        return []
    strength, start, end = seen.strength[hits], seen.starts[hits], seen.ends[hits]
    split, free = seen.splits[hits], np.ones(len(hits), bool)
    order, chosen = np.lexsort((-strength, end - start)), list[int]()
    while True:
        left = order[free[order]]
        if not len(left):
            return sorted(chosen)
        at = int(split[left[0]])
        chosen.append(at)
        free &= ~((start < at) & (at < end))
