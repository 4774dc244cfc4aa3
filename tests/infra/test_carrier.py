"""How a project's files get to the workers that ask for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import wait_until

from proctor.infra.engine import on_workers
from proctor.infra.engine.carrier import WAYS, Carrier
from proctor.infra.engine.shipment import Shipment


class Line:
    """A connection with a loop of its own; workers answer once they are told to."""

    def __init__(self) -> None:
        self.loop = SimpleNamespace(asyncio_loop=asyncio.new_event_loop())
        self.thread = threading.Thread(target=self.loop.asyncio_loop.run_forever, daemon=True)
        self.thread.start()
        self.answering = asyncio.Event()
        self.asked: list[str] = []
        self.taken: list[str] = []

    async def _run(self, function: Any, *arguments: Any, workers: list[str], on_error: str) -> Any:
        if function is on_workers.has_files:
            self.asked += workers
            await self.answering.wait()
        if function is on_workers.take_files:
            self.taken += workers
        return dict.fromkeys(workers)

    def answer(self) -> None:
        self.loop.asyncio_loop.call_soon_threadsafe(self.answering.set)

    async def _settle(self) -> None:
        others = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        loop = self.loop.asyncio_loop
        asyncio.run_coroutine_threadsafe(self._settle(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        self.thread.join(60)
        loop.close()


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    made = [Line(), Line()]
    yield made
    for each in made:
        each.close()


def test_a_few_go_at_a_time_and_nobody_twice(lines, tmp_path):
    """Each is packed anew for its way: all at once would fill the campaign's memory."""
    (tmp_path / "a").touch()
    line, shipment = lines[0], Shipment(tmp_path)
    carrier = Carrier(line)  # type: ignore[arg-type]
    for address in ("a", "b", "c", "d", "a"):
        carrier.bring(address, "c/1", shipment)
    wait_until(lambda: len(line.asked) >= WAYS, what="the first ones")
    assert len(line.asked) == WAYS
    line.answer()
    wait_until(lambda: len(line.taken) == 4, what="all others")
    assert sorted(line.taken) == ["a", "b", "c", "d"]


def test_what_was_on_its_way_goes_over_the_next_connection(lines, tmp_path):
    """The first one's loop is gone: nothing of it may be waited for."""
    (tmp_path / "a").touch()
    lost, fresh = lines
    shipment = Shipment(tmp_path)
    former = Carrier(lost)  # type: ignore[arg-type]
    for address in ("a", "b", "c"):
        former.bring(address, "c/1", shipment)
    wait_until(lambda: len(lost.asked) == WAYS, what="the first ones")
    former.close()
    carrier = Carrier(fresh)  # type: ignore[arg-type]
    fresh.answer()
    for address in ("a", "b", "c"):
        carrier.bring(address, "c/1", shipment)
    wait_until(lambda: len(fresh.taken) == 3, what="all of them")
    assert sorted(fresh.taken) == ["a", "b", "c"]
    assert lost.taken == []
