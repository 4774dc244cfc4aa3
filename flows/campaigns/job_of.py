"""What the engine is to do for a campaign that was prepared."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from ...infra.dispatching.batches import LoadAll, Rules
from ...infra.engine.job import Job
from ...infra.engine.shipment import Shipment
from ...infra.pytest_options import wants_whole_files
from ...infra.requirements import matches
from ...infra.runners.spec import ProjectFiles
from ...infra.state_flag import state_flag
from ...infra.timings import Timings
from ...infra.wanted_workers import Mend
from .fleet_choice import is_taken_down, worker_is_coming
from .preparation import Prepared
from .runner_of import math_threads_of, runner_of


def job_of(prepared: Prepared, timings: Timings, *, failed: frozenset[str]) -> Job:
    """The job, from now on: its deadline begins; `failed` are the cases that failed last time."""
    request, settings = prepared.request, prepared.settings
    runner = runner_of(prepared)
    return Job(
        campaign=prepared.campaign_id,
        directory=prepared.directory,
        project=prepared.project,
        runner=runner,
        rules=rules_of(prepared),
        timings=timings,
        timeout_seconds=settings.timeout,
        memory_limit_bytes=settings.memory_limit,
        deadline_at=prepared.deadline_at(time.monotonic()),
        math_threads=math_threads_of(settings),
        expected=prepared.fleet.workers,
        mend=_mend(prepared),
        flags=state_flag(prepared.typed_state),
        first=_first(prepared, failed),
        warm=not request.tasks,
        # Until a session says so itself; one that starts from an inventory is not asked.
        hello={"continue_on_collection_errors": _goes_on_after_errors(prepared)},
        is_coming=partial(worker_is_coming, prepared.state, prepared.fleet),
        is_down=partial(is_taken_down, prepared.state, prepared.fleet),
        shipment=_shipment(prepared, runner.files),
        is_muted=lambda case: any(matches(pattern, case) for pattern in settings.mute),
    )


def rules_of(prepared: Prepared) -> Rules:
    """What the campaign allows its cases."""
    settings = prepared.settings
    return Rules(
        retries=settings.retries,
        infra_retries=settings.infra_retries,
        maxfail=settings.maxfail,
        hedge=settings.hedge,
        split_files=splits_files(prepared),
        load_all=LoadAll.NEVER if prepared.request.tasks else LoadAll(settings.load_all),
    )


def splits_files(prepared: Prepared) -> bool:
    """Unless somebody has asked for whole ones, here or where pytest-xdist reads it."""
    if prepared.request.tasks:
        # A task list is one file, and none of its tasks leans on another.
        return True
    asked = (*prepared.addopts, *prepared.request.pytest_args)
    return prepared.settings.split_files and not wants_whole_files(asked)


def _mend(prepared: Prepared) -> Mend:
    """How the fleet gets other workers."""
    if not prepared.fleet.address:
        return Mend.OWN
    return Mend.KEPT if prepared.fleet.is_kept else Mend.NAMED


def _goes_on_after_errors(prepared: Prepared) -> bool:
    asked = (*prepared.addopts, *prepared.request.pytest_args)
    return "--continue-on-collection-errors" in asked


def _shipment(prepared: Prepared, files: ProjectFiles | None) -> Shipment | None:
    if files is None:
        return None
    # Keys of the fleet, and records that change with every campaign, stay here.
    own = (prepared.state, prepared.settings.certificates)
    return Shipment(Path(files.root), also=prepared.settings.ship_also, without=own)


def _first(prepared: Prepared, failed: frozenset[str]) -> frozenset[str]:
    urgent = frozenset[str]() if prepared.tasks is None else prepared.tasks.first
    return urgent | failed if prepared.request.failed_first else urgent
