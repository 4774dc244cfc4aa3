"""Keeps the process that takes history into the store running while the fleet is up."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ...flows.server.named_server import to_process
from ...infra.host_process import end_all, how_it_ended, launch_host

logger = logging.getLogger(__name__)

# A fleet that comes and goes within this time needs no memory of its own: campaigns take
# themselves in, and whoever starts a fleet waits for it on the same cores.
SETTLED_SECONDS = 20.0
PAUSE_SECONDS = 30.0
END_SECONDS = 3.0


class HistoryKeeper:
    """One such process, started again when it ends; a change of server starts it anew."""

    def __init__(
        self, state: Path, *, log: Path, environment: Mapping[str, str], now: float
    ) -> None:
        self._state = state
        self._log = log
        self._environment = environment
        self._due = now + SETTLED_SECONDS
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def tend(self, api_url: str, now: float) -> None:
        """Do what is due; nothing here waits."""
        if self._process is not None and self._process.poll() is not None:
            logger.warning(
                "the history's process ended: %s", how_it_ended(self._process.returncode)
            )
            self._process = None
            self._due = now + PAUSE_SECONDS
        if self._process is not None and api_url != self._url:
            # It follows a server that is away, or none though there is one by now.
            self._process.terminate()
            self._url = api_url
        elif self._process is None and now >= self._due:
            self._start(api_url, now)

    def close(self) -> None:
        if self._process is not None:
            end_all([self._process], grace=END_SECONDS)

    def _start(self, api_url: str, now: float) -> None:
        self._url = api_url
        command = [
            sys.executable,
            "-m",
            "proctor.flows.remembering.remember_follow",
            str(self._state),
        ]
        shown, environment = to_process(api_url, self._environment)
        if api_url:
            command += ["--prefect", shown]
        try:
            self._process = launch_host(command, log=self._log, environment=environment)
        except OSError as problem:
            logger.warning("the history's process cannot be started: %s", problem)
            self._due = now + PAUSE_SECONDS
