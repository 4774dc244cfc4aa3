"""What the synchronisation of the run history asks of a Prefect server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ...monitoring.run_history import FlowRunFacts, RunStateFacts, TaskRunFacts

PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which flow runs to ask for; all of them, if nothing is said."""

    ended_since: float | None = None
    unended: bool = False
    ids: tuple[str, ...] = ()


class RunHistory(Protocol):
    """What we ask of a Prefect server; pages of at most PAGE, empty after the last."""

    async def count_flow_runs(self) -> int: ...

    async def flow_runs(self, which: Which, *, offset: int) -> Sequence[FlowRunFacts]: ...

    async def task_runs(
        self, flow_runs: Sequence[str], *, offset: int
    ) -> Sequence[tuple[TaskRunFacts, RunStateFacts | None]]: ...

    async def states(self, flow_run: str) -> Sequence[RunStateFacts]: ...
