"""Campaigns of which only matters how long their cases took, written through the real ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proctor.infra.ledgers.campaigns import campaigns_directory
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.provenance import Revision
from proctor.infra.records import Attempt, Case, Outcome, Usage, WorkerFacts

# A writer's lease must not expire under a clock that stands in the past.
FOREVER = 1e12


def write_timed(
    state: Path,
    campaign: str,
    seconds: Mapping[str, float],
    *,
    began: float,
    commit: str,
    host: str = "h",
    **opened: Any,
) -> None:
    """One after the other these cases pass, each in so many seconds, on one worker of class cpu."""
    now = [began]
    facts = WorkerFacts(
        name="w", incarnation="i", worker_class="cpu", slots=1, cpu=1, memory_bytes=1 << 28,
        host=host,
    )  # fmt: skip
    with Ledger.open(
        campaigns_directory(state) / campaign, campaign=campaign, environment={}, ttl=FOREVER,
        revision=Revision(commit=commit, branch="main"), clock=lambda: now[0], **opened,
    ) as ledger:  # fmt: skip
        for index, case in enumerate(seconds):
            ledger.case(Case(id=case, group=case.partition("::")[0], index=index))
        ledger.worker(facts, event="joined")
        for case, took in seconds.items():
            started, now[0] = now[0], now[0] + took
            ledger.attempt(
                Attempt(
                    case=case, id=f"{campaign}-{case}", outcome=Outcome.PASSED, started=started,
                    finished=now[0], usage=Usage(wall_seconds=took), worker="w", incarnation="i",
                )
            )  # fmt: skip
        ledger.write("close", state="completed", exit_code=0, counts={}, makespan=0.0, slots=1)
