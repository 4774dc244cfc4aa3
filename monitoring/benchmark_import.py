"""Takes measured runs in as campaigns, so that they pass through the same journals and store."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from ..infra.ledgers.campaigns import campaigns_directory
from ..infra.ledgers.ledger import Ledger
from ..infra.provenance import Revision
from ..infra.records import Attempt, Case, CaseKind, Outcome
from .benchmark_files import Measured, Measurements

# The writer's clock stands at the time of the measurement: its lease must not expire for that.
_FOREVER = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A run, and whether it was new."""

    name: str
    is_new: bool
    values: int


def take_in(state: Path, run: Measurements, *, project: str) -> Taken:
    """Write the run's journal, once: its name comes from its content."""
    day = time.strftime("%Y%m%d-%H%M%S", time.gmtime(run.at))
    name = f"{day}-{run.name}"
    directory = campaigns_directory(state) / name
    if any(directory.glob("ledger-*.jsonl")):
        return Taken(name=name, is_new=False, values=len(run.values))
    cases: dict[str, list[Measured]] = {}
    for each in run.values:
        cases.setdefault(each.case, []).append(each)
    ledger = Ledger.open(
        directory,
        campaign=name,
        name="measurements",
        project=project,
        command=("import",),
        revision=Revision(commit=run.commit, branch=run.branch),
        environment=run.environment,
        clock=lambda: run.at,
        ttl=_FOREVER,
    )
    with ledger:
        for index, (case, values) in enumerate(cases.items()):
            group = case.partition("::")[0]
            ledger.case(Case(id=case, group=group, index=index, kind=CaseKind.CALLABLE))
            ledger.attempt(
                Attempt(
                    case=case,
                    id=f"{run.name}-{index}",
                    # How long it ran is not known: not an attempt that durations are taken from.
                    outcome=Outcome.XPASSED,
                    started=run.at,
                    finished=run.at,
                    properties=tuple((each.metric, _told(each)) for each in values),
                )
            )
        ledger.write("close", state="completed", exit_code=0)
    return Taken(name=name, is_new=True, values=len(run.values))


def _told(value: Measured) -> str:
    return json.dumps({"value": value.value, "unit": value.unit, "better": value.better})
