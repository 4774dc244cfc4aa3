"""How soon cases can be done at best on a fleet, whoever schedules them: one bound per reason.

No schedule is shorter than any of these, so the largest is a certificate: a plan that comes within
3 % of it can be bettered by 3 % at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations

from ..records import Case, Requirements, WorkerFacts
from ..resources import describe, fits
from ..scaling.demand import concurrency

# Sets of classes that are bounded together; beyond this many, unions of two are left out.
MOST_UNIONS = 12
# Beyond so many cases one after another, whole ones are as good as a fluid.
MOST_LAYERS = 20
# So many sizes of the last layer are looked at.
PARTS = 16
RESOURCES = ("slots", "cpu", "memory", "gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """So many workers of a kind; they take cases once they have booted."""

    facts: WorkerFacts
    count: int
    boot_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """All that is to be done of the cases that need the same of a worker."""

    needs: Requirements
    # Longest first.
    seconds: tuple[float, ...]
    # Making files ready, each once: less than that no schedule does.
    warm_up_seconds: float = 0.0
    # The longest case with what its file needs first, and its id.
    longest_seconds: float = 0.0
    longest: str = ""

    @property
    def work_seconds(self) -> float:
        return sum(self.seconds) + self.warm_up_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """No schedule takes less, and why."""

    seconds: float
    why: str


def loads_of(
    cases: Iterable[Case],
    seconds: Callable[[Case], float],
    warm_up: Callable[[str], float] = lambda group: 0.0,
) -> list[Load]:
    """Cases by what they need."""
    by_needs: dict[Requirements, list[tuple[float, Case]]] = {}
    needs_of: dict[str, set[Requirements]] = {}
    for case in cases:
        by_needs.setdefault(case.needs, []).append((seconds(case), case))
        needs_of.setdefault(case.group, set()).add(case.needs)
    warm_ups = {group: warm_up(group) for group in needs_of}
    found: list[Load] = []
    for needs, mine in by_needs.items():
        # Of a file whose cases need different things nobody knows which of them pays for it.
        own = {case.group for _, case in mine if len(needs_of[case.group]) == 1}
        longest, case = max(
            ((each + warm_ups[case.group], case) for each, case in mine), key=lambda pair: pair[0]
        )
        found.append(
            Load(
                needs=needs,
                seconds=tuple(sorted((each for each, _ in mine), reverse=True)),
                warm_up_seconds=sum(warm_ups[group] for group in own),
                longest_seconds=longest,
                longest=case.id,
            )
        )
    return found


def lower_bounds(loads: Sequence[Load], offers: Sequence[Offer]) -> list[Bound]:
    """Every reason why it cannot be done sooner, the strongest first; each load must fit somewhere.

    Work over capacity for each resource of each set of classes that some work cannot do without;
    cases that need the same over the room for them; and the longest case of each kind.
    """
    there = [each for each in offers if each.count > 0]
    able = [
        frozenset(at for at, each in enumerate(there) if fits(load.needs, each.facts))
        for load in loads
    ]
    assert all(able), "check that every case fits before asking how long it takes"
    found: list[Bound] = []
    for load, places in zip(loads, able, strict=True):
        found.extend(_of_one_load(load, [there[at] for at in sorted(places)]))
    for places in _unions(set(able)):
        inside = [load for load, mine in zip(loads, able, strict=True) if mine <= places]
        found.extend(_of_a_set(inside, [there[at] for at in sorted(places)]))
    return sorted(found, key=lambda each: each.seconds, reverse=True)


def least_seconds(loads: Sequence[Load], offers: Sequence[Offer]) -> float:
    """The strongest of all bounds."""
    return max((each.seconds for each in lower_bounds(loads, offers)), default=0.0)


def capacity_of(facts: WorkerFacts) -> Mapping[str, float]:
    """What a worker has of each resource."""
    return {
        "slots": float(facts.slots),
        "cpu": facts.cpu,
        "memory": float(facts.memory_bytes),
        "gpu": facts.gpu,
    }


def usage_of(needs: Requirements) -> Mapping[str, float]:
    """What a case takes of each resource while it runs."""
    return {"slots": 1.0, "cpu": needs.cpu, "memory": float(needs.memory_bytes), "gpu": needs.gpu}


def _of_one_load(load: Load, offers: Sequence[Offer]) -> Iterable[Bound]:
    asked = describe(load.needs)
    boot = min(each.boot_seconds for each in offers)
    booted = " after its worker has booted" if boot else ""
    yield Bound(
        seconds=boot + load.longest_seconds,
        why=f"the longest case that needs {asked}{booted}: {load.longest}",
    )
    room = [
        (each.boot_seconds, float(each.count * concurrency(load.needs, each.facts)))
        for each in offers
    ]
    at_once = int(sum(count for _, count in room))
    work = max(_earliest(load.work_seconds, room), boot + _stacked(load.seconds, at_once))
    yield Bound(seconds=work, why=f"cases that need {asked}: {at_once} run at a time")


def _of_a_set(loads: Sequence[Load], offers: Sequence[Offer]) -> Iterable[Bound]:
    names = ", ".join(sorted({each.facts.worker_class for each in offers}))
    boot = min(each.boot_seconds for each in offers)
    for resource in RESOURCES:
        work = sum(load.work_seconds * usage_of(load.needs)[resource] for load in loads)
        capacity = [
            (each.boot_seconds, each.count * capacity_of(each.facts)[resource]) for each in offers
        ]
        total = sum(amount for _, amount in capacity)
        if work <= 0 or total <= 0:
            continue
        seconds = _earliest(work, capacity)
        if resource == "slots":
            lengths = sorted((each for load in loads for each in load.seconds), reverse=True)
            seconds = max(seconds, boot + _stacked(lengths, int(total)))
        yield Bound(seconds=seconds, why=f"work over the {resource} of {names}")


def _earliest(work: float, capacity: Sequence[tuple[float, float]]) -> float:
    """When so much work is done by workers that begin at their times with their capacities."""
    rate = offset = at = 0.0
    begins = sorted(capacity)
    for number, (begin, amount) in enumerate(begins):
        rate += amount
        offset += amount * begin
        at = (work + offset) / rate if rate > 0 else begin
        if number + 1 == len(begins) or at <= begins[number + 1][0]:
            break
    return at


def _stacked(seconds: Sequence[float], at_once: int) -> float:
    """What whole cases take where so many run at a time; the longest come first.

    Of the k·m + r longest on m lanes, some lanes have more than k. If a lanes have, these hold at
    least r + k·a cases, and (k + 1)·a: the mean of them is no less than the shortest such cases
    come to. The fewest seconds of all a are a bound, for any k and r.
    """
    sums = [0.0, *accumulate(seconds)]
    most = 0.0
    for layers in range(1, min(MOST_LAYERS, (len(seconds) - 1) // at_once) + 1):
        for part in range(1, PARTS + 1):
            rest = max(1, at_once * part // PARTS) if part > 1 else 1
            count = layers * at_once + rest
            if count <= len(seconds):
                most = max(most, _least_mean(sums, count, layers, rest))
    return most


def _least_mean(sums: Sequence[float], count: int, layers: int, rest: int) -> float:
    """The fewest seconds that lanes with more than so many layers come to, however many they are.

    With more lanes than the rest the mean only grows; with fewer it falls and then grows.
    """

    def mean(lanes: int) -> float:
        return (sums[count] - sums[count - rest - layers * lanes]) / lanes

    low, high = 1, rest
    while low < high:
        middle = (low + high) // 2
        if mean(middle) <= mean(middle + 1):
            high = middle
        else:
            low = middle + 1
    return mean(low)


def _unions(sets: set[frozenset[int]]) -> set[frozenset[int]]:
    found = {*sets, frozenset[int]().union(*sets)} if sets else sets
    if len(sets) <= MOST_UNIONS:
        found |= {one | other for one, other in combinations(sets, 2)}
    return found
