"""The process of the resident Prefect server: Prefect's own application, two doors and a hint more.

Prefect stamps every state of a flow run with the moment the request arrives. A campaign is told
late on purpose (tests never wait for Prefect), so a server of ours lets the mirror hand in runs
and states with the time at which things happened. Servers of others lack these doors; there the
flow run carries the server's times, and its phases, logs and summary the true ones.

Where two write at once, one is told that the database is locked. Prefect's clients would sleep for
2, 4, 8, 16 and 32 s between their tries: a busy server was seen to start a worker after 54 s.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import UUID

from pydantic import BaseModel, Field

from .detached import share_niceness

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Under Prefect's own /api, so that its authentication covers them.
RUNS_PATH = "/proctor/flow-runs"
# How often it looks whether its directory is still there.
LOOK_SECONDS = 10.0
STATES_PATH = "/proctor/flow-runs/{flow_run_id}/states"


# For whom the database was locked: by then the other has written.
AGAIN_SECONDS = 0.5


class SoonAgain:
    """Tells clients when to come again, where Prefect's answer is that the database was locked.

    SQLite refuses at once to let anybody write who has read what another has changed since.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                hint = (b"retry-after", f"{AGAIN_SECONDS:g}".encode())
                message["headers"] = [*message.get("headers", ()), hint]
            await send(message)

        await self._app(scope, receive, told)


class PastState(BaseModel):
    """A state that a flow run entered some time ago."""

    type: str
    name: str
    message: str = ""
    timestamp: datetime


class PastStates(BaseModel):
    """States in the order in which they were entered."""

    states: list[PastState] = Field(min_length=1, max_length=50)


class PastRun(BaseModel):
    """A flow run that began some time ago."""

    flow_id: UUID
    name: str
    # The same key gives the same run: a mirror that died half-way does not make two.
    idempotency_key: str
    parameters: dict[str, Any] = Field(default_factory=dict[str, Any])
    tags: list[str] = Field(default_factory=list[str])
    state: PastState


async def record_run(body: PastRun) -> dict[str, str]:
    """Create a flow run whose first state has its own time, or find the one with its key."""
    from prefect.server import models, schemas
    from prefect.server.database import provide_database_interface

    run = schemas.core.FlowRun(
        flow_id=body.flow_id,
        name=body.name,
        idempotency_key=body.idempotency_key,
        parameters=body.parameters,
        tags=body.tags,
        state=_state(body.state),
    )
    async with provide_database_interface().session_context(begin_transaction=True) as session:
        model = await models.flow_runs.create_flow_run(session=session, flow_run=run)
        return {"id": str(model.id)}


async def record_states(flow_run_id: UUID, body: PastStates) -> dict[str, int]:
    """Write states with their own times, through the orchestration that Prefect itself uses."""
    from prefect.server import models
    from prefect.server.database import provide_database_interface

    async with provide_database_interface().session_context(
        begin_transaction=True, with_for_update=True
    ) as session:
        for past in body.states:
            await models.flow_runs.set_flow_run_state(
                session=session, flow_run_id=flow_run_id, state=_state(past), force=True
            )
    return {"recorded": len(body.states)}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m proctor.flows.server.prefect_host")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(argv)
    # A mirror that starts the server is as nice as can be, and so is the server then.
    share_niceness()
    # Here, because this takes seconds, and a wrong option should not.
    import uvicorn
    from prefect.server.api.server import create_app

    app = cast("Any", create_app(final=True))
    for path, act in ((RUNS_PATH, record_run), (STATES_PATH, record_states)):
        app.api_app.add_api_route(path, act, methods=["POST"], status_code=201)
    server = uvicorn.Server(
        uvicorn.Config(SoonAgain(app), host=options.host, port=options.port, log_level="warning")
    )
    home = os.environ.get("PREFECT_HOME")
    if home:
        leaver = threading.Thread(target=leave_without, args=(Path(home), server), daemon=True)
        leaver.start()
    server.run()
    return 0


class Leaver(Protocol):
    """What can be told to end."""

    should_exit: bool


def leave_without(home: Path, server: Leaver, *, look_seconds: float = LOOK_SECONDS) -> None:
    """Tell the server to end once its directory is gone.

    Nobody who removes a state directory thinks of the server that keeps its history there: it
    would hold a port and 250 MB until the machine restarts.
    """
    while home.is_dir():
        time.sleep(look_seconds)
    server.should_exit = True


def _state(past: PastState) -> Any:
    from prefect.server.schemas.states import State, StateType

    return State(
        type=StateType(past.type),
        name=past.name,
        message=past.message,
        timestamp=cast("Any", past.timestamp),
    )


if __name__ == "__main__":
    raise SystemExit(main())
