"""The part of an allocation that decides how long it takes: lanes of what is scarce.

Work that only some workers can do, and of which some resource of theirs is scarcest, is put on
lanes: one for each slot, GPU or share of memory that such a piece takes. Pieces that take half of
that run two by two. Lanes are levelled among themselves; all else goes around them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..records import Requirements, WorkerFacts
from ..resources import fits
from .bounds import RESOURCES, Offer, capacity_of, usage_of
from .levelling import level

# Sums of fractions, and parts of a byte.
ROUNDING = 1e-9
Amounts = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What a worker does one after another in a part of it that is kept for that."""

    # Counted through all offers.
    worker: int
    # By piece, when it starts.
    starts: Mapping[int, float]
    end: float
    # Kept from the worker's first moment to the lane's end.
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class _Block:
    """Pieces that start together: as many as take what one lane has."""

    seconds: float
    pieces: tuple[int, ...]
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class _Scarcity:
    seconds: float
    resource: str
    places: tuple[int, ...]
    kinds: tuple[Requirements, ...]


def lanes_of(
    needs: Sequence[Requirements], seconds: Sequence[float], offers: Sequence[Offer], ideal: float
) -> list[Lane]:
    """Lanes for the pieces that decide, told by what each needs and takes; none where no lane is.

    No schedule is shorter than `ideal`.
    """
    numbers: dict[Requirements, list[int]] = {}
    for number, each in enumerate(needs):
        numbers.setdefault(each, []).append(number)
    work = {each: sum(seconds[number] for number in mine) for each, mine in numbers.items()}
    scarce = _scarcest(work, offers)
    if scarce is None:
        return []
    unit = max(usage_of(each)[scarce.resource] for each in scarce.kinds)
    blocks = [
        block
        for each in scarce.kinds
        for block in _blocks(each, numbers[each], seconds, unit, scarce.resource)
    ]
    widest = {name: max(block.amounts[name] for block in blocks) for name in RESOURCES}
    places = list(_places(scarce, offers, unit, widest))
    if not places:
        return []
    levelled = level([block.seconds for block in blocks], [begin for _, begin in places], ideal)
    return [
        _lane(worker, begin, [blocks[number] for number in mine])
        for (worker, begin), mine in zip(places, levelled, strict=True)
        if mine
    ]


def _scarcest(work: Mapping[Requirements, float], offers: Sequence[Offer]) -> _Scarcity | None:
    """The resource and the workers that take longest for what only they can do."""
    able = {
        each: frozenset(at for at, offer in enumerate(offers) if fits(each, offer.facts))
        for each in work
    }
    found: list[_Scarcity] = []
    for places in {*able.values(), frozenset[int]().union(*able.values())}:
        there = [offers[at] for at in places]
        boot = min(offer.boot_seconds for offer in there)
        for resource in RESOURCES:
            inside = [
                each for each in work if able[each] <= places and usage_of(each)[resource] > 0
            ]
            amount = sum(work[each] * usage_of(each)[resource] for each in inside)
            capacity = sum(offer.count * capacity_of(offer.facts)[resource] for offer in there)
            if amount > 0 and capacity > 0:
                found.append(
                    _Scarcity(
                        boot + amount / capacity, resource, tuple(sorted(places)), tuple(inside)
                    )
                )
    return max(found, key=lambda each: each.seconds, default=None)


def _blocks(
    kind: Requirements,
    numbers: Sequence[int],
    seconds: Sequence[float],
    unit: float,
    resource: str,
) -> Iterator[_Block]:
    """Pieces of about one length side by side, so that little of the lane is left empty."""
    usage = usage_of(kind)
    together = max(1, int(unit / usage[resource] + ROUNDING))
    longest_first = sorted(numbers, key=seconds.__getitem__, reverse=True)
    for at in range(0, len(longest_first), together):
        mine = longest_first[at : at + together]
        yield _Block(
            seconds[mine[0]],
            tuple(mine),
            {name: amount * len(mine) for name, amount in usage.items()},
        )


def _places(
    scarce: _Scarcity, offers: Sequence[Offer], unit: float, widest: Amounts
) -> Iterator[tuple[int, float]]:
    """The workers of all lanes and when those begin; as many as fit beside each other."""
    worker = 0
    for at, offer in enumerate(offers):
        if at in scarce.places:
            fitting = _fitting(offer.facts, widest)
            lanes = min(fitting, int(capacity_of(offer.facts)[scarce.resource] / unit + ROUNDING))
            for number in range(offer.count):
                yield from [(worker + number, offer.boot_seconds)] * lanes
        worker += offer.count


def _fitting(facts: WorkerFacts, amounts: Amounts) -> int:
    capacity = capacity_of(facts)
    return min(
        int(capacity[name] / amount + ROUNDING) for name, amount in amounts.items() if amount > 0
    )


def _lane(worker: int, begin: float, blocks: Sequence[_Block]) -> Lane:
    starts: dict[int, float] = {}
    at = begin
    for block in blocks:
        starts.update(dict.fromkeys(block.pieces, at))
        at += block.seconds
    amounts = {name: max(block.amounts[name] for block in blocks) for name in RESOURCES}
    return Lane(worker=worker, starts=starts, end=at, amounts=amounts)
