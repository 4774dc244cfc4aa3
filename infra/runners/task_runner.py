"""Runs commands and Python callables, each in processes of its own."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

from ..errors import NoSuchInterpreter
from ..records import CaseKind, Outcome, TaskSpec
from .child import Child, death
from .spec import CASE_SECONDS, KERNEL_KILL, BatchEnd, Emit, Message, Order, RunnerSpec, Work, ended
from .usage import GpuProbe, NoGpu, Samples, in_words, oom_kills

SUPERVISOR = Path(__file__).with_name("call_task.py")
TICK_SECONDS = 0.02
# So much of a text that is returned is kept as a property; all of it is among the case's texts.
MOST_OF_RESULT = 1000
Texts = list[list[str]]


class TaskRunner:
    """Runs the tasks of a batch one after the other."""

    def __init__(
        self, spec: RunnerSpec, *, scratch: Path | None = None, gpu: GpuProbe | None = None
    ) -> None:
        self.spec = spec
        self.scratch = scratch
        self.gpu = gpu or NoGpu()
        self._killed = threading.Event()

    def run(
        self,
        order: Order,
        emit: Emit,
        stop: threading.Event | None = None,
        kill: threading.Event | None = None,
    ) -> BatchEnd:
        """Run the tasks until they are done, the budget is spent, or one is told to stop."""
        began = time.monotonic()
        kills = (self._killed, kill or threading.Event())
        waiting = list(order.work)
        while waiting:
            if stop is not None and stop.is_set():
                break
            if any(event.is_set() for event in kills) or not self._perform(waiting[0], emit, kills):
                return BatchEnd(left=_ids(waiting), runner_died=True, reason="interrupted")
            waiting.pop(0)
            spent = time.monotonic() - began
            if order.budget_seconds is not None and spent >= order.budget_seconds:
                break
        return BatchEnd(left=_ids(waiting))

    def kill(self) -> None:
        """From another thread: end the runner for good; its running task is not to blame."""
        self._killed.set()

    def close(self, grace: float = 0.0, emit: Emit | None = None) -> None:
        """Nothing outlives a batch; here so that all runners can be closed alike."""
        del grace, emit

    def _perform(self, work: Work, emit: Emit, kills: tuple[threading.Event, ...]) -> bool:
        """Run one task to its end and emit its record; False when it was interrupted."""
        started = time.time()
        emit({"k": "start", "id": work.id, "t": started})
        try:
            child = self._launch(work)
        except OSError as problem:
            message = f"could not be started: {problem.strerror} ({problem.filename})"
            emit(_error(work, started, message))
            return True
        except ValueError as problem:
            # A zero character in its environment, or a name with "=" in it.
            emit(_error(work, started, f"could not be started: {problem}"))
            return True
        try:
            done = _TaskWatch(self.spec, child, work, gpu=self.gpu, started=started).run(kills)
        finally:
            child.close()
        if done is None:
            return False
        emit(done)
        return True

    def _launch(self, work: Work) -> Child:
        task = work.task or TaskSpec()
        settings: Message = {}
        if work.kind is CaseKind.CALLABLE:
            settings = {"callable": task.callable, "arguments": dict(task.arguments)}
            python = (self.spec.python,)
        else:
            settings = {"command": list(task.command)}
            # A bare start of our own interpreter: the user's may have none of this, or be slow.
            python = (sys.executable, "-I", "-S")
        directory = Path(self.spec.directory) / task.working_directory
        if not directory.is_dir():
            raise NotADirectoryError(0, "there is no such directory", str(directory))
        try:
            return Child(
                command=(*python, str(SUPERVISOR), "{wire}" + json.dumps(settings)),
                directory=directory,
                environment={**os.environ, **self.spec.environment, **task.environment},
                scratch=self.scratch,
            )
        except OSError as problem:
            if problem.errno == errno.E2BIG:
                # Its own arguments are: another interpreter takes no more.
                raise
            raise NoSuchInterpreter(
                f"cannot start {python[0]}: {problem.strerror}",
                remedy="name an interpreter that exists with --python",
            ) from problem


class _TaskWatch:
    """One task being run."""

    def __init__(
        self, spec: RunnerSpec, child: Child, work: Work, *, gpu: GpuProbe, started: float
    ) -> None:
        self.spec = spec
        self.child = child
        self.work = work
        self.started = started
        self.samples = Samples(gpu)
        self.clock = time.monotonic()
        self.kills_before = oom_kills()
        self.process = 0
        self.end: Message = {}
        self.result: Message = {}
        self.problem: Message = {}
        self.verdict: tuple[Outcome, str] | None = None
        self.stacks = ""

    def run(self, kills: tuple[threading.Event, ...]) -> Message | None:
        while True:
            gone = self.child.exit_code is not None
            for message in self.child.received():
                self._take(message)
            if gone:
                return self._record()
            if any(event.is_set() for event in kills):
                self.child.kill()
                return None
            if self.verdict is None:
                self._judge()
            self.child.wait(TICK_SECONDS)

    def _take(self, message: Message) -> None:
        kind = message["k"]
        if kind == "started":
            self.process = int(message["pid"])
        elif kind == "ended":
            self.end = message
        elif kind == "result":
            self.result = message
        else:
            self.problem = message

    def _judge(self) -> None:
        allowed = self.work.timeout_seconds or CASE_SECONDS
        if time.monotonic() - self.clock > allowed:
            self.verdict = (Outcome.TIMED_OUT, f"took longer than {allowed:g} s")
            if self.work.kind is CaseKind.CALLABLE and self.process:
                # A command would take the signal for its end.
                self.stacks = self.child.dump_stacks(self.process)
            self.child.kill()
            return
        used = self.samples.take(lambda: self.child.tree(self.process or None))
        limit = self.work.memory_limit_bytes
        if used is not None and limit and used > limit:
            self.verdict = (
                Outcome.OUT_OF_MEMORY,
                f"used {in_words(used)}, its limit is {in_words(limit)}",
            )
            self.child.kill()

    def _record(self) -> Message:
        texts: Texts = self.child.output_since((0, 0), self.spec.output_limit_bytes)
        if self.problem.get("text"):
            texts.insert(0, ["traceback", str(self.problem["text"])])
        if self.stacks:
            texts.insert(0, ["stacks", self.stacks])
        value = self.result.get("value")
        if self.result:
            text, limit = json.dumps(value), self.spec.output_limit_bytes
            left_out = f"\n[... {len(text) - limit} bytes left out ...]"
            texts.append(["result", text if len(text) <= limit else text[:limit] + left_out])
        outcome, message = self._judged(texts)
        finished = time.time()
        done = ended(
            self.work.id,
            outcome=outcome.value,
            started=self.started,
            finished=finished,
            message=message,
            text=texts,
            call=finished - self.started,
        )
        done.update({key: self.end[key] for key in ("cpu", "peak", "read", "write") if self.end})
        if isinstance(value, int | float | str):
            done["props"] = [["result", _property(value)]]
        self.samples.add_to(done)
        return done

    def _judged(self, texts: Texts) -> tuple[Outcome, str]:
        if self.verdict is not None and not self.problem:
            return self.verdict
        if self.problem.get("k") == "not-started":
            return Outcome.ERROR, f"could not be started: {self.problem['message']}"
        code = int(self.end["code"]) if self.end else self.child.exit_code
        assert code is not None
        if code == 0 and self.end:
            return Outcome.PASSED, ""
        if self.problem:
            return Outcome.FAILED, str(self.problem["message"]).split("\n", 1)[0]
        if code == -signal.SIGKILL and oom_kills() > self.kills_before:
            return Outcome.OUT_OF_MEMORY, KERNEL_KILL
        if code < 0 or not self.end:
            return Outcome.CRASHED, death(code)
        said = [line for _, text in texts[-1:] for line in text.splitlines() if line.strip()]
        return Outcome.FAILED, f"exit code {code}" + (f": {said[-1].strip()[:300]}" if said else "")


def _ids(waiting: list[Work]) -> tuple[str, ...]:
    return tuple(work.id for work in waiting)


def _property(value: float | str) -> float | str:
    """What every JSON library holds; of a long text the beginning."""
    if isinstance(value, str):
        return value[:MOST_OF_RESULT]
    whole = isinstance(value, int) and abs(value) < 1 << 63
    return value if whole or (isinstance(value, float) and math.isfinite(value)) else str(value)


def _error(work: Work, started: float, message: str) -> Message:
    return ended(
        work.id,
        outcome=Outcome.ERROR.value,
        started=started,
        finished=time.time(),
        message=message,
    )
