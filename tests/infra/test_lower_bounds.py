"""Bounds hold for whatever the dispatcher does, and say what holds a fleet back."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.infra.planning.bounds import Bound, Offer, least_seconds, loads_of, lower_bounds
from proctor.infra.planning.mixes import Market
from proctor.infra.planning.options import Work
from proctor.infra.planning.search import play
from proctor.infra.records import Case, Requirements
from proctor.infra.worker_classes import WorkerClass

GIB = 2**30
CLASSES = (
    WorkerClass(name="cpu", slots=2, cpu=2, memory_bytes=4 * GIB, maximum=3),
    WorkerClass(name="big", slots=3, cpu=4, memory_bytes=32 * GIB, boot_seconds=3, maximum=3),
    WorkerClass(name="gpu", slots=2, cpu=2, memory_bytes=8 * GIB, gpu=1, boot_seconds=7, maximum=3),
)
NEEDS = (
    Requirements(),
    Requirements(cpu=2),
    Requirements(memory_bytes=12 * GIB),
    Requirements(gpu=1),
)


@st.composite
def works(draw: st.DrawFn) -> Work:
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(NEEDS),
                st.sampled_from((0.01, 0.5, 1.0, 4.0, 20.0)),
                st.sampled_from("abc"),
            ),
            min_size=1,
            max_size=25,
        )
    )
    cases = [
        Case(id=f"{group}.py::{index}", group=f"{group}.py", index=index, needs=needs)
        for index, (needs, _, group) in enumerate(drawn)
    ]
    return Work(
        cases=cases,
        seconds={case.id: each[1] for case, each in zip(cases, drawn, strict=True)},
        warm_ups={
            f"{group}.py": draw(st.sampled_from((0.0, 2.0)))
            for group in sorted({group for *_, group in drawn})
        },
    )


def bounds(cases: list[Case], seconds: float, *offers: Offer) -> list[Bound]:
    return lower_bounds(loads_of(cases, lambda case: seconds), offers)


def cases(count: int, needs: Requirements = NEEDS[0]) -> list[Case]:
    return [Case(id=f"a.py::{n}", group="a.py", index=n, needs=needs) for n in range(count)]


@given(works(), st.tuples(*(st.integers(1, 3) for _ in CLASSES)))
@settings(max_examples=80, deadline=None)
def test_the_dispatcher_never_beats_a_bound(work: Work, numbers: tuple[int, ...]) -> None:
    """For any cases with any needs and warm-ups, on any fleet whose workers boot."""
    counts = {each.name: count for each, count in zip(CLASSES, numbers, strict=True)}
    market = Market(classes=CLASSES, prices=dict.fromkeys(counts, 1.0))
    offers = [
        Offer(facts=each.facts(1), count=counts[each.name], boot_seconds=each.boot_seconds)
        for each in CLASSES
    ]
    loads = loads_of(work.cases, work.of, work.warm_up)
    assert least_seconds(loads, offers) <= play(work, market, counts) + 1e-6


def test_gpu_work_is_bound_by_the_gpus_and_not_by_the_slots() -> None:
    """Eight slots with one GPU: ten cases that need it run one after another."""
    offer = Offer(
        facts=WorkerClass(name="gpu", slots=8, cpu=8, memory_bytes=GIB, gpu=1).facts(1), count=1
    )
    found = bounds(cases(10, Requirements(gpu=1)), 3.0, offer)
    assert found[0] == Bound(seconds=30, why="cases that need cpu=1 and gpu=1: 1 run at a time")
    assert Bound(seconds=30, why="work over the gpu of gpu") in found
    # Ten cases on eight slots: two of them share one.
    assert Bound(seconds=6, why="work over the slots of gpu") in found


def test_work_that_few_can_do_is_bound_by_those_few() -> None:
    """A hundred plain workers are no help to what needs memory."""
    plain = Offer(facts=WorkerClass(name="cpu", slots=1, cpu=1, memory_bytes=GIB).facts(1), count=9)
    large = Offer(
        facts=WorkerClass(name="big", slots=1, cpu=1, memory_bytes=64 * GIB).facts(1), count=1
    )
    found = bounds(cases(10, Requirements(memory_bytes=32 * GIB)), 1.0, plain, large)
    assert found[0].seconds == 10


def test_boots_come_before_work() -> None:
    """Two workers are there at once, two after ten seconds: 40 s of work take 15 s."""
    now = WorkerClass(name="here", slots=1, cpu=1, memory_bytes=GIB).facts(1)
    later = WorkerClass(name="later", slots=1, cpu=1, memory_bytes=GIB).facts(1)
    found = bounds(
        cases(40), 1.0, Offer(facts=now, count=2), Offer(facts=later, count=2, boot_seconds=10)
    )
    assert found[0].seconds == 15


def test_what_is_whole_does_not_fill_the_last_gap() -> None:
    """Three cases of ten seconds on two slots take twenty, not fifteen."""
    facts = WorkerClass(name="cpu", slots=1, cpu=1, memory_bytes=GIB).facts(1)
    assert bounds(cases(3), 10.0, Offer(facts=facts, count=2))[0].seconds == 20


@given(
    st.lists(st.sampled_from((1.0, 1.7, 2.0, 3.0, 5.0, 5.5)), min_size=1, max_size=7),
    st.integers(1, 3),
)
@settings(max_examples=80, deadline=None)
def test_no_bound_is_above_the_best_of_all_schedules(lengths: list[float], workers: int) -> None:
    """Every way to share out a few cases, against what is said of whole cases side by side."""
    facts = WorkerClass(name="cpu", slots=1, cpu=1, memory_bytes=GIB).facts(1)
    ids = {case.id: each for case, each in zip(cases(len(lengths)), lengths, strict=True)}
    loads = loads_of(cases(len(lengths)), lambda case: ids[case.id])
    best = min(
        max(
            sum(each for each, at in zip(lengths, shared, strict=True) if at == worker)
            for worker in range(workers)
        )
        for shared in product(range(workers), repeat=len(lengths))
    )
    assert least_seconds(loads, [Offer(facts=facts, count=workers)]) <= best + 1e-9


def test_a_last_layer_of_many_cases_counts_as_more_than_one() -> None:
    """Ten cases of 4 to 6 s on four workers: two of them have three, and not the three shortest."""
    facts = WorkerClass(name="cpu", slots=1, cpu=1, memory_bytes=GIB).facts(1)
    lengths = {f"a.py::{n}": 4.0 + n / 4.5 for n in range(10)}
    loads = loads_of(cases(10), lambda case: lengths[case.id])
    three_shortest = sum(sorted(lengths.values())[1:4])
    assert least_seconds(loads, [Offer(facts=facts, count=4)]) > three_shortest


def test_the_longest_case_is_named() -> None:
    """With what its file needs first, for no slot runs it without."""
    facts = WorkerClass(name="cpu", slots=4, cpu=4, memory_bytes=GIB).facts(1)
    loads = loads_of(cases(2), lambda case: 9.0 if case.index else 1.0, lambda group: 2.0)
    found = lower_bounds(loads, [Offer(facts=facts, count=1, boot_seconds=5)])
    assert found[0] == Bound(
        seconds=16, why="the longest case that needs cpu=1 after its worker has booted: a.py::1"
    )
