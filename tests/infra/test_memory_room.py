"""A worker whose machine is short of memory begins nothing new, and nobody is blamed or stuck."""

from __future__ import annotations

import pytest
from ledger_parts import Clock

from proctor.infra.dispatching.batches import Slot
from proctor.infra.records import WorkerFacts
from proctor.infra.runners import memory_room
from proctor.infra.runners.capabilities import measure
from proctor.infra.runners.memory_room import (
    PATIENCE_SECONDS,
    Memory,
    MemoryRoom,
    measured_memory,
    memory_there,
    told_reserve,
)
from proctor.infra.runners.shortages import RETRY_SECONDS, SAME_SECONDS, Shortages
from proctor.infra.worker_classes import WorkerClass

MIB = 1 << 20


class Machine:
    """Says how much is left, and how often it was asked."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.asked = 0

    def __call__(self) -> Memory:
        self.asked += 1
        return Memory(total_bytes=1000 * MIB, available_bytes=self.left)


def test_nothing_begins_where_too_little_is_left() -> None:
    """By a share of what there is, or by what somebody says; it ends as soon as there is room."""
    machine, clock = Machine(100 * MIB), Clock()
    room = MemoryRoom(measure=machine, clock=clock)
    assert room.refusal() == ""
    machine.left = 30 * MIB
    clock.now += 1
    assert room.refusal() == "30 MiB of memory are left, 40 are to stay free"
    machine.left = 50 * MIB
    clock.now += 1
    assert room.refusal() == ""
    careful = MemoryRoom(reserve_bytes=200 * MIB, measure=machine, clock=clock)
    assert "50 MiB of memory are left" in careful.refusal()


def test_a_machine_that_is_always_full_is_used_all_the_same() -> None:
    """Somebody has to go on; once there was room the patience begins anew."""
    machine, clock = Machine(1 * MIB), Clock()
    room = MemoryRoom(measure=machine, clock=clock)
    assert room.refusal()
    clock.now += PATIENCE_SECONDS + 1
    assert room.refusal() == ""
    machine.left = 500 * MIB
    clock.now += 1
    assert room.refusal() == ""
    machine.left = 1 * MIB
    clock.now += 1
    assert room.refusal()


def test_looking_costs_little() -> None:
    """Whoever asks again at once hears the same."""
    machine, clock = Machine(1 * MIB), Clock()
    room = MemoryRoom(measure=machine, clock=clock)
    for _ in range(100):
        room.refusal()
    assert machine.asked == 1


def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than the machine, and pages of files count as free."""
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    for place, most in ((group, "max"), (tmp_path / "a", str(100 * MIB)), (tmp_path, "max")):
        (place / "memory.max").write_text(f"{most}\n")
        (place / "memory.current").write_text(f"{70 * MIB}\n")
        (place / "memory.stat").write_text(
            f"anon 1\nactive_file {5 * MIB}\ninactive_file {15 * MIB}\n"
        )
    monkeypatch.setattr(memory_room, "CGROUPS", tmp_path)
    found = list(memory_room._below(tmp_path, "/a/b", "memory.max", "memory.current", prefix=""))
    assert found == [Memory(total_bytes=100 * MIB, available_bytes=50 * MIB)]
    assert measured_memory().available_bytes > 0


def test_a_worker_offers_no_more_than_its_container_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a class says nothing of, and what is measured, is not the machine's behind the limit."""
    monkeypatch.setattr(
        memory_room, "_limits", lambda: iter([Memory(total_bytes=100 * MIB, available_bytes=1)])
    )
    memory_there.cache_clear()
    try:
        assert WorkerClass(name="cpu", slots=1).facts(1).memory_bytes == 100 * MIB
        assert measure({}, gpus=()).memory_bytes == 100 * MIB
    finally:
        memory_there.cache_clear()


def worker(name: str, machine: str, slots: int = 1, host: str = "ubuntu") -> WorkerFacts:
    return WorkerFacts(
        name=name,
        incarnation="1",
        worker_class="cpu",
        slots=slots,
        cpu=1,
        memory_bytes=1,
        host=host,
        machine=machine,
    )


def test_all_workers_of_the_machine_are_kept_empty_for_a_while() -> None:
    """A case is not sent round from one to the next; another machine may have the same name.

    And a container may have a limit of its own on the machine that others are on.
    """
    some = (
        *(worker("a", "m1", 2), worker("b", "m1"), worker("c", "m2")),
        worker("d", "m1", host="container"),
    )
    workers = {each.name: each for each in some}
    kept = Shortages()
    slots, is_news = kept.refused("a", workers, 100.0)
    assert (slots, is_news) == ([Slot("a", 0), Slot("a", 1), Slot("b", 0)], True)
    assert kept.over(100.0) == []
    assert sorted(kept.over(100.0 + RETRY_SECONDS)) == slots
    assert kept.over(1000.0) == []


def test_a_shortage_is_told_once() -> None:
    """Until there was none for a while."""
    workers = {"a": worker("a", "")}
    kept = Shortages()
    told = [kept.refused("a", workers, at)[1] for at in (0.0, 2.0, 4.0, 4.0 + SAME_SECONDS + 1)]
    assert told == [True, False, False, True]
    assert kept.refused("gone", workers, 5.0) == ([], False)


def test_a_machine_that_tells_nonsense_holds_nobody_up(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a limit's file with words in it, nor one that cannot be measured at all."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("active_file much\n")
    monkeypatch.setattr(memory_room, "CGROUPS", tmp_path)
    assert measured_memory().total_bytes > 1000

    def measure() -> Memory:
        raise ValueError("no such thing as memory")

    assert MemoryRoom(measure=measure).refusal() == ""


def test_a_reserve_that_is_no_size_costs_no_worker(caplog: pytest.LogCaptureFixture):
    """It may come with an image: one line says so, and the worker goes by what it finds."""
    assert told_reserve({"PROCTOR_MEMORY_RESERVE": "2GiB"}) == 2 << 30
    assert told_reserve({}) is None
    assert told_reserve({"PROCTOR_MEMORY_RESERVE": "plenty"}) is None
    # Threads of other tests may have something to say as well.
    (line,) = [each.message for each in caplog.records if each.name.startswith("proctor.")]
    assert "PROCTOR_MEMORY_RESERVE 'plenty'" in line
    assert "\n" not in line
