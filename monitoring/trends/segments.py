"""Segments of many series at once: what NumPy asks per call is paid once for all of them.

Series of one length are the rows of a table. Places in it are counted through all rows, one after
another; so a list of shifts of one series is the same thing as one of many. Segments of about one
length are laid side by side, the shorter ones filled up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
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


class Ranked:
    """The values of rows with their order, which is made when it is first asked for.

    The order of a segment's values then costs a sort of whole numbers, an eighth of the time.
    """

    def __init__(self, values: Floats) -> None:
        self.values = values

    @cached_property
    def places(self) -> Ints:
        """Where the values of each row are, smallest first."""
        rows = self.values.reshape(-1, self.values.shape[-1])
        found = rows.argsort(axis=1)
        found += np.arange(0, rows.size, rows.shape[1])[:, None]
        return found.reshape(-1)

    @cached_property
    def ranks(self) -> Ints:
        """The place of each value in `places`."""
        out = np.empty(self.values.size, np.intp)
        out[self.places] = np.arange(self.values.size)
        return out

    def scores(self, side: Side) -> tuple[Floats, Ints]:
        """Normal scores of each segment among its own values, in order; and where each belongs.

        Beyond the end of a segment they are zero, and belong nowhere.
        """
        keys = self.ranks.take(side.places)
        if side.beyond is not None:
            keys[side.beyond] = self.values.size
        keys.sort(axis=1)
        places = self.places.take(keys, mode="clip")
        cells = self.values.reshape(-1).take(places)
        scores = np.zeros(cells.shape)
        fresh = np.empty(cells.shape, bool)
        fresh[:, 0] = True
        np.not_equal(cells[:, 1:], cells[:, :-1], out=fresh[:, 1:])
        if side.beyond is None:
            scores[:] = expected_scores(cells.shape[1])
        else:
            fresh |= side.beyond
            for row, size in zip(scores, side.lengths.tolist(), strict=True):
                row[:size] = expected_scores(size)
        if not fresh.all():
            tied = ~fresh.all(axis=1)
            scores[tied] = _shared(scores[tied], fresh[tied], side.lengths[tied])
        return scores, places


def _shared(scores: Floats, fresh: NDArray[np.bool_], lengths: Ints) -> Floats:
    """Equal values share the mean of their scores, and the variance is one again."""
    first = np.flatnonzero(fresh)
    counts = np.diff(first, append=scores.size)
    means = np.add.reduceat(scores.ravel(), first) / counts
    out = means.repeat(counts).reshape(scores.shape)
    square = (out * out).sum(axis=1) / lengths
    scale = np.where(square > 1e-12, 1 / np.sqrt(np.maximum(square, 1e-300)), 0.0)
    return out * scale[:, None]
