"""Which worker runs what, worked out ahead: pieces of work onto workers with several resources.

Longest first onto whichever worker is free first, on a clock that jumps from end to end; among
kinds of work that a free worker could take, three orders are tried, and the shortest result
stands. Where that is far from the bound, what is scarce is put on level lanes first. It ignores
what a dispatcher finds out on the way, and is fifty times faster than playing one through: for
questions about many fleets, before the best are simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from ..records import Case, Requirements
from ..resources import fits
from ..scaling.demand import concurrency
from .bottleneck import Lane, lanes_of
from .bounds import Load, Offer, least_seconds

# No other order is tried once the result is this close to the bound.
GOOD_ENOUGH = 1.005
# Beyond this, lanes are tried.
WORTH_LANES = 1.02
# No piece is shorter than so many times what makes its file ready, if the file is longer.
WARM_UPS = 4.0
# Amounts of CPU and GPU are sums of fractions.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Cases that go to a slot together, wherever that will be."""

    needs: Requirements
    seconds: float
    cases: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Where and when each piece runs, by the order of the pieces."""

    # By piece: the number of its worker, counted through all offers, and when it starts.
    workers: tuple[int, ...]
    starts: tuple[float, ...]
    makespan: float
    # No schedule is shorter than this.
    bound: float

    @property
    def gap(self) -> float:
        """By which part of the bound it is longer than that."""
        return self.makespan / self.bound - 1 if self.bound > 0 else 0.0


def pieces_of(
    cases: Iterable[Case],
    seconds: Callable[[Case], float],
    warm_up: Callable[[str], float] = lambda group: 0.0,
    *,
    at_most: float = 0.0,
) -> list[Piece]:
    """Files cut into pieces of about so many seconds; each piece makes its file ready anew."""
    found: list[Piece] = []
    by_file: dict[tuple[str, Requirements], list[Case]] = {}
    for case in cases:
        by_file.setdefault((case.group, case.needs), []).append(case)
    for (group, needs), mine in by_file.items():
        first = warm_up(group)
        # A piece that mostly makes its file ready is no gain.
        limit = max(at_most, WARM_UPS * first)
        taken: list[Case] = []
        total = first
        for case in mine:
            length = seconds(case)
            if taken and total + length > limit:
                found.append(Piece(needs=needs, seconds=total, cases=tuple(taken)))
                taken, total = [], first
            taken.append(case)
            total += length
        found.append(Piece(needs=needs, seconds=total, cases=tuple(taken)))
    return found


def loads_of_pieces(pieces: Iterable[Piece]) -> list[Load]:
    """What the pieces come to, as if nothing could be cut further."""
    lengths: dict[Requirements, list[float]] = {}
    for piece in pieces:
        lengths.setdefault(piece.needs, []).append(piece.seconds)
    return [
        Load(
            needs=needs,
            seconds=tuple(sorted(mine, reverse=True)),
            longest_seconds=max(mine),
            longest="a piece",
        )
        for needs, mine in lengths.items()
    ]


def allocate(pieces: Sequence[Piece], offers: Sequence[Offer]) -> Allocation:
    """Place every piece; each must fit some worker that is offered."""
    if not pieces:
        return Allocation(workers=(), starts=(), makespan=0.0, bound=0.0)
    bound = least_seconds(loads_of_pieces(pieces), offers)
    best = _best(pieces, offers, bound, ())
    if best.makespan > bound * WORTH_LANES:
        needs, seconds = [each.needs for each in pieces], [each.seconds for each in pieces]
        lanes = lanes_of(needs, seconds, offers, bound)
        if lanes and max(lane.end for lane in lanes) < best.makespan:
            best = min(best, _best(pieces, offers, bound, lanes), key=lambda each: each.makespan)
    return best


def _best(
    pieces: Sequence[Piece], offers: Sequence[Offer], bound: float, lanes: Sequence[Lane]
) -> Allocation:
    """The shortest that any order makes of what is not on lanes."""
    best: Allocation | None = None
    for order in (_scarcest, _most_pressing, _longest):
        found = _Placing(pieces, offers, bound, lanes).by(order)
        if best is None or found.makespan < best.makespan:
            best = found
        if best.makespan <= bound * GOOD_ENOUGH:
            break
    assert best is not None
    return best


@dataclass(slots=True)
class _Held:
    """What of a worker is taken."""

    slots: float
    cpu: float
    memory: float
    gpu: float


@dataclass(slots=True)
class _Kind(_Held):
    """Pieces that need the same; the shortest first, for they are taken from the end."""

    # Room for so many at a time in the whole fleet.
    room: int
    left: list[int]
    lengths: list[float]
    work: float = 0.0


# The smaller the answer, the sooner a piece of that kind is taken; it is told the time left.
_Order = Callable[[_Kind, float], float]


def _scarcest(kind: _Kind, time_left: float) -> float:
    """What fewest workers can do goes first, and before it what can wait no longer."""
    if kind.lengths[-1] >= time_left:
        return -kind.lengths[-1]
    return kind.room


def _most_pressing(kind: _Kind, _time_left: float) -> float:
    return -max(kind.lengths[-1], kind.work / kind.room)


def _longest(kind: _Kind, _time_left: float) -> float:
    return -kind.lengths[-1]


class _Placing:
    """One pass over the pieces; what is on lanes stands already."""

    def __init__(
        self, pieces: Sequence[Piece], offers: Sequence[Offer], bound: float, lanes: Sequence[Lane]
    ) -> None:
        self._pieces, self._bound, self._lanes = pieces, bound, lanes
        placed = {number for lane in lanes for number in lane.starts}
        by_needs: dict[Requirements, list[int]] = {}
        for number, piece in enumerate(pieces):
            if number not in placed:
                by_needs.setdefault(piece.needs, []).append(number)
        kinds: list[_Kind] = []
        able: list[list[_Kind]] = [[] for _ in offers]
        for needs, numbers in by_needs.items():
            places = [at for at, each in enumerate(offers) if fits(needs, each.facts)]
            numbers.sort(key=lambda number: pieces[number].seconds)
            lengths = [pieces[number].seconds for number in numbers]
            kind = _Kind(
                slots=1,
                cpu=needs.cpu - ROUNDING,
                memory=needs.memory_bytes,
                gpu=needs.gpu - ROUNDING,
                room=sum(offers[at].count * concurrency(needs, offers[at].facts) for at in places),
                left=numbers,
                lengths=lengths,
                work=sum(lengths),
            )
            kinds.append(kind)
            for at in places:
                able[at].append(kind)
        assert all(kind.room for kind in kinds), "check that every piece fits first"
        self._able: list[list[_Kind]] = []
        # By worker: slots, CPU, memory and GPU that are free.
        self._free: list[list[float]] = []
        self._begins: list[float] = []
        for at, offer in enumerate(offers):
            facts = offer.facts
            for _ in range(offer.count):
                self._able.append(able[at])
                self._free.append([facts.slots, facts.cpu, facts.memory_bytes, facts.gpu])
                self._begins.append(offer.boot_seconds)

    def by(self, order: _Order) -> Allocation:
        starts = [0.0] * len(self._pieces)
        workers = [0] * len(self._pieces)
        left = len(self._pieces)
        makespan = 0.0
        # When a worker has room again, a number that keeps turns, the worker, and what ended there.
        events: list[tuple[float, int, int, _Held | None]] = [
            (begin, worker, worker, None) for worker, begin in enumerate(self._begins)
        ]
        for lane in self._lanes:
            held = self._keep(lane)
            events.append((lane.end, len(events), lane.worker, held))
            makespan = max(makespan, lane.end)
            for piece, start in lane.starts.items():
                starts[piece], workers[piece] = start, lane.worker
                left -= 1
        heapify(events)
        turn = len(events)
        while left:
            now, _, worker, ended = heappop(events)
            free = self._free[worker]
            if ended is not None:
                free[0] += ended.slots
                free[1] += ended.cpu
                free[2] += ended.memory
                free[3] += ended.gpu
            kind = self._choose(self._able[worker], free, self._bound - now, order)
            if kind is None:
                continue
            piece, length = kind.left.pop(), kind.lengths.pop()
            kind.work -= length
            left -= 1
            starts[piece], workers[piece] = now, worker
            makespan = max(makespan, now + length)
            free[0] -= 1
            free[1] -= kind.cpu
            free[2] -= kind.memory
            free[3] -= kind.gpu
            turn += 1
            heappush(events, (now + length, turn, worker, kind))
            if free[0] >= 1:
                # The others have their turn before it takes a second piece.
                turn += 1
                heappush(events, (now, turn, worker, None))
        return Allocation(
            workers=tuple(workers), starts=tuple(starts), makespan=makespan, bound=self._bound
        )

    def _keep(self, lane: Lane) -> _Held:
        """Take from its worker what a lane is made of."""
        amounts = lane.amounts
        held = _Held(
            slots=amounts["slots"], cpu=amounts["cpu"], memory=amounts["memory"], gpu=amounts["gpu"]
        )
        free = self._free[lane.worker]
        free[0] -= held.slots
        free[1] -= held.cpu
        free[2] -= held.memory
        free[3] -= held.gpu
        return held

    def _choose(
        self, kinds: Iterable[_Kind], free: list[float], time_left: float, order: _Order
    ) -> _Kind | None:
        if free[0] < 1:
            return None
        best: _Kind | None = None
        least = float("inf")
        for kind in kinds:
            if kind.left and kind.cpu <= free[1] and kind.memory <= free[2] and kind.gpu <= free[3]:
                rank = order(kind, time_left)
                if rank < least:
                    best, least = kind, rank
        return best
