"""Keeps the resident Prefect server answering while a fleet is up."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil

from ...flows.server.prefect_server import ResidentServer
from ...infra.errors import ProctorError

# How often the Prefect server is looked at, and how long one that is away stays unmentioned.
PREFECT_SECONDS = 10.0


class PrefectKeeper:
    """Keeps the resident Prefect server answering, in a thread: it may take half a minute."""

    def __init__(self, state: Path) -> None:
        self._server = ResidentServer(state)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._since = time.time()
        self.url = ""
        self.api_url = ""
        self.problem = "it is starting"

    def tend(self, wanted: str) -> None:
        if wanted not in {"resident", "off"}:
            self.api_url = wanted
        elif wanted == "resident" and self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="prefect", daemon=True)
            self._thread.start()

    def api(self, wanted: str) -> str:
        """Where the server answers that is wanted; empty while it does not."""
        if wanted != "resident":
            return wanted
        return f"{self.url}/api" if self.url else ""

    def close(self) -> None:
        self._ending.set()

    def _keep(self) -> None:
        while not self._ending.is_set():
            try:
                # One that a person stops with `proctor server stop` stays stopped.
                record = self._server.ensure(unless_stopped_since=self._since)
                self.url, self.problem = record.ui_url, ""
                self.api_url = record.api_url
            except (ProctorError, OSError, psutil.Error) as problem:
                # Whatever it was may pass: nobody starts this thread again.
                self.url, self.problem = "", str(problem)
            self._ending.wait(PREFECT_SECONDS)
