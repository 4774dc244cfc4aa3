"""Which candidates lack the evidence for a shift, or have it for something else."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np

from .evidence import strengths, strengths_between
from .ranks import Floats, Ints
from .robust import median
from .segments import Ranked, edges, levels, side_by_side, spreads

# Where a candidate is: from the neighbour before it to the one after it.
_Where = tuple[int, int, int]
# An excursion shorter than this that leads back to where it came from is a burst; where runs
# resemble their predecessors, bursts last longer.
_EXCURSION = 6
_LASTING_EXCURSION, _RESEMBLING = 10, 1.15
# A candidate weaker than so many on each side will most likely go before they do.
_ALONE = 6
# So much of one row is guessed ahead: to guess on through a long one takes more than to ask again.
_AT_ONCE = 4


def prune(
    values: Floats,
    cuts: Sequence[int],
    *,
    threshold: float,
    memory: float | Floats,
    ranked: Ranked | None = None,
) -> list[int]:
    """Drop the weakest candidate of each row until all that are left convince."""
    ranked = ranked or Ranked(values)
    found = strengths(values, cuts, memory, ranked)
    if not found or min(found) >= threshold:
        return list(cuts)
    n = values.shape[-1]
    known = _foreseen(ranked, edges(values, cuts), strong=found, threshold=threshold, memory=memory)
    first = 0
    rows, out = list[_Row](), list[int]()
    while first < len(cuts):
        row = cuts[first] // n
        last = bisect_left(cuts, (row + 1) * n, first)
        if min(found[first:last]) >= threshold:
            out += cuts[first:last]
        else:
            ends = [row * n, *cuts[first:last], (row + 1) * n]
            rows.append(_Row.of(ends, found[first:last], threshold))
        first = last
    weak = rows
    while weak:
        wanted = [row.drop_weakest(threshold, known) for row in weak]
        asked = [*{key for keys in wanted for key in keys}]
        if not asked:
            break
        places = np.array(asked).T
        fresh = strengths_between(ranked, (places[0], places[1], places[2]), memory)
        known.update(zip(asked, fresh, strict=True))
        weak = [row for row, keys in zip(weak, wanted, strict=True) if keys]
    return sorted([*out, *(at for row in rows for at in row.kept())])


def _foreseen(
    ranked: Ranked,
    bounds: Ints,
    *,
    strong: Sequence[float],
    threshold: float,
    memory: float | Floats,
) -> dict[_Where, float]:
    """How strong candidates are when weaker neighbours have gone, for nearly all that will be.

    Whoever is weaker than all near it mostly goes with the neighbours it has now, so all such go
    at once here, in all rows; which really goes when is left to who asks.
    """
    known, inside = dict[_Where, float](), bounds % ranked.points > 0
    strength = np.full(len(bounds), np.inf)
    strength[inside] = strong
    while True:
        weakest = strength < threshold
        for apart in range(1, min(_ALONE, len(strength) - 1) + 1):
            weakest[apart:] &= strength[apart:] < strength[:-apart]
            weakest[:-apart] &= strength[:-apart] <= strength[apart:]
        if not weakest.any():
            return known
        stays = ~weakest
        kept = stays.nonzero()[0]
        # Of those that stay the ones with new neighbours on the left, on the right.
        left, right = ~stays[kept - 1], ~stays[(kept + 1) % len(stays)]
        moved = ((left | right) & inside[kept]).nonzero()[0]
        # Where both neighbours go, the weaker goes first.
        between = kept[left & right & inside[kept]]
        left_first = strength[between - 1] <= strength[between + 1]
        begin, end = between - 1 - left_first, between + 1 + ~left_first
        beside = bounds[np.stack((begin, between, end))]
        bounds, strength, inside = bounds[kept], strength[kept], inside[kept]
        after = bounds[np.stack((moved - 1, moved, moved + 1))]
        starts, cuts, ends = np.concatenate((after, beside), axis=1)
        if not len(cuts):
            continue
        fresh = strengths_between(ranked, (starts, cuts, ends), memory)
        known.update(
            zip(zip(starts.tolist(), cuts.tolist(), ends.tolist(), strict=True), fresh, strict=True)
        )
        strength[moved] = fresh[: len(moved)]


@dataclass(slots=True)
class _Row:
    """The candidates of one row between its two ends, each with its neighbours and strength."""

    places: list[int]
    left: list[int]
    right: list[int]
    # Negative where a candidate is gone, and at the ends.
    strong: list[float]
    # The weak ones, weakest first; a strength that its candidate no longer has does not count.
    heap: list[tuple[float, int]]

    @classmethod
    def of(cls, places: list[int], strong: list[float], threshold: float) -> _Row:
        count = len(places)
        heap = [(strength, i) for i, strength in enumerate(strong, 1) if strength < threshold]
        heapify(heap)
        left, right = list(range(-1, count - 1)), list(range(1, count + 1))
        return cls(places, left, right, [-1.0, *strong, -1.0], heap)

    def kept(self) -> list[int]:
        return [at for at, strong in zip(self.places, self.strong, strict=True) if strong >= 0]

    def drop_weakest(self, threshold: float, known: dict[_Where, float]) -> list[_Where]:
        """Drop as long as it is known how strong the neighbours are then; what to ask to go on.

        To ask for much at once, a copy goes on with neighbours that stay as strong as they were.
        """
        places, left, right = self.places, self.left, self.right
        strong, heap = self.strong, self.heap
        wanted, last = list[_Where](), len(places) - 1
        while heap and len(wanted) < _AT_ONCE:
            strength, i = heap[0]
            if strong[i] != strength:
                heappop(heap)
                continue
            before, after = left[i], right[i]
            a, b = places[before], places[after]
            fresh = list[tuple[int, float]]()
            unknown = list[_Where]()
            for j, where in (
                (before, (places[left[before]], a, b)),
                (after, (a, b, places[right[after]] if after < last else b)),
            ):
                if 0 < j < last:
                    one = known.get(where)
                    if one is None:
                        unknown.append(where)
                    else:
                        fresh.append((j, one))
            if unknown:
                if not wanted:
                    left, right, strong = left.copy(), right.copy(), strong.copy()
                    heap = heap.copy()
                wanted += unknown
            heappop(heap)
            strong[i], right[before], left[after] = -1.0, after, before
            for j, one in fresh:
                strong[j] = one
                if one < threshold:
                    heappush(heap, (one, j))
        return wanted


def without_slopes(values: Floats, cuts: Sequence[int]) -> list[int]:
    """Drop candidates where a straight line explains both sides better than a step."""
    flat, bounds = values.reshape(-1), edges(values, cuts).tolist()
    n = values.shape[-1]

    def between(places: Sequence[int]) -> dict[int, _Where]:
        return {
            bounds[k]: (bounds[k - 1], bounds[k], bounds[k + 1]) for k in places if bounds[k] % n
        }

    asked = between(range(len(bounds)))
    better = dict(zip(asked, _lines_over_steps(flat, [*asked.values()]), strict=True))
    while better:
        at = max(better, key=better.__getitem__)
        if better[at] <= 0:
            break
        k = bounds.index(at)
        del better[at], bounds[k]
        asked = between((k - 1, k))
        better.update(zip(asked, _lines_over_steps(flat, [*asked.values()]), strict=True))
    return [at for at in bounds if at % n]


def _lines_over_steps(flat: Floats, where: Sequence[_Where]) -> list[float]:
    """How much smaller the line's residual sum of squares is, in points of noise."""
    if not len(where):
        return []
    starts, cuts, ends = np.array(where).T
    before, after = levels(flat, starts, cuts), levels(flat, cuts, ends)
    out = np.empty(len(cuts))
    for side in side_by_side(starts, ends):
        n, split = side.lengths, (cuts - starts)[side.which]
        below, above = before[side.which][:, None], after[side.which][:, None]
        cells, column = side.of(flat, 0.0), np.arange(side.width)
        left = column < split[:, None]
        reach = 2.5 * spreads(np.abs(cells - np.where(left, below, above)), side)[:, None]
        held = np.maximum(cells, np.minimum(below, above) - reach)
        held = np.minimum(held, np.maximum(below, above) + reach)
        side.fill(held, 0.0)
        held -= (held.sum(axis=1) / n)[:, None]
        side.fill(held, 0.0)
        total = np.einsum("ij,ij->i", held, held)
        line = total - np.einsum("ij,j->i", held, column.astype(float)) ** 2 * 12 / (
            n * (n * n - 1.0)
        )
        sums = np.where(left, held, 0.0).sum(axis=1)
        step = total - sums**2 * (1 / split + 1 / (n - split))
        with np.errstate(over="ignore"):
            out[side.which] = (step - line) / np.maximum(step, 1e-300) * n
    return out.tolist()


def without_bursts(values: Floats, cuts: Sequence[int], memory: Floats) -> list[int]:
    """Drop pairs of candidates that enclose a few points between equal levels."""
    flat, kept, i = values.reshape(-1), edges(values, cuts).tolist(), 1
    n = values.shape[-1]
    few = np.where(memory > _RESEMBLING, _LASTING_EXCURSION, _EXCURSION).tolist()
    while i + 2 < len(kept):
        if kept[i] % n and kept[i + 1] % n and kept[i + 1] - kept[i] < few[kept[i] // n]:
            before, during, after = (median(flat[a:b]) for a, b in pairwise(kept[i - 1 : i + 3]))
            if abs(after - before) < abs(during - (before + after) / 2) / 4:
                del kept[i : i + 2]
                continue
        i += 1
    return [at for at in kept if at % n]
