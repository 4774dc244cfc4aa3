"""Performs an experiment for whoever asks, the command or a flow: run, journal, timeline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import __version__
from ..infra.errors import ProctorError
from ..infra.faults.experiment import Experiment
from ..infra.faults.journal import ExperimentJournal
from ..infra.faults.lease import FaultFiles
from ..infra.faults.run import ExperimentRun
from ..infra.faults.targets import Targets
from ..infra.faults.verdict import RECORD, Finding, Limits, Validity
from ..infra.ledgers.append_file import unwritable
from ..infra.ledgers.campaigns import campaigns_directory
from ..infra.process_ref import ProcessRef
from ..monitoring.ingest import RECORDERS
from ..monitoring.invariants import examine_campaign
from ..monitoring.reports.fault_timeline import render_timeline
from .server.prefect_server import ResidentServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """An experiment that was run, and where its records are."""

    journal: ExperimentJournal
    directory: Path

    @property
    def journal_path(self) -> Path:
        return self.directory / "journal.json"

    @property
    def timeline_path(self) -> Path:
        return self.directory / "timeline.html"


def experiment_run(
    experiment: Experiment, *, state: Path, say: Callable[[str], None] = lambda text: None
) -> ExperimentRun:
    """One run, not begun: `check` it, or `run` it."""
    server = ResidentServer(state)

    def prefect() -> ProcessRef | None:
        status = server.status()
        if not status.alive or status.record is None:
            return None
        return ProcessRef(pid=status.record.pid, created=status.record.created)

    return ExperimentRun(
        experiment,
        state=state,
        targets=Targets(state, prefect=prefect),
        prefect=lambda: server.status().answering,
        say=say,
    )


def perform(
    experiment: Experiment,
    *,
    state: Path,
    seed: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Performed:
    """Run an experiment and keep its journal and timeline; raises what refuses it."""
    if seed is not None:
        experiment = replace(experiment, seed=seed)
    run = experiment_run(experiment, state=state, say=say)
    run.check()
    directory = _directory(state)
    performed = Performed(journal=run.run(), directory=directory)
    if RECORD in experiment.invariants:
        journal = performed.journal
        found = record_findings(state, journal.campaigns, limits=experiment.limits)
        journal.findings = (*journal.findings, *found)
    try:
        directory.mkdir(parents=True)
        document = performed.journal.document(__version__)
        text = json.dumps(document, indent=2, default=str)
        performed.journal_path.write_text(text, encoding="utf-8")
        performed.timeline_path.write_text(
            render_timeline(state, performed.journal), encoding="utf-8"
        )
    except OSError as problem:
        raise unwritable(directory, problem) from problem
    return performed


def record_findings(
    state: Path, campaigns: Sequence[str], *, limits: Limits | None = None
) -> tuple[Finding, ...]:
    """What `proctor check` says of each campaign that ran meanwhile, by invariant."""
    if not campaigns:
        reasons = ("no campaign ran meanwhile",)
        return (Finding(invariant=RECORD, validity=Validity.UNKNOWN, reasons=reasons),)
    found: list[Finding] = []
    for campaign in campaigns:
        try:
            examination = examine_campaign(
                campaigns_directory(state) / campaign, recorders=state / RECORDERS, limits=limits
            )
        except ProctorError as problem:
            reasons = (str(problem),)
            found.append(Finding(invariant=RECORD, validity=Validity.UNKNOWN, reasons=reasons))
        else:
            found += [held.finding() for held in examination.held]
    return tuple(found)


def _directory(state: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    runs = FaultFiles(state=state).directory / "experiments"
    names = (f"{stamp}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(runs / name for name in names if not (runs / name).exists())
