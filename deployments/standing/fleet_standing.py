"""Where a state directory's services stand, put together from what they wrote down themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from ...flows.server.prefect_server import ResidentServer, is_answering
from ...infra.engine.sickbay import sick_lives
from ...infra.errors import FleetUnavailable
from ...infra.fleet.files import FleetFiles, FleetRecord, read_record
from ...infra.fleet.providers import Instance, Phase
from ...infra.fleet.roster import Roster, Seen, read_roster
from ...infra.ledgers.campaigns import CampaignSummary, campaigns_directory, list_campaigns
from ...infra.quantities import format_size
from ...infra.runners.capabilities import gpu_text
from ...infra.setting_readers import without_credentials
from ...infra.state_flag import with_state
from .fleet_process import wanted_now

# A scheduler that has written nothing for so long is stuck, or its disk is full.
SILENT_SECONDS = 5.0
# A worker is called slow when its last heartbeat is older than this.
LATE_SECONDS = 5.0
CAMPAIGNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStanding:
    """One service in one line."""

    name: str
    # up, starting, stopping, down, off, not answering
    state: str
    where: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStanding:
    """One worker in one line: its process, and what it said of itself."""

    instance: Instance
    restarts: int = 0
    seen: Seen | None = None
    late_seconds: float = 0.0
    # Why a campaign sends it nothing more, if one does not.
    sick: str = ""

    @property
    def state(self) -> str:
        if self.seen is not None and self.instance.phase == "running":
            if self.late_seconds > LATE_SECONDS:
                return f"silent for {self.late_seconds:.0f} s"
            if self.seen.draining:
                return "draining"
            return "sick" if self.sick else "busy" if self.seen.busy else "idle"
        return str(self.instance.phase)

    def plain(self) -> dict[str, Any]:
        facts = self.seen.facts if self.seen else None
        return {
            "name": self.instance.name,
            "class": self.instance.worker_class,
            "state": self.state,
            "phase": str(self.instance.phase),
            "reason": self.instance.reason,
            "sick": self.sick,
            "place": self.instance.place,
            "since": self.instance.since,
            "deaths_in_a_row": self.restarts,
            "slots": facts.slots if facts else None,
            "busy": self.seen.busy if self.seen else None,
            "incarnation": facts.incarnation if facts else "",
            "address": self.seen.address if self.seen else "",
            "campaigns": list(self.seen.campaigns) if self.seen else [],
            "cpu": facts.cpu if facts else None,
            "memory_bytes": facts.memory_bytes if facts else None,
            "gpu": facts.gpu if facts else None,
            "simulated_gpu": facts.simulated_gpu if facts else None,
            "devices": list(facts.devices) if facts else [],
            "tags": sorted(facts.tags) if facts else [],
            "measured": {
                "cores": facts.machine_cores,
                "memory_bytes": facts.machine_memory_bytes,
                "gpu_model": facts.gpu_model,
                "gpu_memory_bytes": facts.gpu_memory_bytes,
                "host": facts.host,
            }
            if facts
            else None,
        }

    @property
    def offers(self) -> str:
        """Its capacity for people; a simulated GPU says so."""
        facts = self.seen.facts if self.seen else None
        if facts is None:
            return ""
        parts = [f"cpu={facts.cpu:g}", f"memory={_short_size(facts.memory_bytes)}"]
        if facts.gpu:
            parts.append(f"gpu={gpu_text(facts)}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All there is to say in one screen."""

    state: Path
    record: FleetRecord | None
    services: tuple[ServiceStanding, ...]
    workers: tuple[WorkerStanding, ...]
    # Running ones, or else the newest of those that ran.
    campaigns: tuple[CampaignSummary, ...]

    @property
    def is_up(self) -> bool:
        return self.record is not None and self.record.alive


def look(state: Path, flags: str = "") -> Standing:
    """Look at processes and files; nothing is asked of a service but whether it answers.

    `flags` is what a command that is proposed needs to find the same state.
    """
    files = FleetFiles(state=state)
    record = read_record(files.record)
    if record is not None and not record.supervisor.alive:
        record = None
    roster = read_roster(files.roster)
    now = time.time()
    campaigns = list_campaigns(state)
    running = [each for each in campaigns if each.state == "running"]
    ran = [each for each in campaigns if each.is_history and not each.is_staged]
    shown = tuple(running or ran[:CAMPAIGNS])
    sick = sick_lives(campaigns_directory(state) / each.id for each in shown)
    return Standing(
        state=state,
        record=record,
        services=tuple(
            replace(each, note=with_state(each.note, flags))
            for each in _services(state, record, roster, now)
        ),
        workers=tuple(_workers(record, roster, sick, now)),
        campaigns=shown,
    )


def _services(
    state: Path, record: FleetRecord | None, roster: Roster, now: float
) -> Iterator[ServiceStanding]:
    if record is None:
        yield ServiceStanding(
            name="fleet", state="down", note="`proctor up` starts one; `proctor run` needs none"
        )
    else:
        yield ServiceStanding(
            name="supervisor",
            state=_supervisor_state(record),
            where=f"pid {record.supervisor.pid}",
            note="; ".join([*_remarks(state, record), *record.problems]),
        )
        yield _scheduler(record, roster, now)
    yield _prefect(state, record)


def _remarks(state: Path, record: FleetRecord) -> Iterator[str]:
    if record.auto:
        yield "sizes follow demand"
    files = FleetFiles(state=state)
    if files.wanted.exists():
        try:
            wanted_now(files)
        except FleetUnavailable as problem:
            yield str(problem)


def _supervisor_state(record: FleetRecord) -> str:
    process = record.supervisor.process
    if process is not None and process.status() == psutil.STATUS_STOPPED:
        return "frozen"
    return "stopping" if record.stopping else "up"


def _scheduler(record: FleetRecord, roster: Roster, now: float) -> ServiceStanding:
    if record.scheduler is None or not record.scheduler.alive:
        return ServiceStanding(name="scheduler", state="starting", where=record.address)
    silent = now - roster.at
    stuck = roster.at and silent > SILENT_SECONDS
    restarts = record.scheduler_restarts
    return ServiceStanding(
        name="scheduler",
        state="not answering" if stuck else "up",
        where=f"{record.address} (pid {record.scheduler.pid})",
        note=f"restarted {restarts} times" if restarts else "",
    )


def _prefect(state: Path, record: FleetRecord | None) -> ServiceStanding:
    configured = record.prefect if record is not None else "resident"
    if configured == "off":
        return ServiceStanding(name="prefect", state="off")
    if configured != "resident":
        up = is_answering(configured)
        return ServiceStanding(
            name="prefect",
            state="up" if up else "not answering",
            where=without_credentials(configured),
        )
    status = ResidentServer(state).status()
    if status.record is None or not status.alive:
        return ServiceStanding(name="prefect", state="down")
    return ServiceStanding(
        name="prefect",
        state="up" if status.answering else "not answering",
        where=f"{status.record.ui_url} (pid {status.record.pid})",
        note=record.prefect_problem if record is not None else "",
    )


def _joined(roster: Roster) -> Iterator[Instance]:
    for name, seen in roster.joined().items():
        yield Instance(
            name=name,
            worker_class=seen.facts.worker_class,
            phase=Phase.RUNNING,
            since=0.0,
            place=seen.facts.host,
            reason=f"joined from {seen.facts.host}",
        )


def _workers(
    record: FleetRecord | None, roster: Roster, sick: Mapping[str, str], now: float
) -> Iterator[WorkerStanding]:
    if record is None:
        return
    for instance in (*record.instances, *_joined(roster)):
        seen = roster.workers.get(instance.name)
        late = now - seen.last_seen if seen is not None else 0.0
        yield WorkerStanding(
            instance=instance,
            restarts=record.restarts.get(instance.name, 0),
            seen=seen,
            late_seconds=late,
            sick=sick.get(seen.facts.incarnation, "") if seen is not None else "",
        )


def _short_size(size: int) -> str:
    text = format_size(size)
    return text if len(text) <= len("1000GiB") else f"{size / 2**30:.1f}GiB"
