"""Ends in Prefect's books what has ended in the world: nobody else would ever do it.

A run whose worker is gone and that Prefect still calls running holds its place in the pool for
ever, and so do its children.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from .pool_lives import Life

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

logger = logging.getLogger(__name__)

# A worker that the scheduler has missed for so long, and whose run says nothing, is gone.
LOST_SECONDS = 30.0
# A run that was told to stop and has not ended after this is given up.
STOP_SECONDS = 10.0
# Prefect's worker died between taking a run and starting it.
PENDING_SECONDS = 90.0
OPEN = ("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED")


def why_gone(life: Life, now: float) -> str:
    """Why its run cannot be alive any more, whatever Prefect says; empty while it may be."""
    if life.run is None or life.ended:
        return ""
    if life.stop_asked is not None and now > life.stop_asked + STOP_SECONDS:
        return "it did not end when it was told to"
    if life.missed is not None and now > life.missed + LOST_SECONDS:
        return f"its worker has not been heard of for {LOST_SECONDS:.0f} s"
    patience = max(PENDING_SECONDS, 3 * life.worker_class.boot_seconds)
    if life.state == "PENDING" and now > life.state_since + patience:
        return "its run was taken by a Prefect worker and never started"
    return ""


async def crash(client: PrefectClient, run: UUID, reason: str) -> None:
    """Mark a run Crashed, its children first: nobody else would ever end them."""
    below = runs_that(parent_flow_run_id={"any_": [run]}, state={"type": {"any_": OPEN}})
    for child in await client.read_flow_runs(flow_run_filter=below):
        await crash(client, child.id, reason)
    tasks: Any = TaskRunFilter.model_validate(
        {"flow_run_id": {"any_": [run]}, "state": {"type": {"any_": OPEN}}}
    )
    for task in await client.read_task_runs(task_run_filter=tasks):
        await client.set_task_run_state(task.id, Crashed(message=reason), force=True)
    try:
        await client.set_flow_run_state(run, Crashed(message=reason), force=True)
    except ObjectNotFound:
        logger.info("run %s was deleted", run)


async def open_runs(client: PrefectClient, pool: str) -> int:
    """How many runs of a pool are not over, those of other fleets included."""
    wanted = {
        "work_pools": {"name": {"any_": [pool]}},
        "flow_runs": {"state": {"type": {"any_": OPEN}}},
    }
    answer = await client.request("POST", "/flow_runs/count", json=wanted)
    return int(answer.json())


def runs_that(**given: Any) -> FlowRunFilter:
    return FlowRunFilter.model_validate(given)
