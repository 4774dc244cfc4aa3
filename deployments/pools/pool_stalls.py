"""Says why a run that a work pool has is not taken: people pause pools, and Prefect workers end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.client.schemas.objects import WorkPoolStatus

from ...infra.worker_classes import WorkerClass
from .pool_lives import Life
from .pools import needs_our_worker, pool_type

if TYPE_CHECKING:
    from prefect.client.schemas.objects import WorkPool

# A Prefect worker asks about once a second; a run that waits longer waits for something else.
STALL_SECONDS = 5.0


def is_stalled(life: Life, now: float) -> bool:
    """Whether its run is there and nobody has taken it."""
    waits = life.run is not None and not life.ended and life.state == "SCHEDULED"
    return waits and now > life.state_since + STALL_SECONDS


def why_not_taken(pool: WorkPool, worker_class: WorkerClass) -> str:
    """What its runs wait for, with the way out; empty where the pool tells of nothing."""
    if pool.is_paused:
        return (
            f"the work pool {pool.name} is paused: `prefect work-pool resume {pool.name}` lets its"
            " workers come"
        )
    if pool.status is not WorkPoolStatus.NOT_READY:
        return ""
    if needs_our_worker(worker_class):
        return f"the Prefect worker of the work pool {pool.name} has not begun to ask for runs"
    return (
        f"no Prefect worker asks for runs of the work pool {pool.name}: `prefect worker start"
        f" --pool {pool.name} --type {pool_type(worker_class)}` where its workers belong"
    )
