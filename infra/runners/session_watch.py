"""Watches one batch in a warm session: its time, its memory, its end, and who is to blame."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence

import psutil

from ..records import Outcome
from .child import KILL_SECONDS, Child, death
from .fresh_starts import FreshStarts
from .spec import CASE_SECONDS, KERNEL_KILL, BatchEnd, Emit, Message, Order, RunnerSpec, Work, ended
from .usage import GpuProbe, Samples, in_words, oom_kills

# How often records are looked at while a batch runs; the bell cuts the wait short at its end.
TICK_SECONDS = 0.02
# This near its limit, a process that was killed from outside was killed for its memory.
NEAR_LIMIT = 0.9
# session/wire.py ends its process so when a test took its pipes away.
EXIT_WIRE_LOST = 86
# pytest-timeout's thread method prints this to stderr and leaves with code 1.
TIMEOUT_BANNER = "+ Timeout +"

Texts = list[list[str]]
Finding = tuple[Outcome, str, Texts]


class SessionWatch:
    """One batch being run: what is awaited, and what is done about what goes wrong."""

    def __init__(
        self,
        spec: RunnerSpec,
        child: Child,
        order: Order,
        *,
        emit: Emit,
        gpu: GpuProbe,
        fresh_starts: FreshStarts,
    ) -> None:
        self.spec = spec
        self.child = child
        self.order = order
        self.emit = emit
        self.fresh_starts = fresh_starts
        self.samples = Samples(gpu)
        self.pending = {work.id: work for work in order.work}
        self.current: Work | None = None
        # The process the current case runs in: the session's, or its forked child.
        self.process = child.pid
        self.started_at = time.time()
        self.output_at: Sequence[int] = child.sizes()
        # Between cases: "collect" or "teardown", and of which file or after which case.
        self.doing = ""
        self.subject = ""
        # What pytest-timeout allows the running case, or its function alone; its configuration is
        # the session's to read.
        self.told_limit: float | None = None
        # What a case came to that may begin once more, until it is told.
        self.put_off: Message = {}
        self.changed = time.monotonic()
        self.kills_before = oom_kills()
        # Why we ended the process ourselves; it may say some more before it is gone.
        self.verdict: Finding | None = None
        self.over = False
        self.spoilt = False

    def run(self, stop: threading.Event, *kills: threading.Event) -> BatchEnd:
        self.child.send(
            {
                "cmd": "run",
                "batch": self.order.batch,
                "cases": [{"id": work.id, "file": work.group} for work in self.order.work],
                "budget": self.order.budget_seconds,
                "finishes": list(self.order.finishes),
                "ahead": list(self.order.ahead),
                "beside": list(self.order.beside),
                "afresh": self.fresh_starts.allowed,
                "hopeless": self.fresh_starts.hopeless(work.group for work in self.order.work),
            }
        )
        told = False
        while True:
            # In this order: the last words of a process are read after it is known to be dead,
            # and never awaited, because a process it forked may hold the pipe open.
            gone = self.child.exit_code is not None
            for message in self.child.received():
                self._take(message)
            if self.over:
                return BatchEnd(left=tuple(self.pending), spoilt=self.spoilt)
            if any(event.is_set() for event in kills):
                self.child.kill()
                return self._end(died=True, reason="interrupted")
            if gone:
                return self._bury()
            if stop.is_set() and not told:
                told = True
                self.child.send({"cmd": "stop"})
            self._judge_time()
            self._judge_memory()
            self.child.pump()
            self.child.wait(TICK_SECONDS)

    def _end(self, *, died: bool, reason: str, culprit: str | None = None) -> BatchEnd:
        return BatchEnd(left=tuple(self.pending), culprit=culprit, runner_died=died, reason=reason)

    # -- what the session says ------------------------------------------------------------

    def _take(self, message: Message) -> None:
        kind = message["k"]
        self.changed = time.monotonic()
        if self.verdict is not None and kind not in ("died", "idle"):
            self._take_last_words(message)
            return
        if kind == "enter":
            self.doing = str(message["what"])
            self.subject = str(message.get("file") or message.get("id") or "")
            return
        if kind == "limit":
            self.told_limit = message["seconds"]
            return
        if kind == "idle":
            # Not of a session that is condemned: its case is still to be told.
            self.over = self.verdict is None
            if file := message.get("spoilt"):
                self.spoilt = True
                self.fresh_starts.spoilt(file)
            return
        if kind == "died":
            # The forked child of an isolated case; one that wrote its record is done already.
            if self.current is not None:
                self._blame(int(message["code"]), message["text"])
            return
        if kind == "put-off":
            # All files are loaded first, and it may begin once more: nobody else need know.
            self.current = None
            self.put_off = dict(message["done"])
            return
        begun_before = kind == "start" and message["id"] == self.put_off.get("id")
        if kind == "start":
            self.current = self.pending.get(str(message["id"]))
            self.process = int(message["pid"])
            self.started_at = float(message["t"])
            self.output_at = message["at"]
            self.doing = ""
            self.told_limit = None
            self.samples.restart()
        elif kind == "done":
            self.pending.pop(str(message["id"]), None)
            self.samples.add_to(message)
            self.current = None
            self.put_off = {}
        elif kind == "missing":
            self.pending.pop(str(message["id"]), None)
        elif kind == "collected":
            self.doing = ""
            self.fresh_starts.hear(message)
        if not begun_before:
            self.emit(message)

    def _take_last_words(self, message: Message) -> None:
        """What is said between a verdict and the end; asking for stacks can wake a case up.

        The verdict stands, and later cases that were finished so count.
        """
        case = str(message.get("id", ""))
        if message["k"] not in ("start", "done") or case not in self.pending:
            return
        if self.current is not None and case == self.current.id:
            return
        if message["k"] == "done":
            self.pending.pop(case)
        self.emit(message)

    # -- time and memory ------------------------------------------------------------------

    def _judge_time(self) -> None:
        elapsed = time.monotonic() - self.changed
        if self.verdict is not None:
            if elapsed > KILL_SECONDS:
                # An isolated case was ended, and the session above it does not say so.
                self.child.kill()
        elif self.current is not None:
            allowed = self.current.timeout_seconds or CASE_SECONDS
            if self.told_limit is not None:
                allowed = min(allowed, self.told_limit)
            if elapsed > allowed:
                self._condemn(Outcome.TIMED_OUT, f"took longer than {allowed:g} s")
        elif elapsed > self.spec.hang_timeout_seconds:
            self._condemn(Outcome.TIMED_OUT, f"hung for {self.spec.hang_timeout_seconds:g} s")

    def _judge_memory(self) -> None:
        if self.current is None or self.verdict is not None:
            return
        used = self.samples.take(lambda: self.child.tree(self.process))
        limit = self.current.memory_limit_bytes
        if used is not None and limit and used > limit:
            self._condemn(
                Outcome.OUT_OF_MEMORY, f"used {in_words(used)}, its limit is {in_words(limit)}"
            )

    # -- the end of a process ----------------------------------------------------------------

    def _condemn(self, outcome: Outcome, message: str) -> None:
        """End the process of the running case, and remember why."""
        texts: Texts = []
        if outcome is Outcome.TIMED_OUT:
            stacks = self.child.dump_stacks(self.process)
            if stacks:
                texts.append(["stacks", stacks])
        self.verdict = (outcome, message, texts)
        self.changed = time.monotonic()
        if self.process == self.child.pid or self.current is None:
            self.child.kill()
            return
        # Isolated: the warm session stays, and will say that its child died.
        processes = self.child.tree(self.process)
        with contextlib.suppress(OSError):
            os.killpg(self.process, signal.SIGKILL)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _bury(self) -> BatchEnd:
        """The session is dead: name the culprit, return the innocent."""
        code = self.child.exit_code
        assert code is not None
        texts = self.child.output_since(self.output_at, self.spec.output_limit_bytes)
        self.child.sweep()
        if self.put_off:
            # It failed before it was tried again; whatever ended the session stands beside that.
            if self.current is not None:
                self.verdict = None
            self._take(self.put_off)
        own = self.process == self.child.pid or self.verdict is not None
        if self.current is not None and own:
            culprit = self.current.id
            return self._end(died=True, reason=self._blame(code, texts), culprit=culprit)
        # An isolated case goes back to the queue: the process above it died, not its own.
        outcome, reason, more = self._explain(code, texts)
        texts = [*more, *texts]
        if self.doing == "collect":
            return self._blame_import(outcome, f"{reason} while {self.subject} was imported", texts)
        if self.doing == "teardown" and self.subject:
            reason = f"{reason} in the teardown of a shared fixture"
            self.emit(late(self.subject, reason, texts))
        return self._end(died=True, reason=reason)

    def _blame_import(self, outcome: Outcome, reason: str, texts: Texts) -> BatchEnd:
        """All cases of a file that cannot be imported share its fate: none of them can be run."""
        doomed = [work.id for work in self.pending.values() if work.group == self.subject]
        for case in doomed:
            self._emit_end(case, outcome, reason, texts)
        return self._end(died=True, reason=reason, culprit=doomed[0] if doomed else None)

    def _blame(self, code: int, texts: Texts) -> str:
        assert self.current is not None
        outcome, message, more = self._explain(code, texts)
        self._emit_end(self.current.id, outcome, message, [*more, *texts])
        self.current = None
        self.verdict = None
        return message

    def _explain(self, code: int, texts: Texts) -> Finding:
        if self.verdict is not None:
            return self.verdict
        if code == -signal.SIGKILL:
            limit = self.current.memory_limit_bytes if self.current else None
            used = in_words(self.samples.peak_bytes)
            if limit and self.samples.peak_bytes > NEAR_LIMIT * limit:
                return Outcome.OUT_OF_MEMORY, f"killed while it used {used}", []
            if oom_kills() > self.kills_before:
                # The kernel takes who is there, which may be somebody with little.
                return Outcome.OUT_OF_MEMORY, f"{KERNEL_KILL}; it used {used}", []
        if code == 1 and any(TIMEOUT_BANNER in text for _, text in texts):
            return Outcome.TIMED_OUT, "ended by pytest-timeout", []
        if code == EXIT_WIRE_LOST:
            return Outcome.CRASHED, "closed file descriptors that were not its own", []
        return Outcome.CRASHED, death(code), []

    def _emit_end(self, case: str, outcome: Outcome, message: str, texts: Texts) -> None:
        self.pending.pop(case, None)
        done = ended(
            case,
            outcome=outcome.value,
            started=self.started_at,
            finished=time.time(),
            message=message,
            text=texts,
        )
        self.samples.add_to(done)
        self.emit(done)


def late(case: str, message: str, texts: Texts) -> Message:
    """A shared fixture failed after the last case that used it had been reported."""
    return {"k": "late", "id": case, "outcome": "error", "message": message, "text": texts}
