"""The flow that injects faults into a fleet that is there to be broken, and judges what became.

    from proctor import inject_faults

    await inject_faults("experiments/frozen_worker.yaml")

Everything but its form in Prefect is `flows.experiment`: the command runs the same without it.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.states import Completed, Failed
from pydantic import BaseModel

from ..infra.errors import ProctorError, UsageProblem
from ..infra.faults.experiment import parse_experiment, read_experiment
from ..infra.faults.verdict import Validity
from ..infra.settings import load_settings
from .experiment import Performed, perform
from .server.called_flow import CalledFlow

FLOW_NAME = "inject-faults"


class InjectionResult(BaseModel):
    """What an experiment showed."""

    title: str
    validity: str
    status: str
    seed: int
    faults: int
    campaigns: list[str]
    reasons: list[str]
    journal: str
    timeline: str


class ExperimentFailed(ProctorError):
    """The experiment was run, and its campaigns did not hold: what a caller of the flow catches."""

    def __init__(self, message: str, result: InjectionResult) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[type[ExperimentFailed], tuple[str, InjectionResult]]:
        # Prefect passes exceptions between processes.
        return ExperimentFailed, (self.message, self.result)


@partial(CalledFlow, name=FLOW_NAME, persist_result=False)
async def inject_faults(
    experiment: str = "",
    *,
    document: dict[str, Any] = {},  # noqa: B006 - shown in the form.
    seed: int | None = None,
    state: str = "",
) -> State[InjectionResult]:
    """Run a fault-injection experiment on a live fleet and judge what became of its campaigns.

    Args:
        experiment: A file (JSON, YAML or TOML; ours or Chaos Toolkit's), by an absolute path.
        document: The experiment itself, instead of a file.
        seed: Chooses among targets where several fit, instead of the experiment's own.
        state: The state directory of the fleet; the usual one if left empty.

    """
    try:
        performed = await asyncio.to_thread(_perform, experiment, document, seed, state)
    except ProctorError as problem:
        get_run_logger().error("%s", problem)
        return Failed(message=str(problem), data=problem)
    await acreate_markdown_artifact(
        markdown=markdown_of(performed), key="experiment", description=performed.journal.status
    )
    result = result_of(performed)
    message = f"{result.title}: {result.validity}"
    if performed.journal.validity is Validity.VALID:
        return Completed(message=message, data=result)
    message = f"{message}; {'; '.join(result.reasons[:3])}"
    return Failed(message=message, data=ExperimentFailed(message, result))


def _perform(experiment: str, document: dict[str, Any], seed: int | None, state: str) -> Performed:
    where = load_settings(Path.cwd(), os.environ, {"state": state or None}).state
    if document:
        told = parse_experiment(document, source="the document", directory=Path.cwd())
    elif not experiment:
        raise UsageProblem(
            "no experiment was given", remedy="name its file by an absolute path, or write it down"
        )
    else:
        told = read_experiment(Path(experiment))
    return perform(told, state=where, seed=seed)


def result_of(performed: Performed) -> InjectionResult:
    """The plain values of a run."""
    journal = performed.journal
    return InjectionResult(
        title=journal.experiment.title,
        validity=str(journal.validity),
        status=journal.status,
        seed=journal.experiment.seed,
        faults=len(journal.faults),
        campaigns=list(journal.campaigns),
        reasons=[
            *journal.obstacles,
            # Several invariants may be unknown for one reason.
            *dict.fromkeys(reason for finding in journal.findings for reason in finding.reasons),
        ],
        journal=str(performed.journal_path),
        timeline=str(performed.timeline_path),
    )


def markdown_of(performed: Performed) -> str:
    """Faults and findings as tables."""
    journal = performed.journal
    lines = [
        f"# {journal.experiment.title}: {journal.validity}",
        "",
        "| fault | target | from | for | after commits |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {each['fault']} | {_cell(each['target'])} "
            f"| +{each['begins'] - journal.began:.1f} s "
            f"| {each['until'] - each['begins']:.1f} s | {each['commits']} |"
            for each in journal.faults
        ),
        "",
        "| invariant | verdict | reasons |",
        "| --- | --- | --- |",
        *(
            f"| {each.invariant} | {each.validity} | {_cell('; '.join(each.reasons[:5]))} |"
            for each in journal.findings
        ),
        "",
        f"The timeline is {performed.timeline_path}.",
    ]
    return "\n".join(lines)


def _cell(text: object) -> str:
    """A cell is one line, and a bar would end it."""
    return " ".join(str(text).split()).replace("|", "\\|")
