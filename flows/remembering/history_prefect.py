"""Reads a Prefect server's run history through its client: the real side of history's seam."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from prefect.client.orchestration import PrefectClient, get_client

from ...monitoring.run_history import FlowRunFacts, RunStateFacts, TaskRunFacts
from ..server.connection import speaking_to
from ..server.prefect_server import PrefectUnavailable
from .history_seam import PAGE, Which

logger = logging.getLogger(__name__)

Json = Mapping[str, Any]
# Before the event stream is asked for again.
_STREAM_PAUSE = 5.0


@asynccontextmanager
async def connected_history(url: str | None) -> AsyncGenerator[tuple[PrefectHistory, str]]:
    """The history of a server and the name it goes by: its address without credentials."""
    with nullcontext() if url is None else speaking_to(url):
        try:
            async with get_client() as client:
                yield PrefectHistory(client), _name_of(str(client.api_url))
        except (httpx.HTTPError, OSError, JSONDecodeError) as problem:
            raise PrefectUnavailable(
                f"the Prefect server did not answer: {type(problem).__name__}: {problem}",
                remedy="see whether it runs (`proctor server status`) and try again",
            ) from problem


class PrefectHistory:
    """Pages of a server's history, as plain facts: its client's models cost ten times as much."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._flows: dict[str, str] = {}

    async def count_flow_runs(self) -> int:
        return int(await self._post("/flow_runs/count", {}))

    async def flow_runs(self, which: Which, *, offset: int) -> Sequence[FlowRunFacts]:
        wanted: dict[str, Any] = {}
        if which.ended_since is not None:
            since = datetime.fromtimestamp(max(0.0, which.ended_since), UTC)
            wanted["end_time"] = {"after_": since.isoformat()}
        if which.unended:
            wanted["end_time"] = {"is_null_": True}
        if which.ids:
            wanted["id"] = {"any_": list(which.ids)}
        # By id: runs that come meanwhile make a page overlap, but never leave one out.
        body = {"flow_runs": wanted, "sort": "ID_DESC", "limit": PAGE, "offset": offset}
        page = await self._post("/flow_runs/filter", body)
        await self._learn_flows({run["flow_id"] for run in page})
        return [self._flow_run(run) for run in page]

    async def task_runs(
        self, flow_runs: Sequence[str], *, offset: int
    ) -> Sequence[tuple[TaskRunFacts, RunStateFacts | None]]:
        body = {
            "task_runs": {"flow_run_id": {"any_": list(flow_runs)}},
            "sort": "ID_DESC",
            "limit": PAGE,
            "offset": offset,
        }
        return [_task_run(run) for run in await self._post("/task_runs/filter", body)]

    async def states(self, flow_run: str) -> Sequence[RunStateFacts]:
        answer = await self._client.request(
            "GET", "/flow_run_states/", params={"flow_run_id": flow_run}
        )
        return [_state(state, flow_run) for state in answer.json()]

    async def _learn_flows(self, ids: set[str]) -> None:
        unknown = sorted(ids - self._flows.keys())
        for start in range(0, len(unknown), PAGE):
            some = unknown[start : start + PAGE]
            body = {"flows": {"id": {"any_": some}}, "limit": PAGE}
            found = await self._post("/flows/filter", body)
            self._flows |= {each["id"]: each["name"] for each in found}

    def _flow_run(self, run: Json) -> FlowRunFacts:
        return FlowRunFacts(
            id=run["id"],
            flow=self._flows.get(run["flow_id"], ""),
            name=run["name"] or "",
            state_type=run["state_type"] or "",
            state_name=run["state_name"] or "",
            created=_seconds(run["created"]) or 0.0,
            expected_start=_seconds(run["expected_start_time"]),
            started=_seconds(run["start_time"]),
            ended=_seconds(run["end_time"]),
            run_seconds=run["total_run_time"] or 0.0,
            run_count=run["run_count"] or 0,
            tags=tuple(run["tags"] or ()),
            deployment=run["deployment_id"] or "",
            work_pool=run.get("work_pool_name") or "",
            parent_task_run=run["parent_task_run_id"] or "",
        )

    async def _post(self, path: str, body: Json) -> Any:
        # The client's typed verbs make models of everything, which costs ten times as much.
        answer = await self._client.request("POST", path, json=dict(body))  # pyright: ignore[reportArgumentType]
        return answer.json()


class EventWakes:
    """Wakes at what the server's event stream says of flow runs; silent while it is away."""

    async def __aiter__(self) -> AsyncGenerator[None]:
        from prefect.events.clients import get_events_subscriber
        from prefect.events.filters import EventFilter, EventNameFilter

        wanted = EventFilter(event=EventNameFilter(prefix=["prefect.flow-run."]))
        while True:
            try:
                async with get_events_subscriber(wanted) as events:
                    async for _ in events:
                        yield
            except Exception as problem:  # noqa: BLE001 - the stream loses events anyway: polls go on.
                logger.info("no event stream: %s", problem)
            await asyncio.sleep(_STREAM_PAUSE)


def _task_run(run: Json) -> tuple[TaskRunFacts, RunStateFacts | None]:
    facts = TaskRunFacts(
        id=run["id"],
        flow_run=run["flow_run_id"] or "",
        name=run["name"] or "",
        task_key=run["task_key"] or "",
        state_type=run["state_type"] or "",
        state_name=run["state_name"] or "",
        created=_seconds(run["created"]) or 0.0,
        started=_seconds(run["start_time"]),
        ended=_seconds(run["end_time"]),
        run_seconds=run["total_run_time"] or 0.0,
        run_count=run["run_count"] or 0,
    )
    state = run.get("state")
    return facts, None if state is None else _state(state, facts.flow_run, task_run=facts.id)


def _state(state: Json, flow_run: str, *, task_run: str = "") -> RunStateFacts:
    return RunStateFacts(
        id=state["id"],
        flow_run=flow_run,
        task_run=task_run,
        at=_seconds(state["timestamp"]) or 0.0,
        type=state["type"],
        name=state["name"] or "",
        message=state["message"] or "",
    )


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()


def _name_of(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    place = f"{host}:{parts.port}" if parts.port else host
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
