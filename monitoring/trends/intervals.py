"""Seeded intervals of growing length, and how far each split of them leans to one side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .ranks import Floats, Ints

_Number = TypeVar("_Number", bound=np.floating)
# Fewer points than this are outliers or a burst, no level.
SHORTEST = 4
_GROWTH = 2**0.5
# Neighbouring intervals of one length start half of it apart.
_OVERLAP = 2
# Up to so many splits an interval they are looked at side by side; else in tables of so many
# cells, which stay near the processor.
_NARROW = 40
_TABLE = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The intervals of a segment, the longest last, and all their splits side by side."""

    starts: Ints
    lengths: Ints
    # How many splits each interval has, and what each split is made of.
    counts: Ints
    splits: Ints
    share: Floats
    weight: Floats


@lru_cache(maxsize=1024)
def lengths_of(n: int) -> tuple[int, ...]:
    """The lengths of intervals in a segment of so many points, itself the last."""
    out, length = list[int](), 2.0 * SHORTEST
    while round(length) < n:
        out.append(round(length))
        length *= _GROWTH
    return (*out, n)


@lru_cache(maxsize=4096)
def weights_of(length: int) -> tuple[Floats, Floats]:
    """How much a lean at each split counts, and what share of the points lies before it."""
    at = np.arange(SHORTEST, length - SHORTEST + 1)
    return np.sqrt(length / (at * (length - at))), at / length


@lru_cache(maxsize=300)
def plan(n: int) -> Plan:
    """All intervals of a segment of so many points."""
    every = [(_starts(n - length, length), length) for length in lengths_of(n)]
    starts = np.concatenate([at for at, _ in every])
    lengths = np.repeat(lengths_of(n), [len(at) for at, _ in every])
    weights = [weights_of(m) for m in lengths.tolist()]
    ways = [np.arange(len(w)) + (a + SHORTEST) for a, (w, _) in zip(starts, weights, strict=True)]
    return Plan(
        starts=starts,
        lengths=lengths,
        counts=lengths - (2 * SHORTEST - 1),
        splits=np.concatenate(ways),
        share=np.concatenate([share for _, share in weights]),
        weight=np.concatenate([weight for weight, _ in weights]),
    )


def of_length(firsts: Ints, lengths: Ints, length: int) -> tuple[Ints, Ints]:
    """Where the intervals of one length start, and which segment each is in."""
    (owner,) = (lengths > length).nonzero()
    rooms = lengths[owner] - length
    if rooms.min() == rooms.max():
        starts = _starts(int(rooms[0]), length)
        return (firsts[owner][:, None] + starts).reshape(-1), owner.repeat(len(starts))
    step = max(1, length // _OVERLAP)
    # The last one ends with its segment.
    counts = -(-rooms // step) + 1
    places = np.arange(counts.sum()) - (np.cumsum(counts) - counts).repeat(counts)
    starts = np.minimum(places * step, rooms.repeat(counts)) + firsts[owner].repeat(counts)
    return starts, owner.repeat(counts)


@lru_cache(maxsize=2048)
def _starts(room: int, length: int) -> Ints:
    """Where the intervals of one length start in a segment with so much room beside one."""
    step = max(1, length // _OVERLAP)
    return np.minimum(np.arange(-(-room // step) + 1) * step, room)


def best_leans(sums: NDArray[_Number], starts: Ints, length: int) -> NDArray[_Number]:
    """How far the best split of each interval of one length leans to one side."""
    weight, share = (each.astype(sums.dtype, copy=False) for each in weights_of(length))
    if len(weight) <= _NARROW:
        # One interval beside the other: loops over a few splits would cost more than they do.
        low = sums.take(starts)
        lean = sums.take(np.arange(SHORTEST, length - SHORTEST + 1)[:, None] + starts)
        lean -= low
        lean -= share[:, None] * (sums.take(starts + length) - low)
        np.abs(lean, out=lean)
        lean *= weight[:, None]
        return lean.max(axis=0)
    step = max(1, _TABLE // len(weight))
    parts = [starts[at : at + step] for at in range(0, len(starts), step)]
    return np.concatenate([leans_of(sums, part, length).max(axis=1) for part in parts])


def leans_of(sums: NDArray[_Number], starts: Ints, length: int) -> NDArray[_Number]:
    """How far each split of intervals of one length leans to one side."""
    weight, share = (each.astype(sums.dtype, copy=False) for each in weights_of(length))
    width, size = len(weight), sums.itemsize
    # `sliding_window_view` without its overhead, which counts in a loop over lengths.
    view = np.ndarray((len(sums) - length, width), sums.dtype, sums, SHORTEST * size, (size, size))
    low = sums.take(starts)
    total = sums.take(starts + length) - low
    lean = view[starts]
    lean -= low[:, None]
    lean -= total[:, None] * share
    np.abs(lean, out=lean)
    lean *= weight
    return lean
