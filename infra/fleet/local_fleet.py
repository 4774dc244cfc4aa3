"""A fleet on this machine: one scheduler process and a process for each worker.

It belongs to the process that started it and ends with it, even by kill -9; `proctor up` keeps
one for longer.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from ..codec import facts_to_json
from ..errors import FleetUnavailable
from ..host_process import end_all, launch_host
from ..records import WorkerFacts
from ..worker_classes import WorkerClass

__all__ = ["LocalFleet", "WorkerClass"]

logger = logging.getLogger(__name__)

START_SECONDS = 30.0
END_SECONDS = 5.0
# How soon a dead worker is noticed and started again.
TEND_SECONDS = 0.2
# One that dies soon is started no more often than this, twice as long each time, ...
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 4.0
# ... until one has lived for so long.
PROVEN_SECONDS = 60.0
SCHEDULER = "the scheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    """When something was last started, and what passes until the next start at least."""

    started: float
    pause: float = 0.0


@dataclass(slots=True)
class LocalFleet:
    """Processes of a fleet; a context manager that ends them."""

    workers: Sequence[WorkerFacts]
    scratch: Path
    directory: Path = field(init=False)
    _scheduler: subprocess.Popen[bytes] | None = None
    _hosts: dict[str, subprocess.Popen[bytes]] = field(
        default_factory=dict[str, subprocess.Popen[bytes]]
    )
    _paces: dict[str, _Pace] = field(default_factory=dict[str, _Pace])
    _ending: threading.Event = field(default_factory=threading.Event)
    _tender: threading.Thread | None = None
    _problem: BaseException | None = None

    def __post_init__(self) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.directory = Path(tempfile.mkdtemp(prefix="fleet-", dir=self.scratch))

    def start(self) -> None:
        """Launch everything at once; `address` waits until the scheduler answers."""
        self._tender = threading.Thread(target=self._tend, name="local-fleet", daemon=True)
        self._tender.start()

    def _tend(self) -> None:
        # One thread launches every process and outlives them: the kernel's signal at a parent's
        # death comes when the launching thread ends.
        try:
            ready = self.directory / "scheduler.json"
            self._scheduler = self._launch_scheduler(ready)
            self._paces[SCHEDULER] = _Pace(started=time.monotonic())
            for facts in self.workers:
                self._hosts[facts.name] = self._launch_worker(facts)
                self._paces[f"worker {facts.name}"] = _Pace(started=time.monotonic())
            while not self._ending.wait(TEND_SECONDS):
                if self._scheduler.poll() is not None and ready.exists():
                    self._restart_scheduler(ready, time.monotonic())
                for facts in self.workers:
                    if self._hosts[facts.name].poll() is not None:
                        self._restart_worker(facts, time.monotonic())
        except OSError as error:
            self._problem = error

    def _restart_scheduler(self, ready: Path, now: float) -> None:
        """Where the campaign looks for it; workers that had the former one end with it."""
        port = urlsplit(json.loads(ready.read_text())["address"]).port
        launch = partial(self._launch_scheduler, ready, "--port", str(port))
        process = self._again(SCHEDULER, launch, now)
        if process is not None:
            self._scheduler = process
            for host in self._hosts.values():
                # They would go on to the end of what they run, with its result lost.
                host.kill()

    def _restart_worker(self, facts: WorkerFacts, now: float) -> None:
        process = self._again(f"worker {facts.name}", partial(self._launch_worker, facts), now)
        if process is not None:
            self._hosts[facts.name] = process

    def _again(
        self, what: str, launch: Callable[[], subprocess.Popen[bytes]], now: float
    ) -> subprocess.Popen[bytes] | None:
        """Start what has died, unless it was started just now or cannot be."""
        pace = self._paces[what]
        if now < pace.started + pace.pause:
            return None
        longer = min(LONGEST_PAUSE_SECONDS, 2 * pace.pause or FIRST_PAUSE_SECONDS)
        proven = now - pace.started > PROVEN_SECONDS
        self._paces[what] = _Pace(started=now, pause=0.0 if proven else longer)
        try:
            process = launch()
        except OSError as problem:
            # With this thread all others would end: no memory for one is no reason for that.
            logger.warning("%s cannot be started again now: %s", what, problem)
            return None
        logger.warning("%s died and is started again", what)
        return process

    def _launch_scheduler(self, ready: Path, *arguments: str) -> subprocess.Popen[bytes]:
        return self._launch("scheduler", "scheduler_host", "--ready", str(ready), *arguments)

    def _launch_worker(self, facts: WorkerFacts) -> subprocess.Popen[bytes]:
        return self._launch(
            facts.name,
            "worker_host",
            "--scheduler-file",
            str(self.directory / "scheduler.json"),
            "--facts",
            json.dumps(facts_to_json(facts)),
            "--scratch",
            str(self.scratch),
        )

    def address(self, deadline_seconds: float = START_SECONDS) -> str:
        """Where the scheduler listens, once it does."""
        ready = self.directory / "scheduler.json"
        end = time.monotonic() + deadline_seconds
        while not ready.exists():
            self._check_alive()
            if time.monotonic() > end:
                raise FleetUnavailable(
                    f"the local scheduler did not start within {deadline_seconds:g} s",
                    remedy=f"its log is {self.directory / 'scheduler.log'}",
                )
            time.sleep(0.01)
        return json.loads(ready.read_text())["address"]

    def stop(self) -> None:
        self._ending.set()
        if self._tender is not None:
            self._tender.join(END_SECONDS)
        processes = [*self._hosts.values(), *([self._scheduler] if self._scheduler else [])]
        end_all(processes, grace=END_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(self, name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        return launch_host(
            (sys.executable, "-m", f"{__package__}.{module}", *arguments),
            log=self.directory / f"{name}.log",
            environment=os.environ,
        )

    def _check_alive(self) -> None:
        if self._problem is not None:
            raise FleetUnavailable(
                f"a process of the local fleet could not be started ({self._problem})",
                remedy="look for a limit on processes or memory",
            ) from self._problem
        code = None if self._scheduler is None else self._scheduler.poll()
        if code is not None:
            raise FleetUnavailable(
                f"the local scheduler ended with code {code} while starting",
                remedy=f"its log is {self.directory / 'scheduler.log'}",
            )
