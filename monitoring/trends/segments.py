"""Segments of many series at once: what NumPy asks per call is paid once for all of them.

Series of one length are the rows of a table. Places in it are counted through all rows, one after
another; so a list of shifts of one series is the same thing as one of many. Segments of about one
length are laid side by side, the shorter ones filled up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .ranks import Floats, Ints, expected_scores
from .robust import TO_SIGMA, level

_Number = TypeVar("_Number", bound=np.generic)
# Another table costs as much as filling up so many cells.
_SPARED = 10_000
Whole = NDArray[np.int32 | np.int64]
# So many points of whole rows are worked on at a time where each needs much room.
_BLOCK = 32_768
# Above this many points the middle is found faster without a full sort.
_LONG = 400
# So few segments are faster one by one.
FEW = 6
# The expected scores of segments up to the first length are kept in tables, each so much wider.
_NARROW = 256
_STEP = 32


class Side(NamedTuple):
    """Segments side by side."""

    # Which of the asked segments, where each starts and how long it is.
    which: Ints
    starts: Ints
    lengths: Ints
    width: int
    # Which cells are beyond the end of their segment; none if all are as long.
    beyond: NDArray[np.bool_] | None

    def of(self, flat: NDArray[_Number], beyond: float) -> NDArray[_Number]:
        """A copy of what the segments hold, and this beyond their ends."""
        last = len(flat) - self.width
        # `sliding_window_view` without its overhead: every row is copied in one piece.
        view = np.ndarray((last + 1, self.width), flat.dtype, flat, 0, flat.strides * 2)
        cells = view[np.minimum(self.starts, last)]
        # Not so many points are behind the last starts.
        for i in (self.starts > last).nonzero()[0].tolist():
            rest = flat[self.starts[i] :]
            cells[i, : len(rest)] = rest
        self.fill(cells, beyond)
        return cells

    def fill(self, cells: NDArray[_Number], value: float) -> None:
        """Write to what is beyond."""
        if self.beyond is not None:
            cells[self.beyond] = value


def blocks(rows: Floats) -> Iterator[slice]:
    """Rows in portions that stay near the processor while they are worked on."""
    step = max(1, _BLOCK // max(rows.shape[1], 1))
    for at in range(0, len(rows), step):
        yield slice(at, at + step)


def edges(rows: Floats, cuts: Sequence[int] | Ints) -> Ints:
    """Where segments begin: with every row and with every cut; and the end of all."""
    ends = np.arange(0, rows.size + 1, rows.shape[-1])
    if not len(cuts):
        return ends
    out = np.concatenate((ends, np.asarray(cuts, np.intp)))
    out.sort()
    return out


def inner(rows: Floats, bounds: Ints) -> Ints:
    """Which of the edges are cuts."""
    return (bounds % rows.shape[-1]).nonzero()[0]


def side_by_side(starts: Ints, ends: Ints) -> Iterator[Side]:
    """Tables that hold all segments between them."""
    count, lengths = len(starts), ends - starts
    if not count:
        return
    longest, shortest = int(lengths.max()), int(lengths.min())
    if longest == shortest:
        yield Side(np.arange(count), starts, lengths, longest, None)
        return
    if count * (longest - shortest) <= _SPARED:
        yield _side(np.arange(count), starts, lengths)
        return
    # Twice the logarithm, so that none is filled up by half of itself.
    classes = (2 * np.log2(lengths)).astype(np.intp)
    order = classes.argsort(kind="stable")[::-1]
    ends_of = np.cumsum(np.bincount(classes)[::-1]).tolist()
    first, width = 0, longest
    for size, last, more in zip(
        range(int(classes.max()), -1, -1), ends_of, (*ends_of[1:], count), strict=True
    ):
        # The next shorter ones come along if that wastes little.
        if last > first and (last == count or (more - last) * (width - 2 ** (size / 2)) > _SPARED):
            which = order[first:last]
            yield _side(which, starts[which], lengths[which])
            first, width = last, 2 ** (size / 2)


def _side(which: Ints, starts: Ints, lengths: Ints) -> Side:
    width = int(lengths.max())
    # The fewer bytes a number has, the sooner all of them are compared.
    small = np.int16 if width < np.iinfo(np.int16).max else np.intp
    beyond = np.arange(width, dtype=small) >= lengths.astype(small)[:, None]
    return Side(which, starts, lengths, width, beyond)


def ordered(values: NDArray[_Number], side: Side) -> NDArray[_Number]:
    """Each segment's values in order, infinity beyond its end."""
    cells = side.of(values, np.inf)
    cells.sort(axis=1)
    return cells


def middles(cells: NDArray[_Number], lengths: Ints) -> Floats:
    """Medians of what is in order."""
    at, half = np.arange(len(cells)), lengths // 2
    low, high = cells[at, (lengths - 1) // 2], cells[at, half]
    return (low.astype(float) + high.astype(float)) / 2


def levels(values: Floats, starts: Ints, ends: Ints, ranked: Ranked | None = None) -> Floats:
    """The mean of the middle half of each segment; none is shorter than four points.

    Sooner told where the values' order is known.
    """
    flat = values.reshape(-1)
    if len(starts) <= FEW:
        at = zip(starts.tolist(), ends.tolist(), strict=True)
        return np.array([level(flat[a:b]) for a, b in at])
    out = np.empty(len(starts))
    for side in side_by_side(starts, ends):
        cells = ordered(flat, side) if ranked is None else ranked.in_order(side)
        cut, first = side.lengths // 4, np.arange(0, cells.size, side.width)
        middle = np.stack((first + cut, first + side.lengths - cut), axis=1)
        total = np.add.reduceat(cells.reshape(-1), middle.reshape(-1))[::2]
        out[side.which] = total / (side.lengths - 2 * cut)
    return out


def spreads(sizes: Floats, side: Side) -> Floats:
    """`robust.spread` of each segment from the sizes of its residuals."""
    if side.beyond is None:
        return _middle_spreads(sizes)
    with np.errstate(over="ignore"):
        cells = sizes.astype(np.float32)
    side.fill(cells, np.inf)
    cells.sort(axis=1)
    side.fill(sizes, 0.0)
    return _or_mean(middles(cells, side.lengths), sizes, side.lengths)


def row_spreads(rows: Floats) -> Floats:
    """`robust.spread` of each row."""
    return _middle_spreads(np.abs(rows))


def _middle_spreads(sizes: Floats) -> Floats:
    """Of rows of sizes.

    Half the bytes sort in a third of the time, and a spread needs no more digits.
    """
    n = sizes.shape[1]
    with np.errstate(over="ignore"):
        cells = sizes.astype(np.float32)
    if n > _LONG:
        return _or_mean(row_middles(cells), sizes, n)
    cells.sort(axis=1)
    return _or_mean(0.5 * cells[:, (n - 1) // 2].astype(float) + 0.5 * cells[:, n // 2], sizes, n)


def _or_mean(middle: Floats, sizes: Floats, lengths: Ints | int) -> Floats:
    """The spread by the median, by the mean where that is zero or too large for half the bytes."""
    known = (middle > 0) & (middle < np.inf)
    found = TO_SIGMA * middle
    return found if known.all() else np.where(known, found, sizes.sum(axis=1) / lengths)


def row_middles(cells: NDArray[np.floating]) -> Floats:
    """The median of each row, whose cells may change places.

    Parted at one place: at two it costs many times as much.
    """
    n, half = cells.shape[1], cells.shape[1] // 2
    cells.partition(half, axis=1)
    high = cells[:, half]
    low = high if n % 2 else cells[:, :half].max(axis=1)
    return 0.5 * low.astype(float) + 0.5 * high


def row_means(rows: Floats) -> Floats:
    """The mean of each row, as a column; NumPy's own takes twice as long for a short one."""
    return np.add.reduce(rows, axis=1, keepdims=True) / rows.shape[1]


def residual_rows(rows: Floats, cuts: Sequence[int] | Ints) -> Floats:
    """What the levels of the segments leave, in the shape of the rows."""
    bounds = edges(rows, cuts)
    found = levels(rows, bounds[:-1], bounds[1:])
    return rows - found.repeat(bounds[1:] - bounds[:-1]).reshape(rows.shape)


def clipped_rows(rows: Floats, limit: float = 2.5) -> Floats:
    out = np.empty_like(rows)
    for at in blocks(rows):
        bound = (limit * row_spreads(rows[at]))[:, None]
        np.maximum(rows[at], -bound, out=out[at])
        np.minimum(out[at], bound, out=out[at])
    return out


class Ranked:
    """The values of rows with their order, which is made when it is first asked for.

    Each value is known by a whole number: its rank in its row, equal values sharing one, and
    below that its place there. So the order of a segment's values costs a sort of short whole
    numbers, a fifth of the time, and tells where each value belongs.
    """

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.points = values.shape[-1]
        self._bits = max(1, (self.points - 1).bit_length())
        self._whole = np.int32 if 2 * self._bits < 31 else np.int64

    @cached_property
    def _in_order(self) -> tuple[Whole, NDArray[np.bool_]]:
        """The numbers of each row, smallest first; which rows have equal values."""
        rows = self.values.reshape(-1, self.points)
        order = rows.argsort(axis=1)
        cells = rows.take(order + np.arange(0, rows.size, self.points)[:, None])
        fresh = cells[:, 1:] != cells[:, :-1]
        tied = ~fresh.all(axis=1)
        ranks = np.empty(rows.shape, self._whole)
        ranks[:] = np.arange(self.points)
        if tied.any():
            ranks[:, 1:][tied] = fresh[tied].cumsum(axis=1)
        return (ranks << self._bits) | order.astype(self._whole), tied

    @cached_property
    def _numbers(self) -> Whole:
        """The number of each value."""
        cells, _ = self._in_order
        out = np.empty(cells.size, cells.dtype)
        out[(cells & self._mask) + np.arange(0, cells.size, self.points)[:, None]] = cells
        return out

    @property
    def _mask(self) -> int:
        return (1 << self._bits) - 1

    def _sorted(self, side: Side) -> Whole:
        """The numbers of each segment, smallest first; beyond its end the largest there is."""
        if side.beyond is None and side.width == self.points:
            return self._in_order[0][side.starts // self.points]
        cells = side.of(self._numbers, np.iinfo(self._whole).max)
        cells.sort(axis=1)
        return cells

    def in_order(self, side: Side) -> Floats:
        """The values of each segment, smallest first; beyond its end any."""
        places = (self._sorted(side) & self._mask) + (side.starts // self.points * self.points)[
            :, None
        ]
        return self.values.reshape(-1).take(places, mode="clip")

    def scores(self, side: Side) -> tuple[Floats, Whole]:
        """Normal scores of each segment among its own values, in order; their places in the row.

        Beyond the end of a segment they are zero, and belong nowhere.
        """
        cells, (_, tied) = self._sorted(side), self._in_order
        rows = side.starts // self.points
        scores = _expected_rows(side)
        (equal,) = tied[rows].nonzero()
        if len(equal):
            fresh = np.ones((len(equal), side.width), bool)
            fresh[:, 1:] = np.diff(cells[equal] >> self._bits, axis=1)
            if side.beyond is not None:
                fresh |= side.beyond[equal]
            scores[equal] = _shared(scores[equal], fresh, side.lengths[equal])
        return scores, cells & self._mask


def _expected_rows(side: Side) -> Floats:
    """The expected scores of each segment, zero beyond its end."""
    if side.beyond is not None and side.width <= _NARROW:
        return _score_table(-(-side.width // _STEP) * _STEP)[:, : side.width][side.lengths]
    scores = np.zeros((len(side.lengths), side.width))
    if side.beyond is None:
        scores[:] = expected_scores(side.width)
        return scores
    for row, n in zip(scores, side.lengths.tolist(), strict=True):
        row[:n] = expected_scores(n)
    return scores


@cache
def _score_table(width: int) -> Floats:
    """The expected scores of segments of each length up to this one, zero beyond their ends."""
    table = np.zeros((width + 1, width))
    for n in range(1, width + 1):
        table[n, :n] = expected_scores(n)
    return table


def _shared(scores: Floats, fresh: NDArray[np.bool_], lengths: Ints) -> Floats:
    """Equal values share the mean of their scores, and the variance is one again."""
    first = np.flatnonzero(fresh)
    counts = np.diff(first, append=scores.size)
    means = np.add.reduceat(scores.ravel(), first) / counts
    out = means.repeat(counts).reshape(scores.shape)
    square = (out * out).sum(axis=1) / lengths
    scale = np.where(square > 1e-12, 1 / np.sqrt(np.maximum(square, 1e-300)), 0.0)
    return out * scale[:, None]
