"""The Prefect workers that this machine runs for its pools: started, restarted, ended last."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...infra.fleet.providers import ProviderProblem
from ...infra.host_process import end_all, how_it_ended
from ...infra.worker_classes import WorkerClass
from .pools import pool_name, pool_type

logger = logging.getLogger(__name__)

# One that dies again and again is not started more often than this.
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
PROVEN_SECONDS = 60.0
END_SECONDS = 2.0
LOG_LIMIT_BYTES = 5_000_000


class PoolWorkers:
    """One Prefect worker for each pool in use."""

    def __init__(self, *, queue: str, logs: Path, environment: Mapping[str, str]) -> None:
        """It takes runs of that queue only: other fleets may use the same pool."""
        self._queue = queue
        self._logs = logs
        self._environment = dict(environment)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._deaths: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._url = ""

    def tend(self, classes: Iterable[WorkerClass], api_url: str) -> None:
        """Have a living worker for each of these classes."""
        now = time.monotonic()
        if api_url != self._url:
            # The server is not where it was; what they run goes on.
            end_all(list(self._processes.values()), grace=END_SECONDS)
            self._processes.clear()
            self._url = api_url
        for each in classes:
            name = each.name
            process = self._processes.get(name)
            if process is not None and process.poll() is not None:
                logger.warning(
                    "the Prefect worker of %s died: %s",
                    pool_name(each),
                    how_it_ended(process.returncode),
                )
                del self._processes[name]
                proven = now - self._started[name] > PROVEN_SECONDS
                self._deaths[name] = 1 if proven else self._deaths.get(name, 0) + 1
                pause = PAUSE_SECONDS * 2 ** min(self._deaths[name] - 1, 10)
                self._due[name] = now + min(pause, LONGEST_PAUSE_SECONDS)
                process = None
            if process is None and now >= self._due.get(name, 0.0):
                self._started[name] = now
                self._processes[name] = self._start(each, api_url)

    def close(self, *, grace: float) -> None:
        """End them; what they run must have ended before, for they would leave it behind."""
        end_all(list(self._processes.values()), grace=grace)

    def _start(self, worker_class: WorkerClass, api_url: str) -> subprocess.Popen[bytes]:
        pool = pool_name(worker_class)
        log = self._logs / f"{pool}.log"
        self._logs.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > LOG_LIMIT_BYTES:
                log.replace(log.with_suffix(".log.1"))
        try:
            with log.open("ab") as file:
                return subprocess.Popen(
                    [
                        *(sys.executable, "-m", "prefect", "worker", "start"),
                        *("--pool", pool, "--type", pool_type(worker_class)),
                        *("--work-queue", self._queue, "--install-policy", "never"),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    env=self._environment | {"PREFECT_API_URL": api_url},
                    start_new_session=True,
                )
        except OSError as problem:
            raise ProviderProblem(
                f"the Prefect worker of {pool} cannot be started ({problem.strerror})",
                remedy="look for a limit on processes or memory",
            ) from problem
