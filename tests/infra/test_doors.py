"""Campaigns of this machine find workers, and these start what they are asked to."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from waiting import wait_until

from proctor.infra.dispatching.batches import Slot
from proctor.infra.records import WorkerFacts
from proctor.infra.runners import doorkeeper, doors
from proctor.infra.runners.doorkeeper import open_door
from proctor.infra.runners.doors import Caller, Knock, door_prefix, knock, orders_from_json
from proctor.infra.runners.orders import Act, SlotOrder
from proctor.infra.runners.slot_keeper import SlotKeeper
from proctor.infra.runners.spec import ProjectFiles, RunnerSpec

RUNNER = RunnerSpec(
    python="python3",
    arguments=("-k", "apple", "tests"),
    environment={"COLOUR": "red"},
    run_id="apple",
    files=ProjectFiles(root="/orchard", machine="here"),
)
CALLER = Caller(campaign="apple", epoch=1, runner=RUNNER)
# Long enough for a loaded machine: nobody waits for it where all answer.
SECONDS = 60.0


@dataclass
class Keeper:
    """Of a worker without sessions: it only remembers what it was asked."""

    facts: WorkerFacts
    started: list[SlotOrder] = field(default_factory=list[SlotOrder])
    ended: list[SlotOrder] = field(default_factory=list[SlotOrder])

    def start_early(self, order: SlotOrder) -> None:
        self.started.append(order)

    def end_unclaimed(self, order: SlotOrder) -> None:
        self.ended.append(order)


class House:
    """An event loop in a thread, as a worker has one, with as many doors as are opened."""

    def __init__(self, scheduler: str) -> None:
        self.scheduler = scheduler
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.knocks: list[Knock] = []
        self.servers: list[asyncio.Server] = []

    def worker(
        self, name: str, slots: int, monkeypatch: pytest.MonkeyPatch, *, cores: int = 0
    ) -> Keeper:
        """Doors are told apart by their processes; all of these are this one."""
        keeper = Keeper(
            WorkerFacts(
                name=name,
                incarnation="1",
                worker_class="cpu",
                slots=slots,
                cpu=1,
                memory_bytes=2**30,
                machine="here",
                machine_cores=cores,
            )
        )
        pid = len(name) + slots * 1000
        with monkeypatch.context() as patch:
            patch.setattr(doorkeeper.os, "getpid", lambda: pid)
            opened = open_door(cast("SlotKeeper", keeper), self.scheduler)
            server = asyncio.run_coroutine_threadsafe(opened, self.loop).result(SECONDS)
        assert server is not None
        self.servers.append(server)
        return keeper

    def knock(self, *, most: int = 8, caller: Caller = CALLER) -> dict[Slot, int]:
        self.knocks.append(knock(self.scheduler, caller, most=most))
        return dict(self.knocks[-1].numbers)

    def close(self) -> None:
        for each in self.knocks:
            each.close()
        asyncio.run_coroutine_threadsafe(self._settle(), self.loop).result(SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _settle(self) -> None:
        """Nobody who answers a door is left behind."""
        for server in self.servers:
            server.close()
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.loop.shutdown_default_executor()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(doors, "GREETING_SECONDS", SECONDS)
    # An address that no other test has.
    house = House(f"tcp://127.0.0.1/{tmp_path}")
    yield house
    house.close()


def sessions(keeper: Keeper) -> list[tuple[int, str]]:
    return sorted((order.slot, order.runner.worker_id) for order in keeper.started)


def test_workers_start_sessions_which_end_when_their_campaign_goes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a number of its own, as the campaign itself would give it."""
    small = house.worker("a", 1, monkeypatch)
    large = house.worker("b", 2, monkeypatch)
    numbers = house.knock()
    assert numbers == {Slot("a", 0): 0, Slot("b", 0): 1, Slot("b", 1): 2}
    wait_until(lambda: len(small.started + large.started) == 3, what="all are started")
    assert sessions(small) == [(0, "gw0")]
    assert sessions(large) == [(0, "gw1"), (1, "gw2")]
    order = small.started[0]
    assert (order.campaign, order.epoch, order.act) == ("apple", 1, Act.WARM)
    assert order.runner == RUNNER
    assert not small.ended
    house.knocks[0].close()
    wait_until(lambda: len(small.ended + large.ended) == 3, what="all are ended")
    assert small.ended == small.started


def test_no_more_are_started_than_are_asked_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others would only take the cores from these."""
    first = house.worker("a", 2, monkeypatch)
    other = house.worker("b", 1, monkeypatch)
    assert house.knock(most=1) == {Slot("a", 0): 0}
    wait_until(lambda: first.started, what="one is started")
    assert sessions(first) == [(0, "gw0")]
    assert not other.started


def test_a_worker_of_another_version_is_asked_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its orders may mean something else; that they differ is told where the fleet is reached."""
    keeper = house.worker("a", 1, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(doors, "__version__", "0.0.1")
        assert house.knock() == {}
    assert house.knock() == {Slot("a", 0): 0}
    wait_until(lambda: keeper.started, what="the second is heard")
    assert len(keeper.started) == 1


@pytest.mark.parametrize(("setting", "threads"), [(None, 2), (0, 0), (7, 7)])
def test_sessions_have_the_threads_that_their_campaign_would_give_them(
    setting: int | None, threads: int, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their share of the cores, beside the slots of all workers there, or what was said."""
    first = house.worker("a", 1, monkeypatch, cores=8)
    second = house.worker("b", 3, monkeypatch, cores=8)
    house.knock(caller=replace(CALLER, math_threads=setting))
    wait_until(lambda: len(first.started + second.started) == 4, what="all are started")
    assert {order.runner.math_threads for order in first.started + second.started} == {threads}


@pytest.mark.parametrize(
    "word",
    [b"", b"\n", b"{}\n", b"[1]\n", b"\xff\n", b'{"runner": {"files": 1}, "numbers": [0]}\n'],
    ids=["nothing", "a line", "an object", "a list", "no text", "half of it"],
)
def test_nonsense_at_the_door_costs_nobody_anything(
    word: bytes, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is heard all the same."""
    keeper = house.worker("a", 1, monkeypatch)
    (name,) = doors._doors(door_prefix(house.scheduler))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(f"\0{name}")
        line.sendall(word)
    assert house.knock() == {Slot("a", 0): 0}
    wait_until(lambda: keeper.started, what="who knocks properly is heard")
    assert len(keeper.started) == 1


def test_who_says_nothing_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that hangs is asked by Dask, like one on another machine."""
    monkeypatch.setattr(doors, "GREETING_SECONDS", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(f"\0{door_prefix(house.scheduler)}{os.getpid()}")
        silent.listen()
        assert knock(house.scheduler, CALLER, most=8).numbers == {}


def test_a_fleet_that_wants_certificates_has_no_doors(tmp_path: Path) -> None:
    """Its workers hear nobody who cannot show one, not even beside them."""
    keeper = cast("SlotKeeper", None)
    assert asyncio.run(open_door(keeper, f"tls://127.0.0.1/{tmp_path}")) is None


def test_nobody_is_found_at_another_fleet(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where the kernel does not say who listens."""
    house.worker("a", 1, monkeypatch)
    assert knock(f"{house.scheduler}0", CALLER, most=8).numbers == {}
    monkeypatch.setattr(doors, "SOCKETS", Path("/nowhere"))
    assert house.knock() == {}


@pytest.mark.parametrize("change", [lambda told: told, lambda told: {**told, "files": None}])
def test_what_is_said_at_a_door_arrives_as_it_was(
    change: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    runner = RunnerSpec(
        **change({name: getattr(RUNNER, name) for name in RunnerSpec.__dataclass_fields__})
    )
    told = Caller(campaign="apple", epoch=1, runner=runner).to_json([0], threads=0)
    assert [order.runner for order in orders_from_json(told)] == [runner]
