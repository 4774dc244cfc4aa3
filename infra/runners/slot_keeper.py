"""What a Dask worker holds for its slots: a warm runner each, and the batches they run."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Worker, WorkerPlugin

from ..codec import facts_to_json
from ..errors import InfrastructureProblem, ProctorError, ProjectUnavailable
from ..records import CaseKind, WorkerFacts
from ..secrets import Scrubber
from .answers import given_back, problem_told
from .at_work import Running
from .capabilities import slot_environment
from .memory_room import MemoryRoom, told_reserve
from .orders import FLEET_TOPIC, Act, SlotOrder
from .project_copies import ProjectCopies
from .project_paths import in_copy, outside, told_as
from .runner import CalledOff, SessionRunner
from .shortages import REASON as SHORTAGE
from .spec import Emit, Message, RunnerSpec
from .streamer import Streamer
from .task_runner import TaskRunner
from .usage import find_gpu
from .voice import Voice
from .warm_slots import WarmSession, WarmSlot

logger = logging.getLogger(__name__)

NAME = "proctor"
# In the environment of a worker: the interpreter that has the suite's packages there. An image
# says so of itself; what runs where the campaign was asked for need not be in it.
OWN_PYTHON = "PROCTOR_WORKER_PYTHON"
# So long a slot is waited for to end what nobody came for.
UNCLAIMED_SECONDS = 10.0
# Of campaigns that take turns on a slot, and of those that died without a word.
MOST_SESSIONS = 3
# How often the machine's memory is looked at while batches run.
MEMORY_SECONDS = 1.0


class SlotKeeper(WorkerPlugin):
    """Runs batches on slots; lives as long as its worker."""

    name = NAME

    def __init__(
        self, *, facts: WorkerFacts, scratch: Path, room: MemoryRoom | None = None
    ) -> None:
        self.facts = facts
        self.scratch = scratch
        self._slots = [WarmSlot() for _ in range(facts.slots)]
        self._running: dict[str, Running] = {}
        # Epochs below these belong to a writer that lost its campaign.
        self._fences: dict[str, int] = {}
        self._worker: Worker | None = None
        self._draining = False
        self._python = os.environ.get(OWN_PYTHON, "")
        self._scrubber = Scrubber(os.environ)
        self._gpu = find_gpu()
        self._copies = ProjectCopies(scratch, worker=facts.name)
        self._room = room or MemoryRoom(reserve_bytes=told_reserve(os.environ))

    def setup(self, worker: Worker) -> None:
        self._worker = worker
        loop: Any = worker.loop
        loop.asyncio_loop.call_soon_threadsafe(self._mind_memory, loop.asyncio_loop)

    def _mind_memory(self, loop: asyncio.AbstractEventLoop) -> None:
        """On a machine that is short of memory batches end after their current cases."""
        if self._room.refusal():
            for running in list(self._running.values()):
                if running.order.act is Act.RUN:
                    running.end(at_once=False)
        loop.call_later(MEMORY_SECONDS, self._mind_memory, loop)

    def teardown(self, worker: Worker) -> None:
        del worker
        self.close()

    # Called in a task's thread ----------------------------------------------------------------

    def perform(self, order: SlotOrder) -> None:
        """Do what the order says; everything there is to say goes out as messages."""
        if order.epoch < self._fences.get(order.campaign, 0):
            # Whoever sent this has lost the campaign and need not hear more.
            return
        running = self._running[_key(order.campaign, order.name)] = Running(order)
        if order.act is Act.FINISH:
            # A session that is to end need not start first, and must not start after that.
            for each in list(self._running.values()):
                if each.is_start_for(order):
                    each.forgo()
        slot = self._slots[order.slot]
        voice = self._voice(order)
        try:
            with voice.pulsing(), slot.turn(partial(running.is_wanted, self._worker)) as came:
                result = self._not_begun(running, came=came) or self._act(
                    self._placed(running, voice), slot, running, voice.emit
                )
        except CalledOff:
            result = given_back(order, "interrupted" if running.kill.is_set() else "draining")
        except ProjectUnavailable as problem:
            result = (
                given_back(order, "interrupted") if running.kill.is_set() else problem_told(problem)
            )
        except ProctorError as problem:
            result = problem_told(problem)
        finally:
            self._running.pop(_key(order.campaign, order.name), None)
        # In line with the records, so that all of them are heard before it; and not as the
        # task's result, which the campaign would have to ask for: two round trips more.
        voice.emit({"k": "end", "result": result})
        voice.flush()

    def _voice(self, order: SlotOrder) -> Voice:
        worker = self._worker
        assert worker is not None, "Dask calls setup before it runs a task"
        loop: Any = worker.loop
        return Voice(
            order,
            facts=self.facts,
            scratch=self.scratch,
            streamer=Streamer(
                lambda messages: worker.log_event(order.topic, messages), loop.asyncio_loop
            ),
            scrubber=self._scrubber,
            as_named=partial(self._as_named, order),
        )

    def _as_named(self, order: SlotOrder, message: Message) -> Message:
        """In words of the machine on which the campaign was asked for."""
        copy, files = self._copies.root(_user(order)), order.runner.files
        if copy is None or files is None:
            return message
        return told_as(message, copy, files.root)

    def _placed(self, running: Running, voice: Voice) -> SlotOrder:
        """The order for this machine, which may have to be brought the project."""
        order = running.order
        if order.act is Act.FINISH:
            return order
        files = order.runner.files
        if files is None or not self._copies.is_needed(files):
            return self._in_place(order)
        try:
            copy = self._copies.place(
                order.runner,
                _user(order),
                python=outside(order.runner, given=self._python) or sys.executable,
                ask=voice.ask_for_files,
                ended=running.kill,
            )
            return in_copy(order, copy, given=self._python, worker=self.facts.name)
        except OSError as problem:
            raise ProjectUnavailable(
                f"worker {self.facts.name} cannot keep the files of {files.root}: {problem}",
                remedy="make room there, or choose another place with `proctor join --state DIR`",
            ) from problem

    def _in_place(self, order: SlotOrder) -> SlotOrder:
        """The order where the project lies under its own path."""
        python = self._python or order.runner.python
        return replace(order, runner=replace(order.runner, python=python))

    def _not_begun(self, running: Running, *, came: bool) -> dict[str, object]:
        """Why nothing is begun here now; the cases go back, unblamed."""
        order = running.order
        if self._draining and order.act is not Act.FINISH:
            # Sent before the campaign heard of it.
            return given_back(order, "draining")
        if not came or not running.is_wanted(self._worker):
            return given_back(order, "interrupted")
        if order.act is Act.RUN and (short := self._room.refusal()):
            return {**given_back(order, SHORTAGE), "why": short}
        return {}

    def _act(
        self,
        order: SlotOrder,
        slot: WarmSlot,
        running: Running,
        emit: Emit,
    ) -> dict[str, object]:
        match order.act:
            case Act.WARM:
                self._session(order, slot).start(called_off=running.called_off)
                return {"reason": "warm"}
            case Act.COLLECT:
                session = self._session(order, slot)
                found = session.collect(emit, running.stop, running.called_off)
                # What it says of files and packages is of this machine.
                elsewhere = self._copies.root(_user(order)) is not None
                hello = {**session.hello, "elsewhere": elsewhere}
                return {"reason": "collected", "collected": found, "hello": hello}
            case Act.RUN:
                return self._run(order, slot, running, emit)
            case Act.FINISH:
                slot.retire(order.campaign, emit)
                return {"reason": "finished"}

    def _run(
        self, order: SlotOrder, slot: WarmSlot, running: Running, emit: Emit
    ) -> dict[str, object]:
        assert order.order is not None, "an order to run says what"
        events = running.stop, running.kill
        if order.order.work[0].kind is CaseKind.PYTEST:
            session = self._session(order, slot)
            end = session.run(order.order, emit, *events, running.called_off)
        else:
            spec = self._pinned(order.runner, order.slot)
            runner = TaskRunner(spec, scratch=self.scratch, gpu=self._gpu)
            end = runner.run(order.order, emit, *events)
        return {
            "left": list(end.left),
            "reason": end.reason,
            "died": end.runner_died,
            # The next batch starts a session, and nobody is to blame.
            "cold": end.spoilt,
        }

    def _session(self, order: SlotOrder, slot: WarmSlot) -> SessionRunner:
        session = slot.sessions.get(order.campaign)
        spec = self._pinned(order.runner, order.slot)
        if session is not None and not session.is_for(order, spec):
            slot.retire(order.campaign, lambda message: None)
            session = None
        if session is None:
            self._look_for(order.runner.directory)
            runner = SessionRunner(spec, scratch=self.scratch, gpu=self._gpu)
            session = WarmSession(runner, order)
        session.order = order
        # The latest used goes last.
        slot.sessions.pop(order.campaign, None)
        slot.sessions[order.campaign] = session
        while len(slot.sessions) > MOST_SESSIONS:
            slot.retire(next(iter(slot.sessions)), lambda message: None)
        return session.runner

    def _look_for(self, directory: str) -> None:
        # Starting a session there would fail with words that blame the interpreter.
        if not Path(directory).is_dir():
            raise InfrastructureProblem(
                f"worker {self.facts.name} has no directory {directory}",
                remedy="a container needs the project on a volume or in its image, under that path",
            )

    def _pinned(self, spec: RunnerSpec, slot: int) -> RunnerSpec:
        """The runner sees the devices of its slot, and no others."""
        own = slot_environment(self.facts, slot)
        return replace(spec, environment={**spec.environment, **own}) if own else spec

    def retire_sessions(self) -> None:
        """Tear the warm sessions down as at a campaign's end: a fixture may still fail there."""
        for slot in self._slots:
            with slot.lock:
                for campaign, session in list(slot.sessions.items()):
                    voice = self._voice(replace(session.order, name="drain"))
                    slot.retire(campaign, voice.emit)
                    voice.flush()

    # For campaigns that are on their way here; called in threads --------------------------------

    def start_early(self, order: SlotOrder) -> None:
        """Start a session for a campaign that has yet to come; it finds out itself what fails."""
        slot = self._slots[order.slot]
        if self._copies.is_needed(order.runner.files):
            return
        if not slot.lock.acquire(blocking=False):
            # Whoever works there is not held up.
            return
        key = _key(order.campaign, order.name)
        running = self._running[key] = Running(order)
        try:
            in_vain = self._draining or order.epoch < self._fences.get(order.campaign, 0)
            if not in_vain and order.campaign not in slot.sessions:
                session = self._session(self._in_place(order), slot)
                session.start(called_off=running.called_off)
        except (ProctorError, CalledOff) as problem:
            logger.info("a session for %s did not start: %s", order.campaign, problem)
        finally:
            self._running.pop(key, None)
            slot.lock.release()

    def end_unclaimed(self, order: SlotOrder) -> None:
        """The campaign has gone: what was started by this order and never used ends."""
        slot = self._slots[order.slot]
        session = slot.unclaimed(order)
        if session is None:
            return
        if not slot.lock.acquire(timeout=UNCLAIMED_SECONDS):
            # Somebody's long batch, which this session has no part in.
            session.runner.kill()
            return
        try:
            if slot.unclaimed(order) is not None:
                slot.retire(order.campaign, lambda message: None)
        finally:
            slot.lock.release()

    @property
    def copies(self) -> ProjectCopies:
        """Projects that campaigns brought here."""
        return self._copies

    # Called on the worker's event loop: must not block -----------------------------------------

    def describe(self) -> dict[str, object]:
        return facts_to_json(self.facts)

    def standing(self) -> dict[str, object]:
        """What this worker says of itself with every heartbeat."""
        running = list(self._running.values())
        return {
            "facts": facts_to_json(self.facts),
            "draining": self._draining,
            "busy": len({each.order.slot for each in running}),
            "campaigns": sorted({each.order.campaign for each in running}),
        }

    @property
    def is_idle(self) -> bool:
        return not self._running

    def abandon(self) -> None:
        """Kill what runs: its case is lost with this worker, the rest goes back."""
        self._draining = True
        for running in list(self._running.values()):
            running.end(at_once=True)

    def drain(self) -> None:
        """Begin nothing more; what runs may finish, and sessions that start end.

        Whoever sends batches is told, and before it hears of those that come back for it.
        """
        self._draining = True
        if self._worker is not None:
            told = {"worker": self.facts.name, "incarnation": self.facts.incarnation}
            self._worker.log_event(FLEET_TOPIC, {"draining": told})
        for running in list(self._running.values()):
            running.call_off()

    def stop(self, campaign: str, batch: str, *, kill: bool) -> None:
        running = self._running.get(_key(campaign, batch))
        if running is not None:
            running.end(at_once=kill)

    def let_go(self, campaign: str, epoch: int) -> None:
        """That life of it is over: what still runs for it ends, and its project's copy may go."""
        for running in list(self._running.values()):
            if running.order.campaign == campaign and running.order.epoch <= epoch:
                running.end(at_once=True)
        self._copies.forget(campaign, below=epoch + 1)

    def fence(self, campaign: str, epoch: int) -> int:
        """Refuse and kill batches of earlier epochs; returns how many still run."""
        self._fences[campaign] = max(epoch, self._fences.get(campaign, 0))
        self._copies.forget(campaign, below=epoch)
        old = [
            running
            for running in self._running.values()
            if running.order.campaign == campaign and running.order.epoch < epoch
        ]
        for running in old:
            running.end(at_once=True)
        return len(old)

    def close(self) -> None:
        for slot in self._slots:
            # One that has yet to start could take as long as a conftest.py likes.
            for session in list(slot.sessions.values()):
                session.runner.kill()
            while slot.sessions:
                _, session = slot.sessions.popitem()
                session.runner.close(0)


def _user(order: SlotOrder) -> str:
    """Who uses a copy of a project: one life of a campaign."""
    return f"{order.campaign}/{order.epoch}"


def _key(campaign: str, batch: str) -> str:
    return f"{campaign}/{batch}"


def keeper_of(worker: Worker) -> SlotKeeper:
    """The keeper this worker holds."""
    keeper = worker.plugins[NAME]
    assert isinstance(keeper, SlotKeeper)
    return keeper
