"""The run history of a real Prefect server in the store."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from uuid import uuid4

import httpx
import pytest
from real_prefect import History, resident_server
from waiting import wait_until

from proctor.flows.history import bring_in
from proctor.flows.server.prefect_server import PrefectUnavailable
from proctor.monitoring.store import Store


@pytest.fixture(scope="module")
def api():
    return History(resident_server().ensure().api_url)


def _make_run(api: History, *, ended: bool) -> str:
    """A run of long ago, as a campaign is told that ran while no server was up."""
    flow = _ask(api, "/flows/", {"name": "told"})["id"]
    body = {
        "flow_id": flow,
        "name": "a campaign",
        "idempotency_key": str(uuid4()),
        "tags": ["campaign:c1"],
        "state": _state("RUNNING", "Running", "2026-01-01T00:00:00Z"),
    }
    run = _ask(api, "/proctor/flow-runs", body)["id"]
    if ended:
        _end_run(api, run)
    return run


def _end_run(api: History, run: str) -> None:
    states = [_state("COMPLETED", "Completed", "2026-01-01T00:00:07Z")]
    _ask(api, f"/proctor/flow-runs/{run}/states", {"states": states})


def _ask(api: History, path: str, body: dict[str, Any]) -> Any:
    """A server that has just started keeps its database busy, and says so."""
    answers: list[Any] = []

    def answered() -> bool:
        with contextlib.suppress(httpx.HTTPStatusError):
            answers.append(api.ask(path, body))
        return bool(answers)

    wait_until(answered, timeout=240, what=f"an answer from {path}", tick=0.2)
    return answers[0]


def _state(kind: str, name: str, at: str) -> dict[str, str]:
    return {"type": kind, "name": name, "timestamp": at}


def test_runs_arrive_with_their_states_and_campaigns(api, tmp_path):
    """First one that runs, then its end, with the times at which things happened."""
    run = _make_run(api, ended=False)
    query = """SELECT f.flow, f.campaign, f.state_name, epoch(f.ended_at - f.started_at),
            list(s.name ORDER BY s.happened_at) FILTER (s.name IS NOT NULL)
        FROM prefect_flow_runs f LEFT JOIN prefect_states s USING (flow_run_id)
        WHERE f.flow_run_id = ? GROUP BY ALL"""

    def found():
        asyncio.run(bring_in(tmp_path, url=api.api_url, deadline=240))
        with Store(tmp_path).reading() as connection:
            return connection.execute(query, [run]).fetchall()

    assert found() == [("told", "c1", "Running", None, None)]
    _end_run(api, run)
    _make_run(api, ended=True)
    assert found() == [("told", "c1", "Completed", 7.0, ["Running", "Completed"])]


def test_a_server_that_is_not_there_is_named(tmp_path):
    """Within the deadline, with a remedy."""
    with pytest.raises(PrefectUnavailable, match="did not answer"):
        asyncio.run(bring_in(tmp_path, url="http://127.0.0.1:9/api", deadline=60))
