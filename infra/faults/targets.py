"""What a fault can be aimed at in a live fleet: parts by name, found as the processes they are.

A selector is a part and, for parts there are several of, which: `worker:cpu-1`, `worker` (any, by
the seed), `worker:busy`, `worker:all`, `worker:#0` (by place in the order of names, counted round:
schedules are played on fleets of any size), `runner:cpu-1`, `campaign:ID`. The others stand alone:
`scheduler`, `prefect`, `supervisor`, `host`, `state`.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from ..errors import FleetUnavailable, UsageProblem
from ..fleet.chaos_mark import is_marked
from ..fleet.files import FleetFiles, read_record
from ..fleet.roster import Roster, Seen, read_roster
from ..ledgers.campaigns import campaigns_directory, list_campaigns
from ..ledgers.lease import newest_holder
from ..process_ref import ProcessRef
from ..scaling.demand import DEMAND_FILE, read_demand
from ..suggestions import known

# In the environment of a worker's sessions and of what they start.
RUNNER_MARK = "PROCTOR_RUNNER"
# What a worker's process was started as.
WORKER_HOST = "proctor.infra.fleet.worker_host"


class FaultRefused(UsageProblem):
    """A fault or an experiment cannot be, and nothing was touched."""


class NoFleet(FaultRefused, FleetUnavailable):
    """There is no fleet to inject it into."""


class Part(StrEnum):
    """What there is to aim at."""

    RUNNER = "runner"
    WORKER = "worker"
    SCHEDULER = "scheduler"
    PREFECT = "prefect"
    CAMPAIGN = "campaign"
    SUPERVISOR = "supervisor"
    # The machine itself: pressure on its processors, memory and disk.
    HOST = "host"
    # The disk of the state directory.
    STATE = "state"
    # A network namespace, by name.
    NETNS = "netns"


_SINGLE = frozenset({Part.SCHEDULER, Part.PREFECT, Part.SUPERVISOR, Part.HOST, Part.STATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """What somebody wrote for a target."""

    part: Part
    # A name, "busy", "all", "#2", or "" for any.
    which: str = ""

    def __str__(self) -> str:
        return f"{self.part}:{self.which}" if self.which else str(self.part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a selector came to."""

    name: str
    part: Part
    # Each with the name of the worker or campaign it belongs to, if it is one's.
    processes: tuple[tuple[str, ProcessRef], ...] = ()

    @property
    def refs(self) -> tuple[ProcessRef, ...]:
        return tuple(ref for _, ref in self.processes)

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(owner for owner, _ in self.processes)


def parse_selector(text: str) -> Selector:
    """Read a selector; refuses a part nobody knows."""
    name, _, which = text.strip().partition(":")
    try:
        part = Part(name)
    except ValueError:
        raise FaultRefused(
            f"there is no {text!r} to aim a fault at", remedy=known(name, list(Part))
        ) from None
    if which and part in _SINGLE:
        raise FaultRefused(
            f"{text!r} names one of several, and there is one {part}", remedy=f"write {part}"
        )
    if part is Part.NETNS and not which:
        raise FaultRefused("netns names no namespace", remedy="write netns:NAME")
    return Selector(part=part, which=which)


class Targets:
    """The live parts of one state directory's fleet."""

    def __init__(
        self, state: Path, *, prefect: Callable[[], ProcessRef | None] = lambda: None
    ) -> None:
        self.state = state
        self.files = FleetFiles(state=state)
        self._prefect = prefect

    def check_marked(self) -> None:
        """Refuse any fleet that nobody has given to be broken."""
        record = read_record(self.files.record)
        if record is None or not record.supervisor.alive:
            raise NoFleet(
                f"no fleet is up in {self.state}",
                remedy="start one to be broken with `proctor up --chaos-target`",
            )
        self.check_mark()

    def check_mark(self) -> None:
        """The mark alone: parts of a fleet that is being broken may be away for a moment."""
        if not is_marked(self.files.directory):
            raise FaultRefused(
                f"the fleet of {self.state} is not marked as a target",
                remedy="if it may be broken, say so with `proctor up --chaos-target`",
            )

    def find(self, selector: Selector, chance: random.Random) -> Target:
        """The processes a selector means now; refuses one that means none."""
        match selector.part:
            case Part.HOST | Part.STATE | Part.NETNS:
                return Target(name=str(selector), part=selector.part)
            case Part.WORKER | Part.RUNNER:
                found = self._workers(selector, chance)
            case Part.CAMPAIGN:
                found = self._campaigns(selector, chance)
            case Part.SCHEDULER | Part.SUPERVISOR:
                found = self._services(selector.part)
            case Part.PREFECT:
                ref = self._prefect()
                found = [("prefect", ref)] if ref is not None else []
        if not found:
            raise FaultRefused(f"there is no {selector} now", remedy=self._there(selector.part))
        owners = ",".join(owner for owner, _ in found)
        alone = selector.part in _SINGLE
        name = str(selector.part) if alone else f"{selector.part}:{owners}"
        return Target(name=name, part=selector.part, processes=tuple(found))

    def workers(self) -> list[str]:
        """The names of those that are registered and alive."""
        return [name for name, _ in _living(self._roster())]

    def has_scheduler(self) -> bool:
        return bool(self._services(Part.SCHEDULER))

    def campaigns(self) -> list[str]:
        """Those that run now, newest first."""
        return [name for name, _ in self._running()]

    def _workers(self, selector: Selector, chance: random.Random) -> list[tuple[str, ProcessRef]]:
        roster = self._roster()
        living = _living(roster)
        if selector.part is Part.RUNNER:
            living = [(name, runner) for name, ref in living for runner in _runners_of(ref)]
        return _chosen(living, selector.which, chance, lambda name: roster.workers[name].busy > 0)

    def _roster(self) -> Roster:
        return read_roster(self.files.roster)

    def _campaigns(self, selector: Selector, chance: random.Random) -> list[tuple[str, ProcessRef]]:
        return _chosen(self._running(), selector.which, chance, lambda name: True)

    def _running(self) -> list[tuple[str, ProcessRef]]:
        found: list[tuple[str, ProcessRef]] = []
        record = read_record(self.files.record)
        for summary in list_campaigns(self.state):
            if summary.state != "running":
                continue
            demand = read_demand(summary.directory / DEMAND_FILE)
            if record is not None and demand is not None and demand.fleet != record.address:
                # It has a fleet of its own, which nobody gave to be broken.
                continue
            holder = newest_holder(campaigns_directory(self.state) / summary.id)
            if holder is None or not holder.is_holding(time.time()):
                continue
            ref = ProcessRef.of(holder.pid) if holder.pid else None
            if ref is not None and ref.alive:
                found.append((summary.id, ref))
        return found

    def _services(self, part: Part) -> list[tuple[str, ProcessRef]]:
        record = read_record(self.files.record)
        if record is None:
            return []
        ref = record.scheduler if part is Part.SCHEDULER else record.supervisor
        return [(str(part), ref)] if ref is not None and ref.alive else []

    def _there(self, part: Part) -> str:
        match part:
            case Part.WORKER | Part.RUNNER:
                names = self.workers()
                return f"there are the workers {', '.join(names)}" if names else "none has joined"
            case Part.CAMPAIGN:
                names = self.campaigns()
                return f"{', '.join(names)} run" if names else "run one, or give the load a command"
            case Part.PREFECT:
                return "start one with `proctor up --prefect auto`"
            case _:
                return "see `proctor status`"


def _living(roster: Roster) -> list[tuple[str, ProcessRef]]:
    return [
        (name, ref)
        for name, seen in sorted(roster.workers.items())
        if (ref := _process_of(seen)) is not None
    ]


def _chosen(
    found: Sequence[tuple[str, ProcessRef]],
    which: str,
    chance: random.Random,
    is_busy: Callable[[str], bool],
) -> list[tuple[str, ProcessRef]]:
    match which:
        case "all":
            return list(found)
        case "" | "any":
            return [chance.choice(found)] if found else []
        case "busy":
            busy = [each for each in found if is_busy(each[0])]
            return [chance.choice(busy)] if busy else []
        case _ if which.startswith("#") and which[1:].isdecimal():
            names = sorted({name for name, _ in found})
            names = [names[int(which[1:]) % len(names)]] if names else []
            return [each for each in found if each[0] in names][:1]
        case _:
            return [each for each in found if each[0] == which]


def _process_of(seen: Seen) -> ProcessRef | None:
    # Incarnations begin with the process that bears them; one elsewhere has none of ours.
    number = seen.facts.incarnation.partition("-")[0]
    ref = ProcessRef.of(int(number)) if number.isdecimal() else None
    return ref if ref is not None and _is_worker(ref, seen.facts.name) else None


def _is_worker(ref: ProcessRef, name: str) -> bool:
    """Whether it is that worker's: of one in a container the number is somebody else's here."""
    process = ref.process
    if process is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        line = process.cmdline()
        if WORKER_HOST in line and "--facts" in line[:-1]:
            return json.loads(line[line.index("--facts") + 1])["name"] == name
    return False


def _runners_of(worker: ProcessRef) -> list[ProcessRef]:
    process = worker.process
    found: list[ProcessRef] = []
    if process is None:
        return found
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in process.children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                ref = ProcessRef.of(child.pid)
                if ref is not None and ref.alive and RUNNER_MARK in child.environ():
                    found.append(ref)
    return found
