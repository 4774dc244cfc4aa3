"""Waiting until the resident fleet is as somebody wants it, and saying what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...flows.server.prefect_server import ResidentServer
from ...infra.errors import FleetUnavailable
from ...infra.fleet.files import FleetFiles, FleetRecord, Wanted, read_record
from ...infra.fleet.providers import Phase
from ...infra.fleet.roster import read_roster
from .fleet_process import LOOK_SECONDS, supervisor_lives

# Whoever waits so long is told for what.
PATIENCE_SECONDS = 5.0


def await_fleet(
    files: FleetFiles, wanted: Wanted, deadline: float, say: Callable[[str], None]
) -> FleetRecord:
    """Return once the fleet is as wanted; say what is missing at the deadline."""
    said: set[str] = set()
    began = time.monotonic()
    while True:
        record = read_record(files.record)
        missing = _missing(files, record, wanted)
        if record is not None and not missing:
            return record
        if time.monotonic() > began + PATIENCE_SECONDS and missing[0] not in said:
            said.add(missing[0])
            say(f"waiting: {missing[0]}")
        if record is None and not supervisor_lives(files) and time.monotonic() > began + 10:
            raise FleetUnavailable(
                "the supervisor ended while it started",
                remedy=f"see {files.logs / 'supervisor.log'}",
            )
        if record is not None and record.scheduler is None and record.scheduler_restarts > 2:
            raise FleetUnavailable(
                f"the scheduler does not stay up on port {record.port}",
                remedy=f"see {files.logs / 'scheduler.log'}",
            )
        if record is not None and _is_hopeless(record, missing):
            raise FleetUnavailable(
                f"the fleet cannot become what was asked for: {_refusals(record)[0]}",
                remedy=f"see {files.logs}",
            )
        for problem in (*(record.problems if record else ()), *_refusals(record)):
            if problem not in said:
                said.add(problem)
                say(problem)
        if time.monotonic() > deadline:
            reasons = [*_refusals(record), *missing]
            raise FleetUnavailable(
                f"the fleet is not up in time: {reasons[0]}", remedy=f"see {files.logs}"
            )
        time.sleep(LOOK_SECONDS)


def _missing(files: FleetFiles, record: FleetRecord | None, wanted: Wanted) -> list[str]:
    if record is None or not record.supervisor.alive:
        return ["its supervisor does not answer"]
    if record.scheduler is None:
        return [record.problems[0] if record.problems else "its scheduler does not answer"]
    if record.auto != wanted.auto:
        return ["its supervisor has not read what is wanted"]
    if wanted.auto:
        # Workers come with the demand.
        return _prefect_missing(files, record)
    if dict(record.counts) != dict(wanted.counts):
        return ["its supervisor has not read what is wanted"]
    roster = read_roster(files.roster)
    missing: list[str] = []
    for name, count in wanted.counts.items():
        mine = [each for each in record.instances if each.worker_class == name]
        running = [
            each for each in mine if each.phase is Phase.RUNNING and each.name in roster.workers
        ]
        there = [each for each in mine if each.phase.is_there]
        if len(running) < count:
            stalled = {each.reason for each in mine if each.phase is Phase.STARTING} - {""}
            why = "".join(f" ({each})" for each in sorted(stalled))
            missing.append(f"{len(running)} of {count} workers of class {name} have joined{why}")
        elif len(there) > count:
            missing.append(f"{len(there) - count} workers of class {name} still finish their work")
    return [*missing, *_prefect_missing(files, record)]


def _prefect_missing(files: FleetFiles, record: FleetRecord) -> list[str]:
    if record.prefect_problem and not ResidentServer(files.state).status().answering:
        return [f"the Prefect server does not answer ({record.prefect_problem})"]
    return []


def _refusals(record: FleetRecord | None) -> list[str]:
    if record is None:
        return []
    refused = [
        f"worker {each.name} stays out: {each.reason}"
        for each in record.instances
        if each.phase is Phase.REFUSED
    ]
    return [*record.launch_problems, *refused]


def _is_hopeless(record: FleetRecord, missing: list[str]) -> bool:
    """Whether all that is missing is workers that will not come."""
    refused = [each for each in record.instances if each.phase is Phase.REFUSED]
    waited = [each for each in record.instances if each.phase is Phase.STARTING]
    workers_only = all("have joined" in each for each in missing)
    # A campaign that cannot be resumed, say, is another matter.
    impossible = record.scheduler is not None and bool(record.launch_problems)
    return bool(refused or impossible) and not waited and workers_only
