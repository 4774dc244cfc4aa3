"""Which steps of a staircase are worth their price beside a slope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .ranks import Floats, Ints
from .segments import clipped_rows, edges

_Number = TypeVar("_Number", bound=np.generic)
# What a slope costs in the comparison of descriptions.
SLOPE_PRICE = 6.0


def shifts_beside_slope(rows: Floats, cuts: Sequence[int], rest: Floats, price: float) -> list[int]:
    """The shifts that are still worth their price when a slope explains its part.

    A staircase follows a creep, and leaves next to no slope inside its steps; so the steps are
    taken away one by one, cheapest first, and the best stage of all is kept. Where a slope does
    not pay at all, every shift stays. `rest` is what the levels leave.
    """
    if not cuts:
        return []
    (count, n), bounds = rows.shape, edges(rows, cuts)
    held = rows - rest + clipped_rows(rest)
    sizes = bounds[1:] - bounds[:-1]
    means = np.add.reduceat(held.reshape(-1), bounds[:-1]) / sizes
    inside = held - means.repeat(sizes).reshape(rows.shape)
    owner = bounds[:-1] // n
    times = (bounds[1:] + bounds[:-1] - 1) / 2 - owner * n
    # Sums of squares and products inside the segments; joining two adds what is between them.
    parts = sizes * (sizes.astype(float) ** 2 - 1) / 12
    sums: Floats = np.array(
        [
            np.bincount(owner, parts, minlength=count),
            np.einsum("ij,j->i", inside, np.arange(float(n))),
            np.einsum("ij,ij->i", inside, inside),
        ],
        float,
    )
    floor = 1e-12 * np.maximum(np.einsum("ij,ij->i", held, held), 1e-300)
    # A table with a row for each series, those with most steps first.
    steps = np.bincount(owner, minlength=count) - 1
    order = (-steps).argsort(kind="stable")
    firsts = np.flatnonzero(bounds[:-1] % n == 0)[order][:, None]
    column = np.arange(int(steps.max()) + 1)
    places = np.minimum(firsts + column, len(sizes) - 1)
    kept = _worth(
        steps[order],
        np.array([sizes[places], times[places], means[places]], float),
        (sums.take(order, axis=1), floor[order]),
        price=price,
        points=n,
    )
    return np.sort(bounds[(firsts + column[1:])[kept]]).tolist()


def _worth(
    steps: Ints, stairs: Floats, known: tuple[Floats, Floats], *, price: float, points: int
) -> NDArray[np.bool_]:
    """Which steps of each row are worth their price; the rows with most steps come first.

    `stairs` are sizes, times and means of the segments, `known` the sums of tt, ty and yy inside
    them and the least sum that counts.
    """
    sums, floor = known
    count, most = len(steps), int(steps[0])
    names = np.broadcast_to(np.arange(most), (count, most))
    gone, costs = np.empty((count, most), np.intp), np.full((count, most + 1), np.inf)
    costs[:, 0] = points * np.log(np.maximum(sums[2], floor)) + price * steps
    for turn in range(most):
        # Rows that have a step left.
        live = int(np.count_nonzero(steps > turn))
        left = steps[:live] - turn
        stairs, names, sums = stairs[:, :live], names[:live], sums[:, :live]
        first, stairs, sums, least = _joined(stairs, left, sums, floor[:live])
        gone[:live, turn] = names[np.arange(live), first]
        names = _without(names, first)
        cost = points * np.log(least) + price * (left - 1)
        costs[:live, turn + 1] = cost + SLOPE_PRICE
    kept = np.arange(most) < steps[:, None]
    went = np.arange(most) < costs.argmin(axis=1)[:, None]
    kept[went.nonzero()[0], gone[went]] = False
    return kept


def _joined(
    stairs: Floats, left: Ints, sums: Floats, floor: Floats
) -> tuple[Ints, Floats, Floats, Floats]:
    """Take the cheapest step of each row away.

    Which it was, the stairs and sums without it, and what a slope then leaves.
    """
    (counts, times, means), (tt, ty, yy) = stairs, sums[:, :, None]
    both = counts[:, 1:] + counts[:, :-1]
    weight = counts[:, 1:] * counts[:, :-1] / both
    apart_t, apart_y = times[:, 1:] - times[:, :-1], means[:, 1:] - means[:, :-1]
    lean = weight * apart_t
    tts, tys, yys = tt + lean * apart_t, ty + lean * apart_y, yy + weight * apart_y**2
    rest = np.maximum(yys - tys * tys / tts, floor[:, None])
    rest[np.arange(rest.shape[1]) >= left[:, None]] = np.inf
    first, row = rest.argmin(axis=1), np.arange(len(left))
    share = counts[row, first + 1] / both[row, first]
    times[row, first] += share * apart_t[row, first]
    means[row, first] += share * apart_y[row, first]
    counts[row, first] = both[row, first]
    sums = np.array([tts[row, first], tys[row, first], yys[row, first]])
    return first, _without(stairs, first + 1), sums, rest[row, first]


def _without(tables: NDArray[_Number], which: Ints) -> NDArray[_Number]:
    """The tables without one cell of each row."""
    *many, rows, width = tables.shape
    keep = np.arange(width) != which[:, None]
    return tables[..., keep].reshape(*many, rows, width - 1)
