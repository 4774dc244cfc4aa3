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

import psutil

from ..flows.detached import spawn_detached
from ..flows.mirrors_left import end_mirrors
from ..flows.prefect_server import ResidentServer
from ..infra.errors import FleetUnavailable, UsageProblem
from ..infra.fault_lease import FaultFiles, held
from ..infra.fault_mark import mark, unmark
from ..infra.fault_reaper import ensure_reaper
from ..infra.fleet_state import (
    MARK,
    FleetFiles,
    FleetRecord,
    Wanted,
    read_record,
    read_wanted,
    with_counts,
    write_wanted,
)
from ..infra.mixed_provider import LOCAL
from ..infra.process_ref import sweep
from ..infra.providers import Phase
from ..infra.roster import read_roster
from ..infra.scaling_policy import ScalingRules
from ..infra.stray_reaper import reap
from ..infra.worker_classes import WorkerClass, check_count, choose_class, shared
from .fleet_checks import check_same, unbounded_line
from .free_ports import choose_port
from .pools import check_class_pool, check_machine
from .turns import turn

LOOK_SECONDS = 0.05
# For what Prefect has yet to be told of campaigns that are over.
MIRROR_SECONDS = 10.0
# Whoever waits so long is told for what.
PATIENCE_SECONDS = 5.0
# All together: a fresh Prefect database on a loaded machine is the slowest.
UP_SECONDS = 120.0
END_SECONDS = 15.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class UpRequest:
    """A fleet somebody wants."""

    state: Path
    classes: Mapping[str, WorkerClass]
    # Empty: leave what is up as it is, or start one worker of class cpu.
    counts: Mapping[str, int]
    cores: int
    # Says which Prefect server is meant; asked only when a fleet starts, for it takes a second.
    prefect: Callable[[], str]
    # 0 takes the port of last time, or a free one.
    port: int = 0
    drain_seconds: float = 60.0
    deadline_seconds: float = UP_SECONDS
    # None: leave it as it is; a fleet that starts is then sized by people.
    auto: bool | None = None
    horizon_seconds: float | None = None
    idle_seconds: float | None = None
    # The policy's rules; None leaves them as they are.
    rules: ScalingRules | None = None
    # Whether faults may be injected into it.
    chaos_target: bool = False
    # Where the workers come from whose class does not say: "local", "work-pool", or empty for
    # what the fleet has.
    provider: str = ""


def up(request: UpRequest, *, say: Callable[[str], None]) -> Upped:
    """Start what is not up, adjust what is, and return once all of it answers."""
    files = FleetFiles(state=request.state)
    deadline = time.monotonic() + request.deadline_seconds
    for name, count in request.counts.items():
        check_count(choose_class(request.classes, name), count)
    with turn(files.turn, seconds=request.deadline_seconds):
        record = _living(files)
        if request.chaos_target:
            mark(files.directory)
        elif record is None:
            unmark(files.directory)
        if record is None:
            return _start(files, request, deadline, say)
        wanted = read_wanted(files.wanted)
        if wanted is None or wanted.stop:
            raise FleetUnavailable(
                "the fleet is being taken down", remedy="wait for `proctor down` to end"
            )
        check_same(
            wanted,
            port=request.port,
            provider=request.provider,
            classes=request.classes,
            counts=request.counts,
        )
        if wanted.prefect == "resident":
            # Somebody may have stopped it since; the supervisor leaves that to people.
            ResidentServer(request.state).ensure(seconds=request.deadline_seconds)
        wanted = replace(wanted, classes=_joined(wanted, request))
        wanted = _steered(files, wanted, record, request.counts, request.auto, say)
        wanted = _tuned(wanted, request.horizon_seconds, request.idle_seconds)
        wanted = replace(wanted, rules=request.rules or wanted.rules)
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
        wanted = read_wanted(files.wanted)
        record = _living(files)
        if record is None or wanted is None:
            raise FleetUnavailable("no fleet is up", remedy="start one with `proctor up`")
        wanted = _steered(files, wanted, record, counts, auto, say)
        wanted = _tuned(wanted, horizon_seconds, idle_seconds)
        return _adjust(files, wanted, counts, deadline, say)


def down(
    state: Path, *, now: bool, deadline_seconds: float, running: Collection[str] = ()
) -> Downed:
    """Drain and end everything but campaigns that run; return once nothing is left."""
    files = FleetFiles(state=state)
    killed = 0
    if files.directory.is_dir():
        with turn(files.turn, seconds=deadline_seconds):
            was_up, killed = _end(files, now=now, deadline_seconds=deadline_seconds)
    else:
        was_up = False
    server = ResidentServer(state)
    patience = MIRROR_SECONDS if server.status().answering and not now else 0.0
    untold = end_mirrors(state, but=running, patience=patience)
    return Downed(was_up=was_up, prefect_stopped=server.stop(), killed=killed, untold=tuple(untold))


# Starting --------------------------------------------------------------------------------------


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
    classes = _small(request.classes) if request.auto else request.classes
    classes = _provided(classes, request.provider or LOCAL)
    prefect = request.prefect()
    _check_pools(classes, counts, prefect)
    wanted = Wanted(
        classes=shared(classes, counts, cores=request.cores),
        counts=counts,
        auto=bool(request.auto),
        horizon_seconds=request.horizon_seconds,
        idle_seconds=request.idle_seconds,
        rules=request.rules,
        port=choose_port(request.port, former.port if former else 0),
        prefect=prefect,
        drain_seconds=request.drain_seconds,
    )
    for path in (files.record, files.roster, files.ready, files.auto):
        path.unlink(missing_ok=True)
    write_wanted(files.wanted, wanted)
    say(f"starting a fleet: {_counts_text(counts) or 'workers come with the work'}")
    _say_open_ended(wanted, say)
    files.scratch.mkdir(parents=True, exist_ok=True)
    faults = FaultFiles(state=files.state)
    if held(faults):
        # Left by a machine that went down: nobody looks at their time any more.
        ensure_reaper(faults)
    log = files.logs / "supervisor.log"
    spawn_detached(
        [sys.executable, "-m", "proctor.deployments.supervisor", "--state", str(files.state)],
        environ=os.environ,
        log=log,
    )
    try:
        record = _await(files, wanted, deadline, say)
    except BaseException:
        # Nothing half-started.
        _end(files, now=True, deadline_seconds=END_SECONDS)
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
        say(f"changing the fleet: {_counts_text(counts)}")
    return Upped(record=_await(files, wanted, deadline, say), started=False, changed=changed)


def _await(
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
        for problem in _refusals(record):
            if problem not in said:
                said.add(problem)
                say(problem)
        if record is None and not _supervisor_lives(files) and time.monotonic() > began + 10:
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
            missing.append(f"{len(running)} of {count} workers of class {name} have joined")
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
    return [*record.problems, *refused]


def _is_hopeless(record: FleetRecord, missing: list[str]) -> bool:
    """Whether all that is missing is workers that will not come."""
    refused = [each for each in record.instances if each.phase is Phase.REFUSED]
    waited = [each for each in record.instances if each.phase is Phase.STARTING]
    workers_only = all("have joined" in each for each in missing)
    impossible = record.scheduler is not None and bool(record.problems)
    return bool(refused or impossible) and not waited and workers_only


# Ending ----------------------------------------------------------------------------------------


def _end(files: FleetFiles, *, now: bool, deadline_seconds: float) -> tuple[bool, int]:
    record = read_record(files.record)
    wanted = read_wanted(files.wanted)
    was_up = record is not None and record.supervisor.alive
    if wanted is not None:
        # Also for a supervisor that is starting and has no record yet.
        drain = min(wanted.drain_seconds, deadline_seconds)
        stop = "now" if now else "drain"
        write_wanted(files.wanted, replace(wanted, stop=stop, drain_seconds=drain))
        deadline = time.monotonic() + (0.0 if now else drain) + END_SECONDS
        while _supervisor_lives(files) and time.monotonic() < deadline:
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


def _living(files: FleetFiles) -> FleetRecord | None:
    """What is up; a record whose supervisor is dead is nothing."""
    record = read_record(files.record)
    if record is not None and record.supervisor.alive:
        return record
    for process in _supervisors(files):
        # Started by an `up` that was killed before there was a record.
        process.kill()
        psutil.wait_procs([process], timeout=END_SECONDS)
    return None


def _supervisor_lives(files: FleetFiles) -> bool:
    return bool(_supervisors(files))


def _supervisors(files: FleetFiles) -> list[psutil.Process]:
    """Found by what they were started as: a record may be missing or stale."""
    command = ["-m", "proctor.deployments.supervisor", "--state", str(files.state)]
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line: list[str] = process.info["cmdline"] or []
        if line[1:] == command and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


# Checks ----------------------------------------------------------------------------------------


def _steered(
    files: FleetFiles,
    wanted: Wanted,
    record: FleetRecord,
    counts: Mapping[str, int],
    auto: bool | None,
    say: Callable[[str], None],
) -> Wanted:
    """Who chooses the sizes: people or the policy, which goes on from what there is."""
    if auto if auto is not None else wanted.auto:
        if counts:
            raise UsageProblem(
                "the fleet chooses its sizes itself",
                remedy="leave the numbers out, or take over with `proctor scale --manual`",
            )
        if not wanted.auto:
            files.auto.unlink(missing_ok=True)
            say("the fleet chooses its sizes itself from now on")
            _say_open_ended(replace(wanted, auto=True), say)
        return replace(wanted, auto=True)
    if wanted.auto:
        say("the fleet keeps the sizes it has until they are changed")
        return replace(wanted, auto=False, counts=dict(record.counts))
    return wanted


def _say_open_ended(wanted: Wanted, say: Callable[[str], None]) -> None:
    line = unbounded_line(wanted.classes, cores=os.cpu_count() or 1) if wanted.auto else ""
    if line:
        say(line)


def _tuned(wanted: Wanted, horizon: float | None, idle: float | None) -> Wanted:
    return replace(
        wanted,
        horizon_seconds=wanted.horizon_seconds if horizon is None else horizon,
        idle_seconds=wanted.idle_seconds if idle is None else idle,
    )


def _small(classes: Mapping[str, WorkerClass]) -> dict[str, WorkerClass]:
    """Workers that come and go have one slot where their class states none."""
    return {name: each if each.slots else replace(each, slots=1) for name, each in classes.items()}


def _provided(classes: Mapping[str, WorkerClass], provider: str) -> dict[str, WorkerClass]:
    """Say of each class where its workers come from."""
    return {
        name: replace(each, provider=each.provider or provider) for name, each in classes.items()
    }


def _check_pools(
    classes: Mapping[str, WorkerClass], counts: Mapping[str, int], prefect: str
) -> None:
    """Refuse pools that cannot be, before anything is started."""
    for name in counts:
        if name in classes and classes[name].provider != LOCAL:
            if prefect == "off":
                raise UsageProblem(
                    f"workers of class {name} come from a work pool, and Prefect is switched off",
                    remedy="leave out --prefect off, or take --provider local",
                )
            check_class_pool(classes[name])
            if counts[name]:
                check_machine(classes[name])


def _joined(wanted: Wanted, request: UpRequest) -> dict[str, WorkerClass]:
    new = {name: each for name, each in request.classes.items() if name not in wanted.classes}
    counts = {**wanted.counts, **request.counts}
    asked = {name: counts.get(name, 0) for name in new}
    if wanted.auto or request.auto:
        new = _small(new)
    new = _provided(new, request.provider or LOCAL)
    _check_pools(new, asked, wanted.prefect)
    return {**wanted.classes, **shared(new, asked, cores=request.cores)}


def _counts_text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={count}" for name, count in counts.items())
