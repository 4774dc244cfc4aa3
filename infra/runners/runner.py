"""Runs cases in a warm pytest session of the user's interpreter; a bad case costs only itself."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import zlib
from pathlib import Path

import orjson

from ..errors import (
    CollectionProblem,
    InfrastructureProblem,
    InterpreterProblem,
    NoSuchInterpreter,
)
from .child import Child, death
from .fresh_starts import FreshStarts
from .math_threads import thread_limits
from .session_problem import SessionProblem, refused
from .session_watch import TICK_SECONDS, SessionWatch, late
from .spec import START_SECONDS, BatchEnd, Emit, Message, Order, RunnerSpec, Work
from .task_runner import TaskRunner
from .usage import GpuProbe, NoGpu

__all__ = [
    "BatchEnd",
    "Emit",
    "Message",
    "Order",
    "RunnerSpec",
    "SessionProblem",
    "SessionRunner",
    "TaskRunner",
    "Work",
]

# Run by path: the user's interpreter has no Proctor.
SESSION = Path(__file__).parents[1] / "session" / "__main__.py"
# A session that has nothing more to do than to leave is given so long for it.
GRACE_SECONDS = 10.0


class CalledOff(Exception):
    """The session was still starting when nobody needed it any more; it has been ended."""


class SessionRunner:
    """A warm pytest session; started when needed, replaced when it died.

    One thread uses it at a time; only `kill` may come from another.
    """

    # All that touches the child holds the lock, so that `kill` can tell whether anybody does.

    def __init__(
        self, spec: RunnerSpec, *, scratch: Path | None = None, gpu: GpuProbe | None = None
    ) -> None:
        self.spec = spec
        self.scratch = scratch
        self.gpu = gpu or NoGpu()
        self.hello: Message = {}
        self._child: Child | None = None
        self._used = False
        # Whether the session looks like a worker of pytest-xdist; a plugin may not bear it.
        self._pose = True
        self._fresh_starts = FreshStarts()
        self._killed = threading.Event()
        self._lock = threading.Lock()

    # -- starting and ending ----------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.exit_code is None

    def start(
        self, seconds: float | None = None, called_off: threading.Event | None = None
    ) -> Message:
        """Start the session and return its hello; does nothing to one that lives."""
        with self._lock:
            return self._start(called_off, seconds)

    def _start(self, called_off: threading.Event | None, seconds: float | None = None) -> Message:
        if seconds is None:
            # Loading a conftest.py is importing a file.
            seconds = max(START_SECONDS, self.spec.hang_timeout_seconds)
        if self._killed.is_set():
            raise InfrastructureProblem("the runner has been ended", remedy="use another one")
        if self.alive:
            return self.hello
        self._drop()
        child = self._child = self._launch()
        self._used = False
        deadline = time.monotonic() + seconds
        try:
            self.hello = self._await_hello(child, deadline, called_off or threading.Event())
        except _Unposed:
            self._drop()
            self._pose = False
            return self._start(called_off, deadline - time.monotonic())
        except BaseException:
            self._drop()
            raise
        return self.hello

    def _launch(self) -> Child:
        spec = self.spec
        inherited = {**os.environ, **spec.environment}
        inherited.update(thread_limits(inherited, spec.math_threads))
        settings = {
            "worker": spec.worker_id,
            "workers": spec.worker_count,
            "run": spec.run_id,
            "isolate": spec.isolate,
            "output_limit": spec.output_limit_bytes,
            "directory_on_path": spec.directory_on_path,
            "pose": self._pose and bool(spec.worker_id),
            "controller": not spec.worker_id,
            "import_cache": spec.import_cache,
            "forget": [] if "PYTHONHASHSEED" in inherited else ["PYTHONHASHSEED"],
        }
        # Ours, when Proctor itself runs under pytest.
        inherited.pop("PYTEST_CURRENT_TEST", None)
        # Ids that come out of sets must be the same in all runners of a campaign. The session
        # forgets the variable again: what the tests start is as random as ever.
        inherited.setdefault("PYTHONHASHSEED", str(zlib.crc32(spec.run_id.encode()) or 1))
        xdist = {
            "PYTEST_XDIST_WORKER": spec.worker_id,
            "PYTEST_XDIST_WORKER_COUNT": str(spec.worker_count),
            "PYTEST_XDIST_TESTRUNUID": spec.run_id,
        }
        for name, value in xdist.items():
            inherited.pop(name, None)
            if spec.worker_id:
                inherited[name] = value
        wire = "{wire}" + json.dumps(settings)
        try:
            return Child(
                command=(spec.python, str(SESSION), wire, *spec.arguments),
                directory=spec.directory,
                environment=inherited,
                scratch=self.scratch,
                # Five times as fast, and the session sends no integers that are too large for it.
                decode=orjson.loads,
            )
        except OSError as problem:
            raise NoSuchInterpreter(
                f"cannot start {spec.python} in {spec.directory}: {problem.strerror}",
                remedy="name an interpreter that exists with --python",
            ) from problem

    def close(
        self,
        grace: float = GRACE_SECONDS,
        emit: Emit | None = None,
        *,
        news: Message | None = None,
    ) -> None:
        """End the session; failures of the last teardowns are emitted as `late`.

        Its fixtures have as long to go as any; `grace` is for what tests left behind. One that
        stands for the controller of pytest-xdist is given the news of the others.
        """
        with self._lock:
            child = self._child
            if child is not None and child.exit_code is None and grace > 0:
                farewell = {**(news or {}), "cmd": "exit"}
                self._say_goodbye(child, grace, emit or _ignore, farewell)
            self._drop()

    def kill(self) -> None:
        """End the runner for good; a batch that runs in another thread returns uncompleted."""
        self._killed.set()
        if self._lock.acquire(blocking=False):
            # Nobody uses it; whoever does sees the flag within a tick.
            try:
                self._drop()
            finally:
                self._lock.release()

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _await_hello(self, child: Child, deadline: float, called_off: threading.Event) -> Message:
        began = time.monotonic()
        unposed = False
        while True:
            gone = child.exit_code
            for message in child.received():
                if message["k"] == "hello":
                    return message
                if message["k"] == "problem" and message["what"] == "old python":
                    raise NoSuchInterpreter(
                        f"{self.spec.python} is Python {message['text']}, and suites need 3.9",
                        remedy="name a newer interpreter with --python",
                    )
                if message["k"] == "problem":
                    raise NoSuchInterpreter(
                        f"{self.spec.python} has no usable pytest ({message['text']})",
                        remedy="install pytest 7.0 or newer there, or name another interpreter "
                        "with --python",
                    )
                unposed = unposed or message["k"] == "unposed"
            if gone is not None:
                raise _Unposed if unposed else self._refusal(child, gone)
            if self._killed.is_set():
                raise InfrastructureProblem("the runner has been ended", remedy="use another one")
            if called_off.is_set():
                raise CalledOff
            if time.monotonic() > deadline:
                frames = child.dump_stacks().splitlines()[1:2] or ["an unknown place"]
                raise InterpreterProblem(
                    f"pytest in {self.spec.python} was not ready after "
                    f"{time.monotonic() - began:.0f} s, it is in {frames[0].strip()}",
                    remedy="look for a conftest.py or a plugin that waits for something",
                )
            child.wait(min(0.1, deadline - time.monotonic()))

    def _refusal(self, child: Child, code: int) -> Exception:
        text = _output_of(child)
        if code == -signal.SIGKILL:
            # By the kernel for want of memory, or by somebody: the next one may well start.
            return InfrastructureProblem(
                f"a session was {death(code)} before pytest was ready",
                remedy="see what ends processes on that worker, its memory first",
            )
        if code < 0:
            return InterpreterProblem(
                f"{self.spec.python} was {death(code)} before pytest was ready",
                remedy="run pytest there by hand to see why",
            )
        return refused(text, code)

    def _say_goodbye(
        self,
        child: Child,
        grace: float,
        emit: Emit,
        farewell: Message,
        *,
        kill: threading.Event | None = None,
    ) -> None:
        patience = self.spec.hang_timeout_seconds
        # One that does not even answer is frozen.
        deadline = time.monotonic() + GRACE_SECONDS
        child.send(farewell)
        case, leaving = "", None
        while True:
            gone = child.exit_code is not None
            for message in child.received():
                if message["k"] == "enter":
                    case = str(message["id"]) if message["what"] == "teardown" else ""
                    leaving = message if message["what"] == "leave" else None
                    deadline = time.monotonic() + (patience if leaving is None else grace)
                elif message["k"] in ("late", "finished"):
                    emit(message)
            if gone:
                if case:
                    assert child.exit_code is not None
                    reason = f"{death(child.exit_code)} in the teardown of a shared fixture"
                    emit(late(case, reason, []))
                return
            if self._killed.is_set() or (kill is not None and kill.is_set()):
                return
            if time.monotonic() > deadline:
                # A thread that the tests left behind may hold the interpreter back: that is no
                # one's failure, but time that somebody waits. A fixture that does not come to its
                # end is one.
                if leaving is not None:
                    emit({"k": "overstayed", "seconds": grace, "threads": leaving["threads"]})
                if case:
                    stacks = child.dump_stacks()
                    reason = f"the teardown of a shared fixture took longer than {patience:g} s"
                    emit(late(case, reason, [["stacks", stacks]]))
                return
            child.pump()
            child.wait(min(0.1, deadline - time.monotonic()))

    # -- collecting -----------------------------------------------------------------------

    def collect(
        self,
        emit: Emit,
        stop: threading.Event | None = None,
        called_off: threading.Event | None = None,
    ) -> Message:
        """Collect all that the arguments name; items are emitted as they are found."""
        with self._lock:
            if self._used:
                # A file must not be collected twice in one session.
                self._drop()
            self._start(called_off)
            child = self._child
            assert child is not None
            self._used = True
            try:
                return self._collect(child, emit, stop or threading.Event())
            except BaseException:
                self._drop()
                raise

    def _collect(self, child: Child, emit: Emit, stop: threading.Event) -> Message:
        patience = self.spec.hang_timeout_seconds
        where = "while collecting"
        heard = time.monotonic()
        in_order = False
        child.send({"cmd": "collect"})
        while True:
            gone = child.exit_code
            for message in child.received():
                heard = time.monotonic()
                if message["k"] == "enter":
                    if message["what"] == "collect":
                        where = f"while collecting {message['file']}"
                    continue
                # Of a SystemExit pytest makes an end in order, and a code of its own.
                in_order = in_order or message["k"] == "finished"
                emit(message)
                if message["k"] == "collected":
                    return message
            if gone is not None:
                how = "left by sys.exit" if in_order else death(gone)
                raise SessionProblem(
                    f"pytest was {how} {where}",
                    remedy="import that file by hand to see why",
                    text=_output_of(child),
                    exit_code=2,
                )
            if stop.is_set() or self._killed.is_set():
                raise CollectionProblem("the collection was stopped", remedy="start it again")
            if time.monotonic() - heard > patience:
                raise SessionProblem(
                    f"pytest said nothing for {patience:g} s {where}",
                    remedy="look for an import that waits for something",
                    text=child.dump_stacks(),
                    exit_code=2,
                )
            child.pump()
            child.wait(TICK_SECONDS)

    # -- running --------------------------------------------------------------------------

    def run(
        self,
        order: Order,
        emit: Emit,
        stop: threading.Event | None = None,
        kill: threading.Event | None = None,
        called_off: threading.Event | None = None,
    ) -> BatchEnd:
        """Run a batch until it is over, stopped after a case, killed, or has lost its runner."""
        with self._lock:
            if self._killed.is_set():
                left = tuple(work.id for work in order.work)
                return BatchEnd(left=left, runner_died=True, reason="interrupted")
            self._start(called_off)
            child = self._child
            assert child is not None
            self._used = True
            watch = SessionWatch(
                self.spec,
                child,
                order,
                emit=emit,
                gpu=self.gpu,
                fresh_starts=self._fresh_starts,
            )
            try:
                end = watch.run(stop or threading.Event(), self._killed, kill or threading.Event())
            except BaseException:
                # The caller's emit failed, for one: nobody would know what runs on.
                self._drop()
                raise
            if end.spoilt:
                self._say_goodbye(child, GRACE_SECONDS, emit, {"cmd": "exit"}, kill=kill)
            if end.runner_died or end.spoilt:
                self._drop()
            return end


class _Unposed(Exception):
    """A plugin asked a worker of pytest-xdist for what only its controller knows."""


def _output_of(child: Child) -> str:
    return "\n".join(part for _, part in child.output_since((0, 0), 1 << 16)).strip()


def _ignore(message: Message) -> None:
    del message
