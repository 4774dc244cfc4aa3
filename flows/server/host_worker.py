"""The flow `host-worker`: one long run in a work pool hosts one Dask worker, until it is drained.

The worker is a child process, the same that the local provider starts. What the provider has to
say to it comes as a tag of the run: that reaches every kind of infrastructure, and outlives the
Prefect worker that started it. While the server is away the run goes on as it is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import get_run_context
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed, Failed

from ...infra.fleet.self_test import REFUSED
from ...infra.host_process import how_it_ended

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

logger = logging.getLogger(__name__)

DRAIN_TAG = "proctor:drain"
STOP_TAG = "proctor:stop"
# Begins the message of a run whose worker kept itself out.
REFUSAL = "refused: "
# A server that is away, or something else in its place: RuntimeError is Prefect's own word for an
# API that it fails to reach, and ValueError is what comes of an answer such as a proxy's page.
AWAY = (httpx.HTTPError, PrefectHTTPStatusError, OSError, RuntimeError, ValueError)
# Left to itself, Prefect's client sleeps for 2, 4, 8, 16 and 32 s between its tries, whether or not
# the server is there again. Who asks again anyway tries twice, for a database that was locked.
IMPATIENT: dict[Any, Any] = {PREFECT_CLIENT_MAX_RETRIES: 1}
ASK_SECONDS = 1.0
LOOK_SECONDS = 0.1
# A worker that has been asked to leave closes within this after its own deadline.
CLOSE_SECONDS = 15.0


class Orders(Protocol):
    """What the provider wants of a run."""

    async def tags(self) -> frozenset[str]: ...


class _RunOrders:
    """The tags of this very flow run."""

    def __init__(self, client: PrefectClient) -> None:
        context: Any = get_run_context()
        self._id = context.flow_run.id
        # One for the whole run: to make one takes 25 ms of CPU, and they are needed every second.
        self._client = client

    async def tags(self) -> frozenset[str]:
        try:
            run = await self._client.read_flow_run(self._id)
        except AWAY as problem:
            logger.warning("no orders: %s", problem)
            return frozenset()
        except ObjectNotFound:
            # Somebody deleted the run: nobody counts on its worker any more.
            return frozenset({STOP_TAG})
        if run.state is not None and run.state.is_final():
            # Given up as lost, while it was only cut off; another bears the worker's name now.
            return frozenset({STOP_TAG})
        return frozenset(run.tags)


@flow(name="host-worker", retries=0, persist_result=False)
async def host_worker(
    scheduler: str,
    facts: dict[str, Any],
    drain_seconds: float = 60.0,
    scratch: str = "",
    launched: float = 0.0,
) -> State[Any]:
    """Host one Dask worker until it is drained.

    Args:
        scheduler: The address of the Dask scheduler.
        facts: What the worker offers.
        drain_seconds: How long a worker that leaves may finish what it runs.
        scratch: A directory for its files; a temporary one by default.
        launched: When it was asked for, by the clock of who asked.

    """
    with tempfile.TemporaryDirectory(prefix="proctor-worker-") as own:
        home = Path(own)
        starting = command(
            scheduler,
            facts,
            drain_seconds=drain_seconds,
            scratch=Path(scratch) if scratch else home / "scratch",
            refusal=home / "refusal",
            launched=launched,
        )
        with temporary_settings(IMPATIENT):
            async with get_client() as client:
                return await host(
                    starting,
                    _RunOrders(client),
                    drain_seconds=drain_seconds,
                    refusal=home / "refusal",
                )


def command(
    scheduler: str,
    facts: dict[str, Any],
    *,
    drain_seconds: float,
    scratch: Path,
    refusal: Path,
    launched: float,
) -> list[str]:
    """Start the worker with this."""
    return [
        *(sys.executable, "-m", "proctor.infra.fleet.worker_host", "--self-test"),
        *("--scheduler", scheduler, "--facts", json.dumps(facts)),
        *("--scratch", str(scratch), "--refusal", str(refusal)),
        *("--drain", f"{drain_seconds:g}", "--launched", f"{launched:.3f}"),
        *("--parent", str(os.getpid())),
    ]


async def host(
    starting: list[str], orders: Orders, *, drain_seconds: float, refusal: Path
) -> State[Any]:
    """Run the worker until it ends or is told to; how that went, as the run's last state."""
    # By the main thread, which lives as long as the process: the child ends with it.
    process = subprocess.Popen(starting, stdin=subprocess.DEVNULL)  # noqa: ASYNC220 - soon done
    told: frozenset[str] = frozenset()
    asking: asyncio.Task[frozenset[str]] | None = None
    due, drain_ends = 0.0, float("inf")
    try:
        while process.poll() is None:
            now = time.monotonic()
            if asking is None and now >= due:
                asking, due = asyncio.create_task(orders.tags()), now + ASK_SECONDS
            if asking is not None and asking.done():
                told, asking = told | asking.result(), None
            if STOP_TAG in told or now > drain_ends:
                process.kill()
            elif DRAIN_TAG in told and drain_ends == float("inf"):
                process.terminate()
                drain_ends = now + drain_seconds + CLOSE_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        if asking is not None:
            asking.cancel()
        if process.poll() is None:
            # The run is cancelled, or the engine ends.
            process.kill()
            process.wait()
    return _last_state(process.returncode, told, refusal)


def _last_state(code: int, told: frozenset[str], refusal: Path) -> State[Any]:
    if code == REFUSED:
        try:
            reason = refusal.read_text(encoding="utf-8")
        except FileNotFoundError:
            # A full disk, perhaps.
            reason = "its self-test failed"
        return Failed(message=f"{REFUSAL}{reason}")
    if STOP_TAG in told:
        return Completed(message="it was stopped")
    if DRAIN_TAG in told:
        return Completed(message="it was drained")
    return Failed(message=how_it_ended(code))
