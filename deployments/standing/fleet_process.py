"""The one supervisor of a state directory: whether there is one, and the end of it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import psutil

from ...infra.errors import FleetUnavailable
from ...infra.faults.lease import FaultFiles, settle_all
from ...infra.faults.record import FaultRecorder
from ...infra.fleet.chaos_mark import unmark
from ...infra.fleet.files import (
    FleetFiles,
    FleetRecord,
    Wanted,
    read_record,
    read_wanted,
    write_wanted,
)
from ...infra.process_ref import is_here, sweep
from ...infra.resident_mark import MARK
from ...infra.runners.stray_reaper import reap

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
END_SECONDS = 15.0


def living(files: FleetFiles) -> FleetRecord | None:
    """What is up; a record whose supervisor is dead is nothing."""
    record = read_record(files.record)
    if record is not None and record.supervisor.alive:
        return record
    for process in _supervisors(files):
        # Started by an `up` that was killed before there was a record.
        process.kill()
        psutil.wait_procs([process], timeout=END_SECONDS)
    return None


def wanted_now(files: FleetFiles) -> Wanted:
    """What is wanted of a fleet that is up."""
    wanted = read_wanted(files.wanted)
    if wanted is None:
        raise FleetUnavailable(
            f"{files.wanted}, which says what the fleet that is up is to be, cannot be read",
            remedy="`proctor down` and then `proctor up` write it anew",
        )
    return wanted


def supervisor_lives(files: FleetFiles) -> bool:
    return bool(_supervisors(files))


def end_fleet(files: FleetFiles, *, now: bool, deadline_seconds: float) -> tuple[bool, int]:
    """End it and all it started; whether it was up, and how many processes had to be killed."""
    record = read_record(files.record)
    wanted = read_wanted(files.wanted)
    was_up = record is not None and record.supervisor.alive
    if wanted is not None:
        # Also for a supervisor that is starting and has no record yet.
        drain = min(wanted.drain_seconds, deadline_seconds)
        stop = "now" if now else "drain"
        write_wanted(files.wanted, replace(wanted, stop=stop, drain_seconds=drain))
        _undo_faults(files)
        deadline = time.monotonic() + (0.0 if now else drain) + END_SECONDS
        while supervisor_lives(files) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
    for process in _supervisors(files):
        # Frozen, or stuck in a system call: its children end with it.
        process.kill()
        psutil.wait_procs([process], timeout=END_SECONDS)
    killed = sweep(MARK, str(files.directory)) + reap(files.scratch)
    unmark(files.directory)
    for path in (files.record, files.roster, files.ready):
        path.unlink(missing_ok=True)
    return was_up, killed


def _undo_faults(files: FleetFiles) -> None:
    """Who is frozen cannot end in order, and what presses on the machine must not stay behind."""
    faults = FaultFiles(state=files.state)
    undone, problems = settle_all(faults, "down")
    recorder = FaultRecorder(faults)
    for lease in undone:
        recorder.tell(lease, "undone", how="down")
    recorder.close()
    for problem in problems:
        logger.warning("%s", problem)


def _supervisors(files: FleetFiles) -> list[psutil.Process]:
    """Found by what they were started as: a record may be missing or stale."""
    command = ["-m", "proctor.deployments.standing.supervisor", "--state", str(files.state)]
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line: list[str] = process.info["cmdline"] or []
        is_one = line[1:] == command and process.info["status"] != psutil.STATUS_ZOMBIE
        if is_one and is_here(process.pid):
            found.append(process)
    return found
