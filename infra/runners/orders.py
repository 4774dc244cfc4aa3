"""What a campaign sends to a worker's slot; complete in itself, a worker remembers nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..dispatching.batches import Batch
from .spec import Order, RunnerSpec, Work

# Every slot of a worker has a unit of this resource: addressing a worker by a tag of its own
# survives its restart, where `workers=[name]` resolves once and then hangs.
WORKER_RESOURCE = "worker:"
# The Dask event topic on which workers speak to everybody: that they drain.
FLEET_TOPIC = "proctor:fleet"
# The key under which workers put what they say of themselves into their heartbeats.
STANDING = "proctor"
# Names of orders that come before their campaign begin so.
EARLY = "early-"


class Act(StrEnum):
    """What a slot is asked to do."""

    # Start the session, so that the first batch finds it warm.
    WARM = "warm"
    # Find everything the arguments name.
    COLLECT = "collect"
    # Run the cases of a batch.
    RUN = "run"
    # Tear the session down; a wide fixture may still fail there.
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotOrder:
    """One thing to do for one slot."""

    campaign: str
    epoch: int
    # Names the order; for batches it is the batch's id.
    name: str
    slot: int
    act: Act
    runner: RunnerSpec
    order: Order | None = None

    @property
    def key(self) -> str:
        """What Dask calls it; the same batch of another epoch is another execution."""
        return f"{self.campaign}/{self.epoch}/{self.name}"

    @property
    def topic(self) -> str:
        return topic_of(self.campaign)

    @property
    def is_early(self) -> bool:
        """Whether its campaign is still on its way here."""
        return self.name.startswith(EARLY)


def topic_of(campaign: str) -> str:
    """The Dask event topic a campaign's workers report on."""
    return f"proctor:{campaign}"


def session_name(number: int) -> str:
    """What pytest-xdist would call a campaign's session of that number."""
    return f"gw{number}"


def order_of(batch: Batch, *, timeout_seconds: float, memory_limit_bytes: int) -> Order:
    """The runner's order for a batch; a case's own limits come before the campaign's."""
    return Order(
        batch=batch.id,
        work=tuple(
            Work(
                id=case.id,
                group=case.group,
                timeout_seconds=case.timeout_seconds or timeout_seconds,
                memory_limit_bytes=case.needs.memory_bytes or memory_limit_bytes,
                kind=case.kind,
                task=case.task,
            )
            for case in batch.cases
        ),
        budget_seconds=batch.budget_seconds,
        finishes=batch.finishes,
        ahead=batch.files.ahead,
        beside=batch.files.beside,
    )
