"""What travels between a campaign and a worker's slot, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from .batches import Batch
from .records import CaseKind, TaskSpec
from .runner import Order, RunnerSpec, Work

# Every slot of a worker has a unit of this resource: addressing a worker by a tag of its own
# survives its restart, where `workers=[name]` resolves once and then hangs.
WORKER_RESOURCE = "worker:"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotOrder:
    """One batch for one slot, complete in itself: a worker needs to remember nothing."""

    campaign: str
    epoch: int
    batch: str
    slot: int
    runner: Mapping[str, object]
    # What to do: run cases, collect the suite, or finish (tear the slot's session down).
    act: str = "run"
    cases: tuple[Mapping[str, object], ...] = ()
    budget_seconds: float | None = None
    finishes: tuple[str, ...] = ()

    @property
    def topic(self) -> str:
        return topic_of(self.campaign)


def topic_of(campaign: str) -> str:
    """The Dask event topic a campaign's workers report on."""
    return f"proctor:{campaign}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """What a campaign tells every runner, whatever slot it is on."""

    python: str
    arguments: tuple[str, ...]
    directory: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    isolate: bool = False
    worker_count: int = 1
    run_id: str = ""
    output_limit_bytes: int = 256 * 1024
    hang_timeout_seconds: float = 300.0


def runner_spec(settings: Mapping[str, object], *, slot: int) -> RunnerSpec:
    """A slot's own runner: the campaign's settings and its worker id."""
    values = dict(settings)
    values["arguments"] = tuple(values["arguments"])  # type: ignore[arg-type]
    return RunnerSpec(worker_id=f"gw{slot}", **values)  # type: ignore[arg-type]


def order_of(
    batch: Batch,
    *,
    campaign: str,
    epoch: int,
    runner: RunnerSettings,
    timeout_seconds: float,
    memory_limit_bytes: int | None,
) -> SlotOrder:
    """The order for a batch; a case's own limits come before the campaign's."""
    return SlotOrder(
        campaign=campaign,
        epoch=epoch,
        batch=batch.id,
        slot=batch.slot.number,
        runner=asdict(runner),
        cases=tuple(
            {
                "id": case.id,
                "group": case.group,
                "timeout_seconds": case.timeout_seconds or timeout_seconds,
                "memory_limit_bytes": case.needs.memory_bytes or memory_limit_bytes,
                "kind": case.kind.value,
                "task": None if case.task is None else asdict(case.task),
            }
            for case in batch.cases
        ),
        budget_seconds=batch.budget_seconds,
        finishes=batch.finishes,
    )


def work_of(order: SlotOrder) -> Order:
    """The order as the runner takes it."""
    return Order(
        batch=order.batch,
        work=tuple(_work(case) for case in order.cases),
        budget_seconds=order.budget_seconds,
        finishes=order.finishes,
    )


def _work(case: Mapping[str, object]) -> Work:
    values = dict(case)
    values["kind"] = CaseKind(values["kind"])
    task = values["task"]
    if task is not None:
        values["task"] = TaskSpec(**task)  # type: ignore[arg-type]
    return Work(**values)  # type: ignore[arg-type]
