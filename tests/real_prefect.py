"""One real resident Prefect server for all tests that need one; it takes 10 s of CPU to start."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from proctor.flows.server.prefect_server import ResidentServer

# Prefect reads it when it is imported, and keeps its notes there: not in the person's own.
if "PREFECT_HOME" not in os.environ:
    os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="proctor-prefect-home-")
    atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
ANSWER_SECONDS = 120.0


@functools.cache
def resident_state() -> Path:
    """The state directory of the server; it is made anew for each session."""
    folder = tempfile.TemporaryDirectory(prefix="proctor-prefect-")
    state = Path(folder.name)

    def end() -> None:
        ResidentServer(state).stop()
        folder.cleanup()

    atexit.register(end)
    return state


def resident_server() -> ResidentServer:
    """The server, answering: started by the first who asks, revived if a test killed it."""
    # Here, because it brings Prefect along.
    from proctor.flows.server.connection import why_unusable

    # One that is busy for a while is not away.
    why_unusable.__kwdefaults__["seconds"] = ANSWER_SECONDS
    server = ResidentServer(resident_state())
    server.ensure()
    return server


class History:
    """What the server's API says about a flow run."""

    def __init__(self, api_url: str) -> None:
        self.api_url = api_url

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer; one whose database is busy is asked again, as Prefect's own client does."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            if body is None:
                answer = httpx.get(f"{self.api_url}{path}", timeout=20)
            else:
                answer = httpx.post(f"{self.api_url}{path}", json=body, timeout=20)
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                answer.raise_for_status()
                return answer.json()
            time.sleep(0.5)

    def runs(self, tag: str) -> list[dict[str, Any]]:
        return self.ask("/flow_runs/filter", {"flow_runs": {"tags": {"all_": [tag]}}})

    def states(self, run: str) -> list[tuple[str, str]]:
        found = self.ask(f"/flow_run_states/?flow_run_id={run}")
        return [(state["name"], state["message"]) for state in found]

    def phases(self, run: str) -> dict[str, tuple[str, float]]:
        body = {"flow_runs": {"id": {"any_": [run]}}}
        found = self.ask("/task_runs/filter", body)
        return {task["name"]: (task["state_name"], task["total_run_time"]) for task in found}

    def artifacts(self, run: str) -> dict[str, Any]:
        body = {"artifacts": {"flow_run_id": {"any_": [run]}}}
        return {found["key"]: found["data"] for found in self.ask("/artifacts/filter", body)}

    def lines(self, run: str) -> list[str]:
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return [line["message"] for line in self.ask("/logs/filter", body)]

    def events(self, run: str, prefix: str) -> list[str]:
        wanted = {
            "related": {"id": [f"prefect.flow-run.{run}"]},
            "event": {"prefix": [prefix]},
            "occurred": {"since": "2000-01-01T00:00:00Z", "until": "2200-01-01T00:00:00Z"},
        }
        found = self.ask("/events/filter", {"filter": wanted, "limit": 50})
        return sorted(event["event"] for event in found["events"])
