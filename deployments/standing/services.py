"""What `proctor up`, `scale` and `down` do: say what is wanted, and wait until it is so.

They start and end one supervisor per state directory; all else is the supervisor's.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...flows.mirroring.mirrors_left import end_mirrors
from ...flows.remembering.remembers_left import await_remembers
from ...flows.server.detached import spawn_detached
from ...flows.server.prefect_server import ResidentServer
from ...infra.errors import FleetUnavailable
from ...infra.faults.lease import FaultFiles, held
from ...infra.faults.reaper import ensure_reaper
from ...infra.fleet.chaos_mark import mark, unmark
from ...infra.fleet.files import (
    FleetFiles,
    FleetRecord,
    Wanted,
    read_wanted,
    with_counts,
    write_wanted,
)
from ...infra.fleet.mixed_provider import LOCAL
from ...infra.fleet.reach import Reach
from ...infra.worker_classes import check_count, choose_class, shared
from .fleet_checks import check_same
from .fleet_process import END_SECONDS, end_fleet, living, wanted_now
from .fleet_waiting import await_fleet
from .fleet_wish import (
    UpRequest,
    check_places,
    check_tuning,
    counts_text,
    joined,
    provided,
    say_open_ended,
    small,
    steered,
    tuned,
)
from .free_ports import choose_port
from .turns import turn

__all__ = ["Downed", "UpRequest", "Upped", "down", "scale", "up"]

# For what Prefect has yet to be told of campaigns that are over.
MIRROR_SECONDS = 10.0
# For what is yet to be taken into the store of them.
REMEMBER_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upped:
    """What `up` came to."""

    record: FleetRecord
    started: bool
    # Numbers of workers that changed, by class: before and after.
    changed: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Downed:
    """What `down` came to."""

    was_up: bool
    prefect_stopped: bool
    # Processes that had to be killed.
    killed: int
    # Campaigns of which Prefect was not told all.
    untold: tuple[str, ...] = ()


def up(request: UpRequest, *, say: Callable[[str], None]) -> Upped:
    """Start what is not up, adjust what is, and return once all of it answers."""
    files = FleetFiles(state=request.state)
    deadline = time.monotonic() + request.deadline_seconds
    for name, count in request.counts.items():
        check_count(choose_class(request.classes, name), count)
    with turn(files.turn, seconds=request.deadline_seconds):
        record = living(files)
        if record is None:
            unmark(files.directory)
            return _start(files, request, deadline, say)
        wanted = wanted_now(files)
        if wanted.stop:
            raise FleetUnavailable(
                "the fleet is being taken down", remedy="wait for `proctor down` to end"
            )
        check_same(
            wanted,
            port=request.port,
            reach=request.reach,
            provider=request.provider,
            classes=request.classes,
            counts=request.counts,
        )
        if wanted.prefect == "resident":
            # Somebody may have stopped it since; the supervisor leaves that to people.
            ResidentServer(request.state).ensure(seconds=request.deadline_seconds)
        wanted = replace(wanted, classes=joined(wanted, request))
        wanted = steered(files, wanted, record, request.counts, request.auto, say)
        wanted = tuned(wanted, request.horizon_seconds, request.idle_seconds)
        wanted = replace(wanted, rules=request.rules or wanted.rules)
        if request.chaos_target:
            # Not before all that may refuse: a fleet that is somebody's work stays protected.
            mark(files.directory)
        return _adjust(files, wanted, request.counts, deadline, say)


def scale(
    state: Path,
    counts: Mapping[str, int],
    *,
    auto: bool | None = None,
    horizon_seconds: float | None = None,
    idle_seconds: float | None = None,
    deadline_seconds: float,
    say: Callable[[str], None],
) -> Upped:
    """Have so many workers of these classes, or let demand decide; return once it is so."""
    files = FleetFiles(state=state)
    deadline = time.monotonic() + deadline_seconds
    with turn(files.turn, seconds=deadline_seconds):
        record = living(files)
        if record is None:
            raise FleetUnavailable("no fleet is up", remedy="start one with `proctor up`")
        wanted = wanted_now(files)
        wanted = steered(files, wanted, record, counts, auto, say)
        wanted = tuned(wanted, horizon_seconds, idle_seconds)
        return _adjust(files, wanted, counts, deadline, say)


def down(
    state: Path,
    *,
    now: bool,
    deadline_seconds: float,
    running: Collection[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Downed:
    """Drain and end everything but campaigns that run; return once nothing is left.

    Who takes campaigns into the store for longer is named: it ends by itself.
    """
    files = FleetFiles(state=state)
    was_up, killed = False, 0
    if files.directory.is_dir():
        with turn(files.turn, seconds=deadline_seconds):
            if living(files) is not None:
                say("ending the fleet" + ("" if now else "; its workers finish what they run"))
            was_up, killed = end_fleet(files, now=now, deadline_seconds=deadline_seconds)
    stopped, untold = stop_prefect(state, now=now, running=running, say=say)
    for pid in await_remembers(state, patience=0.0 if now else REMEMBER_SECONDS, say=say):
        say(f"process {pid} goes on taking campaigns into the store, and ends by itself")
    return Downed(was_up=was_up, prefect_stopped=stopped, killed=killed, untold=tuple(untold))


def stop_prefect(
    state: Path, *, now: bool, running: Collection[str], say: Callable[[str], None]
) -> tuple[bool, list[str]]:
    """End the resident server, and the mirrors that would start it anew.

    Whether there was one to stop, and the campaigns that it was not told all of.
    """
    server = ResidentServer(state)
    standing = server.status()
    patience = MIRROR_SECONDS if standing.answering and not now else 0.0
    untold = end_mirrors(state, but=running, patience=patience, say=say)
    if standing.alive:
        say("stopping the resident Prefect server")
    return server.stop(), untold


def _start(
    files: FleetFiles, request: UpRequest, deadline: float, say: Callable[[str], None]
) -> Upped:
    former = read_wanted(files.wanted)
    # A fleet that sizes itself may have no place for that class.
    cpu = request.classes.get("cpu")
    usual = {"cpu": 1} if cpu is None or cpu.maximum != 0 else dict[str, int]()
    counts = dict(request.counts) or usual
    for name, each in request.classes.items():
        if each.minimum:
            counts.setdefault(name, each.minimum)
    check_tuning(
        auto=bool(request.auto), horizon=request.horizon_seconds, idle=request.idle_seconds
    )
    classes = small(request.classes) if request.auto else request.classes
    classes = provided(classes, request.provider or LOCAL)
    prefect = request.prefect()
    check_places(classes, counts, prefect)
    reach = request.reach or Reach()
    wanted = Wanted(
        classes=shared(classes, counts, cores=request.cores),
        counts=counts,
        auto=bool(request.auto),
        horizon_seconds=request.horizon_seconds,
        idle_seconds=request.idle_seconds,
        rules=request.rules,
        port=choose_port(reach.host, request.port, former.port if former else 0),
        reach=reach,
        prefect=prefect,
        drain_seconds=request.drain_seconds,
    )
    for path in (files.record, files.roster, files.ready, files.auto):
        path.unlink(missing_ok=True)
    if request.chaos_target:
        mark(files.directory)
    write_wanted(files.wanted, wanted)
    say(f"starting a fleet: {counts_text(counts) or 'workers come with the work'}")
    say_open_ended(wanted, say)
    files.scratch.mkdir(parents=True, exist_ok=True)
    faults = FaultFiles(state=files.state)
    if held(faults):
        # Left by a machine that went down: nobody looks at their time any more.
        ensure_reaper(faults)
    log = files.logs / "supervisor.log"
    server = ResidentServer(files.state)
    had_server = server.status().alive
    spawn_detached(
        [
            sys.executable,
            "-m",
            "proctor.deployments.standing.supervisor",
            "--state",
            str(files.state),
        ],
        environ=os.environ,
        log=log,
    )
    try:
        record = await_fleet(files, wanted, deadline, say)
    except BaseException:
        # Nothing half-started.
        end_fleet(files, now=True, deadline_seconds=END_SECONDS)
        if prefect == "resident" and not had_server:
            server.stop()
        raise
    return Upped(
        record=record, started=True, changed={name: (0, count) for name, count in counts.items()}
    )


def _adjust(
    files: FleetFiles,
    wanted: Wanted,
    counts: Mapping[str, int],
    deadline: float,
    say: Callable[[str], None],
) -> Upped:
    for name, count in counts.items():
        check_count(choose_class(wanted.classes, name), count)
    changed = {
        name: (wanted.counts.get(name, 0), count)
        for name, count in counts.items()
        if wanted.counts.get(name, 0) != count
    }
    wanted = with_counts(wanted, counts)
    if wanted != read_wanted(files.wanted):
        write_wanted(files.wanted, wanted)
    if changed:
        say(f"changing the fleet: {counts_text(counts)}")
    return Upped(record=await_fleet(files, wanted, deadline, say), started=False, changed=changed)
