"""Work is put on workers so that none has more than it can hold, and close to the bound."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.infra.planning.allocation import Allocation, Piece, allocate, pieces_of
from proctor.infra.planning.bounds import Offer
from proctor.infra.records import Case, Requirements, WorkerFacts
from proctor.infra.resources import fits
from proctor.infra.worker_classes import WorkerClass

GIB = 2**30
CLASSES = (
    WorkerClass(name="cpu", slots=2, cpu=2, memory_bytes=4 * GIB),
    WorkerClass(name="big", slots=4, cpu=4, memory_bytes=32 * GIB, boot_seconds=3),
    WorkerClass(name="gpu", slots=2, cpu=2, memory_bytes=8 * GIB, gpu=1, boot_seconds=7),
)
NEEDS = (
    Requirements(),
    Requirements(cpu=2),
    Requirements(memory_bytes=3 * GIB),
    Requirements(memory_bytes=12 * GIB),
    Requirements(gpu=0.5),
    Requirements(gpu=1),
    Requirements(tags=frozenset({"big"})),
)

pieces = st.lists(
    st.builds(
        Piece, needs=st.sampled_from(NEEDS), seconds=st.sampled_from((0.0, 0.5, 1.0, 3.0, 20.0))
    ),
    max_size=40,
)
fleets = st.tuples(*(st.integers(1, 3) for _ in CLASSES)).map(
    lambda counts: [
        Offer(facts=each.facts(1), count=count, boot_seconds=each.boot_seconds)
        for each, count in zip(CLASSES, counts, strict=True)
    ]
)


def workers_of(offers: list[Offer]) -> list[tuple[WorkerFacts, float]]:
    return [(each.facts, each.boot_seconds) for each in offers for _ in range(each.count)]


def overfull(given_pieces: list[Piece], offers: list[Offer], found: Allocation) -> list[str]:
    """Workers that hold more than they have at some time, or something they cannot run."""
    fleet = workers_of(offers)
    wrong: list[str] = []
    changes: defaultdict[int, list[tuple[float, int, Piece]]] = defaultdict(list)
    for piece, worker, start in zip(given_pieces, found.workers, found.starts, strict=True):
        facts, boot = fleet[worker]
        if not fits(piece.needs, facts) or start < boot:
            wrong.append(f"{piece} on {facts.name} at {start}")
        # What ends makes room for what begins at the same time.
        if piece.seconds:
            changes[worker] += [(start, 1, piece), (start + piece.seconds, -1, piece)]
    for worker, events in changes.items():
        slots = cpu = memory = gpu = 0.0
        facts, _ = fleet[worker]
        for at, sign, piece in sorted(events, key=lambda each: each[:2]):
            slots += sign
            cpu += sign * piece.needs.cpu
            memory += sign * piece.needs.memory_bytes
            gpu += sign * piece.needs.gpu
            room = (facts.slots, facts.cpu + 1e-6, facts.memory_bytes, facts.gpu + 1e-6)
            if any(used > has for used, has in zip((slots, cpu, memory, gpu), room, strict=True)):
                wrong.append(f"{facts.name} at {at}")
    return wrong


@given(pieces, fleets)
@settings(max_examples=150, deadline=None)
def test_no_worker_ever_holds_more_than_it_has(
    given_pieces: list[Piece], offers: list[Offer]
) -> None:
    """Slots, CPU, memory and GPUs, whatever is put where; and the bound is never above it."""
    found = allocate(given_pieces, offers)
    assert overfull(given_pieces, offers, found) == []
    ends = [start + each.seconds for start, each in zip(found.starts, given_pieces, strict=True)]
    assert found.makespan == max(ends, default=0.0)
    assert found.bound <= found.makespan + 1e-9
    assert found.gap >= -1e-9


@pytest.mark.parametrize("seed", range(3))
def test_many_pieces_come_within_five_in_a_hundred_of_the_bound(seed: int) -> None:
    """The bar for ten and more cases a worker."""
    rng = random.Random(seed)
    offers = [
        Offer(facts=each.facts(1), count=count, boot_seconds=each.boot_seconds)
        for each, count in zip(CLASSES, (20, 8, 6), strict=True)
    ]
    weights = (60, 5, 10, 5, 5, 5, 10)
    made = [
        Piece(needs=needs, seconds=rng.uniform(0.5, 1.5))
        for needs in rng.choices(NEEDS, weights, k=2000)
    ]
    assert allocate(made, offers).gap < 0.05


def test_scarce_work_is_not_kept_waiting_by_common_work() -> None:
    """A GPU worker that could run anything runs what only it can."""
    offers = [
        Offer(facts=WorkerClass(name="cpu", slots=1, cpu=1, memory_bytes=GIB).facts(1), count=1),
        Offer(
            facts=WorkerClass(name="gpu", slots=1, cpu=1, memory_bytes=GIB, gpu=1).facts(1),
            count=1,
        ),
    ]
    common = [Piece(needs=Requirements(memory_bytes=GIB), seconds=5.0) for _ in range(2)]
    scarce = [Piece(needs=Requirements(gpu=1), seconds=1.0) for _ in range(10)]
    found = allocate([*common, *scarce], offers)
    assert found.makespan == found.bound == 10
    assert found.workers == (0, 0, *[1] * 10)


def test_files_are_cut_into_pieces_that_each_pay_for_their_warm_up() -> None:
    """Ten seconds of cases in pieces of four, and the file made ready for each."""
    cases = [Case(id=f"a.py::{n}", group="a.py", index=n) for n in range(10)]
    found = pieces_of(cases, lambda case: 1.0, lambda group: 0.5, at_most=4)
    assert [each.seconds for each in found] == [3.5, 3.5, 3.5, 1.5]
    assert [case.id for each in found for case in each.cases] == [case.id for case in cases]


def test_a_file_that_is_dear_to_make_ready_is_not_cut_small() -> None:
    """No piece spends more than a quarter of its time on that, if the file is longer."""
    cases = [Case(id=f"a.py::{n}", group="a.py", index=n) for n in range(100)]
    found = pieces_of(cases, lambda case: 1.0, lambda group: 10.0, at_most=2)
    assert [each.seconds for each in found] == [40.0, 40.0, 40.0, 20.0]


def test_cases_of_one_file_that_need_different_things_are_apart() -> None:
    """A piece goes to one slot, so all of it must need the same."""
    cases = [
        Case(id=f"a.py::{n}", group="a.py", index=n, needs=Requirements(gpu=n % 2))
        for n in range(4)
    ]
    found = pieces_of(cases, lambda case: 1.0, at_most=100)
    assert sorted(each.needs.gpu for each in found) == [0, 1]


def test_nothing_takes_no_time() -> None:
    """An empty suite has no makespan, and no gap."""
    found = allocate([], [])
    assert (found.makespan, found.bound, found.gap) == (0, 0, 0)
