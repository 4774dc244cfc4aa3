"""What a Dask worker holds for its slots: a warm runner each, and the batches they run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Worker, WorkerPlugin

from .codec import facts_to_json
from .errors import ProctorError
from .orders import SlotOrder, runner_spec, work_of
from .outbox import Outbox
from .records import CaseKind, WorkerFacts
from .runner import SessionRunner, TaskRunner
from .streamer import Streamer

NAME = "proctor"
# A runner that starts and one that is closed get so long.
START_SECONDS = 60.0
CLOSE_SECONDS = 10.0


@dataclass(slots=True)
class _Slot:
    """One slot's runner; the lock is held while a batch uses it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    campaign: str = ""
    epoch: int = 0
    runner: SessionRunner | None = None


@dataclass(slots=True)
class _Running:
    order: SlotOrder
    stop: threading.Event = field(default_factory=threading.Event)
    kill: threading.Event = field(default_factory=threading.Event)


class SlotKeeper(WorkerPlugin):
    """Runs batches on slots; lives as long as its worker."""

    name = NAME

    def __init__(self, *, facts: WorkerFacts, scratch: Path) -> None:
        self.facts = facts
        self.scratch = scratch
        self._slots = [_Slot() for _ in range(facts.slots)]
        self._running: dict[str, _Running] = {}
        # Epochs below these belong to a writer that lost its campaign.
        self._fences: dict[str, int] = {}
        self._worker: Worker | None = None

    def setup(self, worker: Worker) -> None:
        self._worker = worker

    def teardown(self, worker: Worker) -> None:
        self.close()

    # Called in a task's thread ----------------------------------------------------------------

    def perform(self, order: SlotOrder) -> dict[str, object]:
        """Do what the order says; returns how it ended, the results have gone out before."""
        if order.epoch < self._fences.get(order.campaign, 0):
            return {"batch": order.batch, "left": [], "reason": "fenced", "died": False}
        running = self._running[_key(order.campaign, order.batch)] = _Running(order)
        slot = self._slots[order.slot]
        worker = self._worker
        assert worker is not None, "Dask calls setup before it runs a task"
        outbox = Outbox.of(self.scratch, order.campaign, self.facts.incarnation)
        streamer = Streamer(
            lambda messages: worker.log_event(order.topic, messages), worker.loop.asyncio_loop
        )
        context = {
            "b": order.batch,
            "e": order.epoch,
            "w": self.facts.name,
            "i": self.facts.incarnation,
            "s": order.slot,
        }

        def emit(message: dict[str, object]) -> None:
            message.update(context)
            outbox.keep(message)
            streamer.send(message)

        try:
            with slot.lock:
                return self._act(order, slot, running, emit)
        except ProctorError as problem:
            return {
                "batch": order.batch,
                "left": [case["id"] for case in order.cases],
                "reason": "problem",
                "problem": type(problem).__name__,
                "message": problem.message,
                "remedy": problem.remedy,
                "died": True,
            }
        finally:
            streamer.flush()
            self._running.pop(_key(order.campaign, order.batch), None)

    def _act(
        self,
        order: SlotOrder,
        slot: _Slot,
        running: _Running,
        emit: Callable[[dict[str, object]], None],
    ) -> dict[str, object]:
        if order.act == "finish":
            self._retire(slot, emit)
            return {"batch": order.batch, "left": [], "reason": "finished", "died": False}
        if order.cases and order.cases[0]["kind"] != CaseKind.PYTEST.value:
            runner: SessionRunner | TaskRunner = TaskRunner(
                runner_spec(order.runner, slot=order.slot), scratch=self.scratch
            )
        else:
            runner = self._session(order, slot)
        if order.act == "collect":
            assert isinstance(runner, SessionRunner)
            return {"batch": order.batch, "collected": runner.collect(emit, running.stop)}
        end = runner.run(work_of(order), emit, running.stop, running.kill)
        return {
            "batch": order.batch,
            "left": list(end.left),
            "reason": end.reason,
            "died": end.runner_died,
        }

    def _session(self, order: SlotOrder, slot: _Slot) -> SessionRunner:
        if slot.runner is not None and (slot.campaign, slot.epoch) != (order.campaign, order.epoch):
            self._retire(slot, lambda message: None)
        if slot.runner is None:
            slot.runner = SessionRunner(
                runner_spec(order.runner, slot=order.slot), scratch=self.scratch
            )
            slot.campaign, slot.epoch = order.campaign, order.epoch
        return slot.runner

    def _retire(self, slot: _Slot, emit: Callable[[dict[str, object]], None]) -> None:
        if slot.runner is not None:
            runner, slot.runner = slot.runner, None
            runner.close(CLOSE_SECONDS, emit)

    # Called on the worker's event loop: must not block -----------------------------------------

    def describe(self) -> dict[str, object]:
        return facts_to_json(self.facts)

    def warm(self, order: SlotOrder) -> None:
        """Start a runner on every slot before its first batch arrives."""

        def start(number: int) -> None:
            slot = self._slots[number]
            with slot.lock:
                try:
                    self._session(order, slot).start(START_SECONDS)
                except ProctorError:
                    # The first batch meets the same problem and reports it.
                    slot.runner = None

        for number in range(self.facts.slots):
            threading.Thread(target=start, args=(number,), daemon=True).start()

    def stop(self, campaign: str, batch: str, *, kill: bool) -> None:
        running = self._running.get(_key(campaign, batch))
        if running is not None:
            (running.kill if kill else running.stop).set()

    def fence(self, campaign: str, epoch: int) -> int:
        """Refuse and kill batches of earlier epochs; returns how many still run."""
        self._fences[campaign] = max(epoch, self._fences.get(campaign, 0))
        old = [
            running
            for running in self._running.values()
            if running.order.campaign == campaign and running.order.epoch < epoch
        ]
        for running in old:
            running.kill.set()
        return len(old)

    def close(self) -> None:
        for slot in self._slots:
            runner = slot.runner
            if runner is not None:
                slot.runner = None
                runner.kill()


def _key(campaign: str, batch: str) -> str:
    return f"{campaign}/{batch}"


def keeper_of(worker: Worker) -> SlotKeeper:
    """The keeper this worker holds."""
    keeper = worker.plugins[NAME]
    assert isinstance(keeper, SlotKeeper)
    return keeper
