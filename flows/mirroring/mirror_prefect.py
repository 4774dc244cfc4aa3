"""Speaks to Prefect through its client: the real side of the mirror's seam."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate, LogCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.types import DateTime
from pydantic import ValidationError

from ...infra.errors import ProctorError
from ..server.connection import speaking_to
from ..server.prefect_server import ServerStopped
from .mirror_facts import (
    ArtifactFacts,
    ArtifactKind,
    Away,
    Dismissed,
    EventFacts,
    LineFacts,
    Refused,
    RunFacts,
    RunState,
    Standing,
    StateFacts,
)

LOGGER_NAME = "proctor.campaign"
# A state told later than this bears its true time in its message, where the server stamps it.
_LATE_SECONDS = 5.0
# The server cannot answer now, but may soon.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_EVENTS_PAGE = 50

T = TypeVar("T")


class PrefectLink:
    """One server: at the address found on each connection, or as Prefect's settings say."""

    def __init__(self, address: Callable[[], str] | None = None) -> None:
        self._address = address
        self._stack = contextlib.AsyncExitStack()
        self._client: PrefectClient | None = None
        # Whether the server takes past states (ours does); unknown until the first try.
        self._takes_past: bool | None = None

    async def open_run(self, run: RunFacts) -> str:
        return await self._ask(self._open_run(run))

    async def enter_state(self, flow_run: str, state: StateFacts) -> None:
        await self._ask(self._enter_state(flow_run, state))

    async def tag_run(self, flow_run: str, tags: Sequence[str]) -> None:
        client = await self._connected()
        run = await self._ask(client.read_flow_run(UUID(flow_run)))
        every = sorted({*run.tags, *tags})
        await self._ask(client.update_flow_run(UUID(flow_run), tags=every))

    async def standing(self, flow_run: str) -> Standing | None:
        return await self._ask(self._standing(flow_run))

    async def post_events(self, events: Sequence[EventFacts]) -> None:
        await self._ask(self._post("/events", [_event(each) for each in events]))

    async def known_events(self, ids: Sequence[str]) -> frozenset[str]:
        known: set[str] = set()
        for start in range(0, len(ids), _EVENTS_PAGE):
            page = list(ids[start : start + _EVENTS_PAGE])
            wanted = {
                "id": {"id": page},
                # Without a time the filter looks at recent days only.
                "occurred": {"since": "2000-01-01T00:00:00Z", "until": "2200-01-01T00:00:00Z"},
            }
            body = {"filter": wanted, "limit": _EVENTS_PAGE}
            answer = await self._ask(self._answer("/events/filter", body))
            known.update(event["id"] for event in answer["events"])
        return frozenset(known)

    async def phases(self, flow_run: str) -> Mapping[str, str]:
        client = await self._connected()
        runs = await self._ask(
            client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run)])),
                limit=200,
            )
        )
        return {str(run.id): run.state_name or "" for run in runs}

    async def count_lines(self, flow_run: str) -> int:
        # The filter has no logger: a flow run of the campaign's own has other lines as well.
        body: dict[str, Any] = {
            "logs": {"flow_run_id": {"any_": [flow_run]}},
            "limit": 200,
            "offset": 0,
        }
        found = 0
        while page := await self._ask(self._answer("/logs/filter", body)):
            found += sum(line["name"] == LOGGER_NAME for line in page)
            body["offset"] += len(page)
        return found

    async def write_lines(self, flow_run: str, lines: Sequence[LineFacts]) -> None:
        client = await self._connected()
        logs = [
            LogCreate(
                name=LOGGER_NAME,
                level=line.level,
                message=line.text,
                timestamp=_moment(line.at),
                flow_run_id=UUID(flow_run),
            )
            for line in lines
        ]
        await self._ask(client.create_logs(logs))

    async def put_artifact(self, flow_run: str, artifact: ArtifactFacts, known: str) -> str:
        return await self._ask(self._put_artifact(flow_run, artifact, known))

    async def leave(self) -> None:
        self._client = None
        stack, self._stack = self._stack, contextlib.AsyncExitStack()
        # Saying good-bye to a server that is away fails; it is left all the same.
        with contextlib.suppress(httpx.HTTPError, OSError, RuntimeError):
            await stack.aclose()

    async def _connected(self) -> PrefectClient:
        if self._client is None:
            client = await self._found()
            self._client = await self._ask(self._stack.enter_async_context(client))
        return self._client

    async def _found(self) -> PrefectClient:
        if self._address is not None:
            try:
                url = await asyncio.to_thread(self._address)
            except ServerStopped as problem:
                raise Dismissed(str(problem)) from problem
            except (ProctorError, OSError) as problem:
                # A resident one that cannot be started now, on a full disk for example.
                raise Away(str(problem)) from problem
            # For as long as the connection lasts: with an address for the client alone, parts of
            # it still start a server of their own (12 s of CPU).
            self._stack.enter_context(speaking_to(url))
        # The client's own five retries take a minute, and would repeat what must not be repeated.
        self._stack.enter_context(temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}))
        return get_client()

    async def _post(self, path: str, body: object) -> httpx.Response:
        client = await self._connected()
        # The client's typed verbs leave no room for a key, a filter or a time of ours.
        return await client.request("POST", path, json=body)  # pyright: ignore[reportArgumentType]

    async def _answer(self, path: str, body: object) -> Any:
        return (await self._post(path, body)).json()

    async def _standing(self, flow_run: str) -> Standing | None:
        client = await self._connected()
        try:
            run = await client.read_flow_run(UUID(flow_run))
        except ObjectNotFound:
            return None
        state = run.state
        if state is None:
            return Standing(type="", since=0.0)
        return Standing(type=state.type.value, since=state.timestamp.timestamp())

    async def _open_run(self, run: RunFacts) -> str:
        client = await self._connected()
        flow = await client.create_flow_from_name(run.flow)
        body: dict[str, Any] = {
            "flow_id": str(flow),
            "name": run.name,
            "idempotency_key": run.key,
            "parameters": dict(run.parameters),
            "tags": list(run.tags),
        }
        running = StateFacts(state=RunState.RUNNING, at=run.started, message=run.message)
        if self._takes_past is not False:
            with contextlib.suppress(ObjectNotFound, _NoDoor):
                answer = await self._past("/proctor/flow-runs", body | {"state": _past(running)})
                return answer.json()["id"]
        answer = await self._post("/flow_runs/", body | {"state": _present(running)})
        return answer.json()["id"]

    async def _enter_state(self, flow_run: str, state: StateFacts) -> None:
        if self._takes_past is not False:
            with contextlib.suppress(_NoDoor):
                path = f"/proctor/flow-runs/{flow_run}/states"
                await self._past(path, {"states": [_past(state)]})
                return
        body = {"state": _present(state), "force": True}
        await self._post(f"/flow_runs/{flow_run}/set_state", body)

    async def _past(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        try:
            answer = await self._post(path, body)
        except httpx.HTTPStatusError as problem:
            # 405 where another route of the server catches all paths, 403 where few are allowed.
            if problem.response.status_code in {403, 404, 405} and not self._takes_past:
                self._takes_past = False
                raise _NoDoor from problem
            raise
        self._takes_past = True
        return answer

    async def _put_artifact(self, flow_run: str, artifact: ArtifactFacts, known: str) -> str:
        client = await self._connected()
        data = _data(artifact)
        if not known:
            # Created by a mirror that died before it could remember.
            found = await client.read_artifacts(
                artifact_filter=ArtifactFilter(
                    key=ArtifactFilterKey(any_=[artifact.key]),
                    flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(flow_run)]),
                )
            )
            known = str(found[0].id) if found else ""
        if known:
            update = ArtifactUpdate(data=data, description=artifact.description)
            await client.update_artifact(UUID(known), update)
            return known
        created = await client.create_artifact(
            ArtifactCreate(
                key=artifact.key,
                type="markdown" if artifact.kind is ArtifactKind.LINK else artifact.kind.value,
                description=artifact.description,
                data=data,
                flow_run_id=UUID(flow_run),
            )
        )
        return str(created.id)

    async def _ask(self, act: Awaitable[T]) -> T:
        try:
            return await act
        except httpx.HTTPStatusError as problem:
            if problem.response.status_code in _PASSING:
                raise Away(str(problem)) from problem
            raise Refused(str(problem)) from problem
        except ObjectNotFound as problem:
            raise Refused(f"not found: {problem}") from problem
        except ValidationError as problem:
            raise Refused(f"an answer of another version: {problem}") from problem
        except (httpx.HTTPError, OSError, RuntimeError, ValueError) as problem:
            # ValueError: no JSON, such as the page of a proxy whose server is away.
            # RuntimeError: Prefect's own word for an API that it fails to reach.
            raise Away(f"{type(problem).__name__}: {problem}") from problem


class _NoDoor(Exception):
    """The server does not take past states."""


def _past(state: StateFacts) -> dict[str, object]:
    return {
        "type": state.state.name,
        "name": state.state.value,
        "message": state.message,
        "timestamp": _moment(state.at).isoformat(),
    }


def _present(state: StateFacts) -> dict[str, object]:
    message = state.message
    if datetime.now(UTC).timestamp() - state.at > _LATE_SECONDS:
        when = f"at {_moment(state.at):%Y-%m-%d %H:%M:%S} UTC"
        message = f"{message} ({when})" if message else when
    return {"type": state.state.name, "name": state.state.value, "message": message}


def _event(event: EventFacts) -> dict[str, object]:
    return {
        "id": event.id,
        "event": event.name,
        "occurred": _moment(event.at).isoformat(),
        "resource": dict(event.resource),
        "related": [dict(each) for each in event.related],
        "payload": dict(event.payload),
    }


def _data(artifact: ArtifactFacts) -> Any:
    if artifact.kind is ArtifactKind.TABLE:
        # As Prefect's own create_table_artifact stores it.
        return json.dumps(artifact.data)
    if artifact.kind is ArtifactKind.LINK:
        return f"[{artifact.data}]({artifact.data})"
    return artifact.data


def _moment(at: float) -> DateTime:
    return DateTime.fromtimestamp(at, UTC)
