"""Runs cases in a warm pytest session of the user's interpreter; a bad case costs only itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .child import Child, Message
from .errors import CollectionProblem, InterpreterProblem
from .records import CaseKind, Outcome, TaskSpec
from .usage import GpuProbe, NoGpu, oom_kills, proportional_bytes, resident_bytes

Emit = Callable[[Message], None]

PLUGIN = Path(__file__).with_name("pytest_plugin.py")
# How often records are looked at while a batch runs. The bell cuts the wait short at its end.
TICK_SECONDS = 0.02
# Cases shorter than this are not sampled; the sampling itself must stay below 2 % of a core.
SAMPLE_SECONDS = 0.1
SAMPLING_SHARE = 0.02
# This near its limit, a process that was killed from outside was killed for memory.
NEAR_LIMIT = 0.9
EXIT_WIRE_LOST = 86


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each kind of silence may last before the runner is ended."""

    start_seconds: float = 60.0
    # Without any news during collection; a single import may be slow.
    collect_seconds: float = 600.0
    # For a case that has no time-out of its own.
    case_seconds: float = 3600.0
    # Outside any case: importing a file, tearing down a wide fixture.
    between_seconds: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSpec:
    """How to start a runner."""

    # The user's interpreter.
    python: str
    # Arguments for pytest: paths, -k, -m and all else.
    arguments: tuple[str, ...] = ()
    directory: str = "."
    # Added to the environment of this process.
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    # Each case in a process of its own, forked from the warm one.
    isolate: bool = False
    worker_id: str = "gw0"
    worker_count: int = 1
    run_id: str = ""
    output_limit_bytes: int = 256 * 1024
    # As `python -m pytest` does, unlike `pytest`.
    directory_on_path: bool = False
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One case to run, with what the runner must know of it."""

    id: str
    group: str = ""
    timeout_seconds: float | None = None
    memory_limit_bytes: int | None = None
    kind: CaseKind = CaseKind.PYTEST
    task: TaskSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One batch for one runner."""

    batch: str
    work: tuple[Work, ...]
    # No new case is begun after this.
    budget_seconds: float | None = None
    # Groups whose last cases are in this batch: their fixtures may go.
    finishes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEnd:
    """What became of an order."""

    # Not run and not to blame, in order.
    left: tuple[str, ...] = ()
    # The case that cost the runner its life.
    culprit: str | None = None
    runner_died: bool = False
    reason: str = ""


class SessionProblem(CollectionProblem):
    """Pytest ended before it could be asked anything: bad arguments, or a broken conftest.py."""

    def __init__(self, message: str, *, remedy: str, text: str, exit_code: int) -> None:
        super().__init__(message, remedy=remedy)
        self.text = text
        self.exit_code = exit_code


class SessionRunner:
    """A warm pytest session; started when needed, replaced when it dies."""

    def __init__(self, spec: RunnerSpec, *, gpu: GpuProbe | None = None) -> None:
        self.spec = spec
        self.gpu = gpu or NoGpu()
        self.child: Child | None = None
        self.hello: Message = {}
        self.used = False
        self.interrupted = threading.Event()

    # -- starting and ending ----------------------------------------------------------------

    def start(self, deadline: float | None = None) -> Message:
        """Start the session, or do nothing if it lives; `deadline` in seconds from now."""
        if self.child is not None and self.child.exit_code is None:
            return self.hello
        self._drop(grace=0)
        spec = self.spec
        settings = {
            "worker": spec.worker_id,
            "workers": spec.worker_count,
            "run": spec.run_id,
            "isolate": spec.isolate,
            "output_limit": spec.output_limit_bytes,
            "directory_on_path": spec.directory_on_path,
            "forget": [] if "PYTHONHASHSEED" in self._inherited() else ["PYTHONHASHSEED"],
        }
        try:
            self.child = Child(
                command=(
                    spec.python,
                    str(PLUGIN),
                    "{wire}" + json.dumps(settings),
                    *spec.arguments,
                ),
                directory=spec.directory,
                environment=self._environment(),
            )
        except OSError as problem:
            raise InterpreterProblem(
                f"the interpreter {spec.python} cannot be started: {problem.strerror}",
                remedy="name another one with --python",
            ) from problem
        self.used = False
        self.hello = self._await_hello(
            self.child, deadline if deadline is not None else spec.limits.start_seconds
        )
        return self.hello

    def close(self, grace: float = 5.0) -> None:
        """End the session, its fixtures torn down if that takes no longer than `grace`."""
        self._drop(grace=grace)

    def interrupt(self) -> None:
        """From another thread: end the running batch at once; its case is not to blame."""
        self.interrupted.set()

    @property
    def alive(self) -> bool:
        return self.child is not None and self.child.exit_code is None

    def _drop(self, *, grace: float) -> None:
        child, self.child = self.child, None
        if child is None:
            return
        if grace > 0 and child.exit_code is None:
            child.send({"cmd": "exit"})
        child.close(grace)

    def _inherited(self) -> dict[str, str]:
        return {**os.environ, **self.spec.environment}

    def _environment(self) -> dict[str, str]:
        environment = self._inherited()
        # Ours, when Proctor itself runs under pytest.
        environment.pop("PYTEST_CURRENT_TEST", None)
        # Ids made from sets must be the same in every runner of a campaign. The session forgets
        # the variable again, so that what the tests start is as random as ever.
        environment.setdefault("PYTHONHASHSEED", str(1 + hash_of(self.spec.run_id) % 4294967295))
        environment["PYTEST_XDIST_WORKER"] = self.spec.worker_id
        environment["PYTEST_XDIST_WORKER_COUNT"] = str(self.spec.worker_count)
        environment["PYTEST_XDIST_TESTRUNUID"] = self.spec.run_id
        return environment

    def _await_hello(self, child: Child, seconds: float) -> Message:
        deadline = time.monotonic() + seconds
        while True:
            gone = child.exit_code is not None
            for message in child.received():
                if message["k"] == "hello":
                    return message
                if message["k"] == "problem":
                    text = str(message["text"])
                    self._drop(grace=0)
                    raise InterpreterProblem(
                        f"{self.spec.python} has no usable pytest: {text}",
                        remedy="install pytest 7.0 or newer there, or name another interpreter "
                        "with --python",
                    )
            if gone:
                raise self._refusal(child)
            if time.monotonic() > deadline:
                stacks = child.dump_stacks()
                self._drop(grace=0)
                where = stacks.strip().splitlines()[-1:] or ["unknown"]
                raise InterpreterProblem(
                    f"pytest in {self.spec.python} was not ready after {seconds:g} s "
                    f"(last at {where[0].strip()})",
                    remedy="look for a conftest.py or plugin that waits for something",
                )
            child.wait(min(0.1, deadline - time.monotonic()))

    def _refusal(self, child: Child) -> Exception:
        code = child.exit_code
        assert code is not None
        text = "\n".join(part for _, part in child.output_since((0, 0), 1 << 16)).strip()
        self._drop(grace=0)
        if code < 0:
            return InterpreterProblem(
                f"{self.spec.python} was {death(code)} before pytest was ready",
                remedy="run pytest there by hand to see why",
            )
        errors = [line for line in text.splitlines() if line.startswith(("ERROR", "E  "))]
        lines = errors or text.splitlines()[-1:] or ["it said nothing"]
        return SessionProblem(
            f"pytest ended with exit code {code} before it could collect: {lines[0].strip()}",
            remedy="run pytest with the same arguments to see the whole message",
            text=text,
            exit_code=code,
        )

    # -- collecting -----------------------------------------------------------------------

    def collect(self, emit: Emit, stop: threading.Event | None = None) -> Message:
        """Collect everything the arguments name; items are emitted as they are found."""
        if self.used:
            # A file must not be collected twice in one session.
            self.close()
        self.start()
        child = self.child
        assert child is not None
        self.used = True
        child.send({"cmd": "collect"})
        file = ""
        heard = time.monotonic()
        while True:
            gone = child.exit_code is not None
            for message in child.received():
                heard = time.monotonic()
                if message["k"] == "enter":
                    file = str(message.get("file", ""))
                    continue
                emit(message)
                if message["k"] == "collected":
                    return message
            where = f" while collecting {file}" if file else " while collecting"
            if gone:
                text = "\n".join(part for _, part in child.output_since((0, 0), 1 << 16))
                code = child.exit_code
                assert code is not None
                self._drop(grace=0)
                raise SessionProblem(
                    f"pytest was {death(code)}{where}",
                    remedy="import that file by hand to see why",
                    text=text,
                    exit_code=2,
                )
            if stop is not None and stop.is_set():
                self._drop(grace=0)
                raise CollectionProblem("collection was stopped", remedy="start it again")
            if time.monotonic() - heard > self.spec.limits.collect_seconds:
                stacks = child.dump_stacks()
                self._drop(grace=0)
                raise SessionProblem(
                    f"pytest said nothing for {self.spec.limits.collect_seconds:g} s{where}",
                    remedy="look for an import that waits for something",
                    text=stacks,
                    exit_code=2,
                )
            child.wait(TICK_SECONDS)

    # -- running --------------------------------------------------------------------------

    def run(self, order: Order, emit: Emit, stop: threading.Event | None = None) -> BatchEnd:
        """Run a batch; returns when it is over, stopped, or has lost its runner."""
        self.interrupted.clear()
        self.start()
        child = self.child
        assert child is not None
        self.used = True
        watch = _Watch(self, child, order, emit)
        try:
            end = watch.run(stop)
        except BaseException:
            # The caller's emit failed, or we were interrupted: nobody knows what runs on.
            self._drop(grace=0)
            raise
        if end.runner_died:
            self._drop(grace=0)
        return end


class _Watch:
    """One batch being run: what is awaited, and what is done about what goes wrong."""

    def __init__(self, runner: SessionRunner, child: Child, order: Order, emit: Emit) -> None:
        self.spec = runner.spec
        self.gpu = runner.gpu
        self.interrupted = runner.interrupted
        self.child = child
        self.order = order
        self.emit = emit
        self.pending = {work.id: work for work in order.work}
        self.current: Work | None = None
        self.process = child.pid
        self.started_at = time.time()
        self.output_at: tuple[int, int] | list[int] = child.sizes()
        self.place = ""
        self.place_id = ""
        self.changed = time.monotonic()
        self.kills_before = oom_kills()
        self.verdict: tuple[Outcome, str, list[list[str]]] | None = None
        self.over = False
        self._reset_samples()

    def run(self, stop: threading.Event | None) -> BatchEnd:
        self.child.send(
            {
                "cmd": "run",
                "batch": self.order.batch,
                "cases": [{"id": work.id, "file": work.group} for work in self.order.work],
                "budget": self.order.budget_seconds,
                "finishes": list(self.order.finishes),
            }
        )
        told = False
        while True:
            # In this order: what a dead process wrote last must be read after it is dead.
            gone = self.child.exit_code is not None
            for message in self.child.received():
                self._take(message)
            if self.over:
                return BatchEnd(left=tuple(self.pending))
            if gone:
                return self._bury()
            if self.interrupted.is_set():
                self.child.kill()
                return BatchEnd(
                    left=tuple(self.pending), runner_died=True, reason="the batch was interrupted"
                )
            if stop is not None and stop.is_set() and not told:
                told = True
                self.child.send({"cmd": "stop"})
            self._judge_time()
            self._judge_memory()
            self.child.pump()
            self.child.wait(TICK_SECONDS)

    # -- what the session says ------------------------------------------------------------

    def _take(self, message: Message) -> None:
        kind = message["k"]
        self.changed = time.monotonic()
        if kind == "enter":
            self.place = str(message["what"])
            self.place_id = str(message.get("file") or message.get("id") or "")
            return
        if kind == "idle":
            self.over = True
            return
        if kind == "died":
            # A forked child of isolate mode; the warm session lives on.
            if self.current is not None:
                code = -int(message["signal"]) if "signal" in message else int(message["exit"])
                self._blame_dead(code, list(message["text"]))
            return
        if kind == "start":
            self.current = self.pending.get(str(message["id"]))
            self.process = int(message["pid"])
            self.started_at = float(message["t"])
            self.output_at = list(message["at"])
            self.place = ""
            self.verdict = None
            self._reset_samples()
        elif kind == "done":
            self.pending.pop(str(message["id"]), None)
            self._add_samples(message)
            self.current = None
        elif kind == "missing":
            self.pending.pop(str(message["id"]), None)
        elif kind == "collected":
            self.place = ""
        self.emit(message)

    # -- time -----------------------------------------------------------------------------

    def _judge_time(self) -> None:
        limits = self.spec.limits
        elapsed = time.monotonic() - self.changed
        if self.verdict is not None:
            return
        if self.current is None:
            if elapsed > limits.between_seconds:
                where = f"{self.place or 'between cases'} {self.place_id}".strip()
                self._condemn(
                    Outcome.TIMED_OUT, f"nothing happened for {limits.between_seconds:g} s: {where}"
                )
            return
        allowed = self.current.timeout_seconds or limits.case_seconds
        if elapsed > allowed:
            self._condemn(Outcome.TIMED_OUT, f"took longer than {allowed:g} s")

    # -- memory and GPU -------------------------------------------------------------------

    def _reset_samples(self) -> None:
        self.peak = 0
        self.gpu_peak: int | None = None
        self.gpu_shares: list[float] = []
        self.next_sample = time.monotonic() + SAMPLE_SECONDS

    def _judge_memory(self) -> None:
        if self.current is None or time.monotonic() < self.next_sample:
            return
        began = time.monotonic()
        processes = self.child.tree(self.process)
        resident = resident_bytes(processes)
        self.peak = max(self.peak, resident)
        limit = self.current.memory_limit_bytes
        if limit and resident > limit and self.verdict is None:
            # Forked processes share pages, and each counts them: look again before killing.
            proportional = proportional_bytes(processes) if len(processes) > 1 else resident
            if proportional > limit:
                self._condemn(
                    Outcome.OUT_OF_MEMORY,
                    f"used {in_words(proportional)} of memory, its limit is {in_words(limit)}",
                )
        sample = self.gpu.sample(process.pid for process in processes)
        if sample is not None:
            self.gpu_peak = max(self.gpu_peak or 0, sample.memory_bytes)
            self.gpu_shares.append(sample.utilisation)
        spent = time.monotonic() - began
        self.next_sample = time.monotonic() + max(SAMPLE_SECONDS, spent / SAMPLING_SHARE)

    def _add_samples(self, done: Message) -> None:
        done["peak"] = max(int(done.get("peak", 0)), self.peak)
        if self.gpu_peak is not None:
            done["gpu_memory"] = self.gpu_peak
            done["gpu"] = sum(self.gpu_shares) / len(self.gpu_shares)

    # -- the end of a process ----------------------------------------------------------------

    def _condemn(self, outcome: Outcome, message: str) -> None:
        """End the process of the running case, and remember why."""
        texts: list[list[str]] = []
        if outcome is Outcome.TIMED_OUT:
            stacks = self.child.dump_stacks(self.process)
            if stacks:
                texts.append(["stacks", stacks])
        self.verdict = (outcome, message, texts)
        if self.process != self.child.pid and self.current is not None:
            # Isolate mode: the warm session stays, and will say that its child died.
            processes = self.child.tree(self.process)
            with contextlib.suppress(OSError):
                os.killpg(self.process, signal.SIGKILL)
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            return
        self.child.kill()

    def _bury(self) -> BatchEnd:
        """The session is dead: name the culprit, return the innocent."""
        code = self.child.exit_code
        assert code is not None
        if self.process != self.child.pid:
            # Not the forked child but the warm process above it: nobody's fault that we know.
            self.current = None
        texts = self.child.output_since(self.output_at, self.spec.output_limit_bytes)
        self.child.sweep()
        if self.current is not None:
            culprit = self.current.id
            reason = self._blame_dead(code, texts)
            return BatchEnd(
                left=tuple(self.pending), culprit=culprit, runner_died=True, reason=reason
            )
        outcome, reason, more = self._explain(code)
        texts = [*more, *texts]
        if self.place == "collect":
            # Whoever runs any of them meets the same end: they cannot be run.
            doomed = [work for work in self.pending.values() if work.group == self.place_id]
            for work in doomed:
                self._emit_end(work.id, outcome, f"{reason} while importing {self.place_id}", texts)
            if doomed:
                return BatchEnd(
                    left=tuple(self.pending),
                    culprit=doomed[0].id,
                    runner_died=True,
                    reason=f"{reason} while importing {self.place_id}",
                )
        elif self.place == "teardown" and self.place_id:
            self.emit(
                {
                    "k": "late",
                    "id": self.place_id,
                    "outcome": str(outcome),
                    "message": f"{reason} in the teardown of a shared fixture",
                    "text": texts,
                }
            )
        return BatchEnd(left=tuple(self.pending), runner_died=True, reason=reason)

    def _blame_dead(self, code: int, texts: list[list[str]]) -> str:
        assert self.current is not None
        outcome, message, more = self._explain(code)
        self._emit_end(self.current.id, outcome, message, [*more, *texts])
        self.current = None
        return message

    def _explain(self, code: int) -> tuple[Outcome, str, list[list[str]]]:
        if self.verdict is not None:
            return self.verdict
        if code == -signal.SIGKILL:
            limit = self.current.memory_limit_bytes if self.current else None
            if oom_kills() > self.kills_before:
                return Outcome.OUT_OF_MEMORY, "killed by the kernel for lack of memory", []
            if limit and self.peak > NEAR_LIMIT * limit:
                return Outcome.OUT_OF_MEMORY, f"killed at {in_words(self.peak)} of memory", []
        return Outcome.CRASHED, death(code), []

    def _emit_end(self, case: str, outcome: Outcome, message: str, texts: list[list[str]]) -> None:
        self.pending.pop(case, None)
        done: Message = {
            "k": "done",
            "id": case,
            "outcome": str(outcome),
            "t0": self.started_at,
            "t1": time.time(),
            "cpu": 0.0,
            "peak": 0,
            "read": 0,
            "write": 0,
            "setup": 0.0,
            "call": 0.0,
            "teardown": 0.0,
            "shared": 0.0,
            "message": message,
            "text": texts,
            "props": [],
            "notes": [],
        }
        self._add_samples(done)
        self.emit(done)


def death(code: int) -> str:
    """How a process ended, in words that follow 'was' or stand alone."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"
    if code == EXIT_WIRE_LOST:
        return "ended because its file descriptors were closed under it"
    return f"left by os._exit({code})"


def in_words(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def hash_of(text: str) -> int:
    """The same in every process, unlike hash()."""
    number = 0
    for byte in text.encode():
        number = (number * 131 + byte) % (1 << 61)
    return number
