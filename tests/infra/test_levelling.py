"""Lanes come out level, also where they cannot all have the same number of pieces."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.infra.planning.allocation import Piece, allocate
from proctor.infra.planning.bottleneck import lanes_of
from proctor.infra.planning.bounds import Offer
from proctor.infra.planning.levelling import level
from proctor.infra.records import Requirements
from proctor.infra.worker_classes import WorkerClass

GIB = 2**30
HALF, WHOLE = Requirements(gpu=0.5), Requirements(gpu=1)
CPU = WorkerClass(name="cpu", slots=4, cpu=4, memory_bytes=16 * GIB)
GPU = WorkerClass(name="gpu", slots=4, cpu=4, memory_bytes=16 * GIB, gpu=2, boot_seconds=1.0)


def ends(lengths: list[float], begins: list[float], lanes: list[list[int]]) -> list[float]:
    return [
        begin + sum(lengths[number] for number in lane)
        for begin, lane in zip(begins, lanes, strict=True)
    ]


@given(
    st.lists(st.floats(0, 100), max_size=60),
    st.lists(st.floats(0, 30), min_size=1, max_size=9),
)
@settings(max_examples=150, deadline=None)
def test_every_piece_is_on_one_lane(lengths: list[float], begins: list[float]) -> None:
    """However much is swapped, nothing is lost or done twice."""
    lanes = level(lengths, begins, 0.0)
    assert sorted(number for lane in lanes for number in lane) == list(range(len(lengths)))


def test_the_half_on_top_is_spread() -> None:
    """Two and a half long pieces a lane: longest first alone ends eight in a hundred later."""
    rng = random.Random(1)
    lengths = [rng.uniform(4, 6) for _ in range(250)] + [0.1] * 750
    lanes = level(lengths, [0.0] * 100, 13.6)
    assert max(ends(lengths, [0.0] * 100, lanes)) < 13.6 * 1.03


def test_lanes_that_begin_late_get_less() -> None:
    """Ten seconds of work on a lane that begins at once and one that begins at four."""
    lengths = [1.0] * 10
    lanes = level(lengths, [0.0, 4.0], 7.0)
    assert ends(lengths, [0.0, 4.0], lanes) == [7.0, 7.0]


@pytest.mark.parametrize("seed", range(3))
def test_halves_of_a_gpu_run_two_by_two(seed: int) -> None:
    """Wholes and halves on too few GPUs, with other work around them, end near the bound."""
    rng = random.Random(seed)
    offers = [Offer(facts=CPU.facts(1), count=20), Offer(facts=GPU.facts(1), count=10)]
    offers = [
        Offer(facts=each.facts, count=each.count, boot_seconds=boot)
        for each, boot in zip(offers, (0.0, GPU.boot_seconds), strict=True)
    ]
    pieces = [
        Piece(needs=needs, seconds=rng.uniform(0.5, 1.5))
        for needs, count in ((HALF, 42), (WHOLE, 43), (Requirements(), 150))
        for _ in range(count)
    ]
    assert allocate(pieces, offers).gap < 0.05


def test_no_lanes_where_a_worker_has_no_room_for_them() -> None:
    """Memory lets nobody run two halves beside each other, though the GPU would."""
    small = WorkerClass(name="gpu", slots=4, cpu=4, memory_bytes=3 * GIB, gpu=1)
    large = Requirements(gpu=0.5, memory_bytes=2 * GIB)
    offers = [Offer(facts=small.facts(1), count=1)]
    lanes = lanes_of([large, large, WHOLE], [1.0, 1.0, 1.0], offers, 2.0)
    assert lanes == []
    found = allocate([Piece(needs=large, seconds=1.0)] * 3, offers)
    assert found.makespan == 3.0
