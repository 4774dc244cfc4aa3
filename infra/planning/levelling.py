"""Work spread evenly over lanes: longest first, then swaps until no lane stands out.

Longest first onto the least loaded is close to the best where lanes get many pieces each. Where
they get two and a half, the half is on top of some: those swap a long piece for a shorter one of a
lane that has room.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace

# No lane is made shorter than so many times what would be ideal.
CLOSE_ENOUGH = 1.004
# With so many of the lightest lanes the heaviest tries to swap, and with so many of the others.
LIGHTEST = 16
OTHERS = 32
# On average a lane swaps no more often than that.
SWAPS_A_LANE = 20
# A swap that takes off less than this share of the difference is not worth it.
LEAST_GAIN = 0.01


def level(lengths: Sequence[float], begins: Sequence[float], ideal: float) -> list[list[int]]:
    """By lane the numbers of its pieces, so that the last end is early; lanes begin as told."""
    lanes = _longest_first(lengths, begins)
    loads = [
        begin + sum(lengths[number] for number in lane)
        for begin, lane in zip(begins, lanes, strict=True)
    ]
    # Shortest first in each lane, to find by length what to swap.
    held = [sorted((lengths[number], number) for number in lane) for lane in lanes]
    order = sorted((load, lane) for lane, load in enumerate(loads))
    for _ in range(SWAPS_A_LANE * len(lanes)):
        load, heavy = order[-1]
        if load <= ideal * CLOSE_ENOUGH or not _relieve(heavy, held, loads, order):
            break
    return [[number for _, number in reversed(each)] for each in held]


def _longest_first(lengths: Sequence[float], begins: Sequence[float]) -> list[list[int]]:
    lanes: list[list[int]] = [[] for _ in begins]
    heap = [(begin, lane) for lane, begin in enumerate(begins)]
    heapify(heap)
    for number in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        load, lane = heap[0]
        lanes[lane].append(number)
        heapreplace(heap, (load + lengths[number], lane))
    return lanes


_Held = list[list[tuple[float, int]]]


def _relieve(heavy: int, held: _Held, loads: list[float], order: list[tuple[float, int]]) -> bool:
    """Swap, or give away, one piece of the heaviest lane; whether that helped."""
    for light in _partners(order):
        swap = _best_swap(held[heavy], held[light], loads[heavy] - loads[light])
        if swap is None:
            continue
        mine, its = swap
        _move(mine, heavy, light, held)
        if its is not None:
            _move(its, light, heavy, held)
        by = mine[0] - (its[0] if its is not None else 0.0)
        for lane, more in ((heavy, -by), (light, by)):
            del order[bisect_left(order, (loads[lane], lane))]
            loads[lane] += more
            insort(order, (loads[lane], lane))
        return True
    return False


def _partners(order: Sequence[tuple[float, int]]) -> Iterator[int]:
    """The lightest lanes first, then some from all the others."""
    others = order[:-1]
    yield from (lane for _, lane in others[:LIGHTEST])
    rest = others[LIGHTEST:]
    yield from (lane for _, lane in rest[:: max(1, len(rest) // OTHERS)])


def _best_swap(
    heavy: Sequence[tuple[float, int]], light: Sequence[tuple[float, int]], gap: float
) -> tuple[tuple[float, int], tuple[float, int] | None] | None:
    """What to swap so that both come closest to their mean; the other may give nothing."""
    best, found = gap * LEAST_GAIN, None
    for mine in heavy:
        # What comes nearest to half of the difference is one of two, or nothing.
        at = bisect_left(light, (mine[0] - gap / 2, -1))
        for its in (*light[max(0, at - 1) : at + 1], None):
            by = mine[0] - (its[0] if its is not None else 0.0)
            gain = min(by, gap - by)
            if gain > best:
                best, found = gain, (mine, its)
    return found


def _move(piece: tuple[float, int], here: int, there: int, held: _Held) -> None:
    del held[here][bisect_left(held[here], piece)]
    insort(held[there], piece)
