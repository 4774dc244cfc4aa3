"""Segments of many series at once: what NumPy asks per call is paid once for all of them.

Series of one length are the rows of a table. Places in it are counted through all rows, one after
another; so a list of shifts of one series is the same thing as one of many. Segments of about one
length are laid side by side, the shorter ones filled up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .ranks import Floats, Ints, expected_scores
from .robust import TO_SIGMA, level

# Another table costs as much as filling up so many cells.
_SPARED = 4096
# So few segments are faster one by one.
FEW = 6


class Side(NamedTuple):
    """Segments side by side."""

    # Which of the asked segments, and how long each is.
    which: Ints
    lengths: Ints
    # Place of each cell in the flat values, and which cells are beyond the end of their segment;
    # none if all are as long.
    places: Ints
    beyond: NDArray[np.bool_] | None

    def put(self, cells: Floats, out: Floats) -> None:
        """Write the cells to where they come from."""
        if self.beyond is None:
            out[self.places] = cells
        else:
            within = ~self.beyond
            out[self.places[within]] = cells[within]

    def fill(self, cells: Floats, value: float) -> None:
        """Write to what is beyond."""
        if self.beyond is not None:
            cells[self.beyond] = value


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
        places = starts[:, None] + np.arange(longest)
        yield Side(np.arange(count), lengths, places, None)
        return
    if count * (longest - shortest) <= _SPARED:
        yield _side(np.arange(count), starts, lengths)
        return
    classes = np.frexp(lengths)[1]
    order = classes.argsort(kind="stable")[::-1]
    ends_of = np.cumsum(np.bincount(classes)[::-1]).tolist()
    first, width = 0, longest
    for size, last, more in zip(
        range(int(classes.max()), -1, -1), ends_of, (*ends_of[1:], count), strict=True
    ):
        # The next shorter ones come along if that wastes little.
        if last > first and (last == count or (more - last) * (width - 2 ** (size - 1)) > _SPARED):
            which = order[first:last]
            yield _side(which, starts[which], lengths[which])
            first, width = last, 2 ** (size - 1)


def _side(which: Ints, starts: Ints, lengths: Ints) -> Side:
    column = np.arange(int(lengths.max()))
    beyond = column >= lengths[:, None]
    places = np.minimum(column, lengths[:, None] - 1)
    places += starts[:, None]
    return Side(which, lengths, places, beyond)


def ordered(values: Floats, side: Side) -> Floats:
    """Each segment's values in order, infinity beyond its end."""
    cells = values.take(side.places)
    side.fill(cells, np.inf)
    cells.sort(axis=1)
    return cells


def middles(cells: Floats, lengths: Ints) -> Floats:
    """Medians of what is in order."""
    at, half = np.arange(len(cells)), lengths // 2
    return (cells[at, (lengths - 1) // 2] + cells[at, half]) / 2


def levels(values: Floats, starts: Ints, ends: Ints) -> Floats:
    """The mean of the middle half of each segment."""
    flat = values.reshape(-1)
    if len(starts) <= FEW:
        at = zip(starts.tolist(), ends.tolist(), strict=True)
        return np.array([level(flat[a:b]) for a, b in at])
    out = np.empty(len(starts))
    for side in side_by_side(starts, ends):
        cells = ordered(flat, side)
        cut, column = side.lengths // 4, np.arange(cells.shape[1])
        middle = column >= cut[:, None]
        middle &= column < (side.lengths - cut)[:, None]
        total = np.where(middle, cells, 0.0).sum(axis=1)
        out[side.which] = total / (side.lengths - 2 * cut)
    return out


def residual_rows(rows: Floats, cuts: Sequence[int] | Ints) -> Floats:
    """What the levels of the segments leave, in the shape of the rows."""
    bounds = edges(rows, cuts)
    found = levels(rows, bounds[:-1], bounds[1:])
    return rows - found.repeat(np.diff(bounds)).reshape(rows.shape)


def row_medians(rows: Floats) -> Floats:
    n = rows.shape[1]
    cells = np.sort(rows, axis=1) if n < 1000 else np.partition(rows, ((n - 1) // 2, n // 2), 1)
    return (cells[:, (n - 1) // 2] + cells[:, n // 2]) / 2


def row_spreads(rows: Floats) -> Floats:
    """`robust.spread` of each row."""
    size = np.abs(rows)
    found = TO_SIGMA * row_medians(size)
    return found if found.all() else np.where(found > 0, found, size.mean(axis=1))


def clipped_rows(rows: Floats, limit: float = 2.5) -> Floats:
    bound = (limit * row_spreads(rows))[:, None]
    return np.minimum(np.maximum(rows, -bound), bound)


def scores_side(values: Floats, side: Side) -> Floats:
    """Normal scores of each segment among its own values; zero beyond its end."""
    cells = values.take(side.places)
    side.fill(cells, np.inf)
    order = cells.argsort(axis=1)
    at = np.arange(len(cells))[:, None]
    cells = cells[at, order]
    scores = np.zeros(cells.shape)
    if side.beyond is None:
        scores[:] = expected_scores(cells.shape[1])
    else:
        for row, size in zip(scores, side.lengths.tolist(), strict=True):
            row[:size] = expected_scores(size)
    fresh = np.empty(cells.shape, bool)
    fresh[:, 0] = True
    np.not_equal(cells[:, 1:], cells[:, :-1], out=fresh[:, 1:])
    # The infinities beyond the ends equal each other, but nothing shares with them.
    tied = ~(fresh if side.beyond is None else fresh | side.beyond).all(axis=1)
    if tied.any():
        scores[tied] = _shared(scores[tied], fresh[tied], side.lengths[tied])
    out = np.empty(cells.shape)
    out[at, order] = scores
    return out


def _shared(scores: Floats, fresh: NDArray[np.bool_], lengths: Ints) -> Floats:
    """Equal values share the mean of their scores, and the variance is one again."""
    first = np.flatnonzero(fresh)
    counts = np.diff(first, append=scores.size)
    means = np.add.reduceat(scores.ravel(), first) / counts
    out = means.repeat(counts).reshape(scores.shape)
    square = (out * out).sum(axis=1) / lengths
    scale = np.where(square > 1e-12, 1 / np.sqrt(np.maximum(square, 1e-300)), 0.0)
    return out * scale[:, None]
