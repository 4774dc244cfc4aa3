"""Which fleet a campaign runs on: one that is named, one that is up, or one of its own.

Worker classes that are asked for by hand come before a fleet that is up, those of the project's
settings behind it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...infra.errors import UsageProblem
from ...infra.fleet.certificates import Certificates, certificates_in
from ...infra.fleet.class_choice import Known, workers_asked
from ...infra.fleet.files import FleetFiles, FleetRecord, read_record, read_wanted
from ...infra.fleet.local_fleet import START_SECONDS, LocalFleet
from ...infra.fleet.machine_room import check_memory
from ...infra.fleet.providers import Phase
from ...infra.fleet.reach import refuse_in_the_clear
from ...infra.fleet.roster import Roster, read_roster
from ...infra.listener import REFUSED_SECONDS, await_listener
from ...infra.records import WorkerFacts
from ...infra.runners.capabilities import assign_devices, measure
from ...infra.runners.memory_room import memory_there
from ...infra.worker_classes import WorkerClass, common_classes


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChoice:
    """A scheduler to talk to, or workers to start beside one of our own."""

    address: str = ""
    # Those to start, or those that an address is known to have or to be getting.
    workers: tuple[WorkerFacts, ...] = ()
    origin: str = ""
    # `proctor up` keeps it: a scheduler that is away is being started again.
    is_kept: bool = False
    # What an address wants to be shown.
    certificates: Certificates | None = None


def choose_fleet(
    *,
    state: Path,
    named: str,
    slots: int,
    classes: Sequence[str],
    usual: Sequence[str] = (),
    usual_origin: str = "fleet_classes",
    known: Known = lambda: common_classes(gpus=0),
    certs: Path,
) -> FleetChoice:
    """What a campaign with these settings runs on.

    The texts in `classes` were given by hand, those in `usual` by the settings, which have them
    from `usual_origin`; they are names of known classes, or classes written out. `certs` is where
    the certificates are that a fleet on other machines wants to see.
    """
    if named:
        return FleetChoice(
            address=named,
            origin="the fleet that was named",
            is_kept=_is_kept(state, named),
            certificates=_certificates(named, certs),
        )
    if classes:
        own = own_workers(classes, known, slots, origin="--fleet-class")
        return FleetChoice(workers=own, origin="a fleet of its own, as asked")
    resident = resident_fleet(state)
    if resident is not None:
        return FleetChoice(
            address=resident.address,
            workers=_resident_workers(resident, read_roster(FleetFiles(state=state).roster)),
            origin="the fleet that is up",
            is_kept=True,
            certificates=_certificates(resident.address, Path(resident.certs)),
        )
    if usual:
        own = own_workers(usual, known, slots, origin=usual_origin)
        return FleetChoice(workers=own, origin="a fleet of its own, by the project's settings")
    return FleetChoice(
        workers=(WorkerClass(name="cpu", slots=slots).facts(1),), origin="a fleet of its own"
    )


def resident_fleet(state: Path) -> FleetRecord | None:
    """The fleet that `proctor up` keeps, if it is alive."""
    record = read_record(FleetFiles(state=state).record)
    return record if record is not None and record.alive and not record.stopping else None


def worker_is_coming(state: Path, choice: FleetChoice) -> bool:
    """Whether the fleet that `proctor up` keeps says that a worker of it starts."""
    if not choice.is_kept:
        return False
    record = read_record(FleetFiles(state=state).record)
    return record is not None and any(each.phase is Phase.STARTING for each in record.instances)


def is_taken_down(state: Path, choice: FleetChoice) -> bool:
    """Whether somebody ended the fleet that `proctor up` keeps, and started none since."""
    if not choice.is_kept:
        return False
    wanted = read_wanted(FleetFiles(state=state).wanted)
    return wanted is not None and bool(wanted.stop)


def _is_kept(state: Path, address: str) -> bool:
    record = read_record(FleetFiles(state=state).record)
    return record is not None and record.supervisor.alive and record.address == address


def reached(choice: FleetChoice) -> str:
    """The address of a fleet that is up, once somebody listens there."""
    seconds = START_SECONDS if choice.is_kept else REFUSED_SECONDS
    await_listener(choice.address, seconds=seconds)
    return choice.address


def _certificates(address: str, directory: Path) -> Certificates | None:
    if not address.startswith("tls://"):
        refuse_in_the_clear(address)
        return None
    return certificates_in(directory, now=time.time())


def _resident_workers(record: FleetRecord, roster: Roster) -> tuple[WorkerFacts, ...]:
    """Those that are there or coming; of a fleet that scales itself, one of each class may come."""
    counts = dict(record.counts)
    if record.auto:
        for name, each in record.classes.items():
            if each.maximum != 0:
                counts[name] = max(1, counts.get(name, 0))
    own = tuple(
        record.classes[name].facts(number)
        for name, count in counts.items()
        for number in range(1, count + 1)
    )
    return (*own, *(each.facts for each in roster.joined().values()))


@contextmanager
def open_fleet(choice: FleetChoice, *, scratch: Path) -> Generator[LocalFleet | None]:
    """Start what has to be started, and end it afterwards."""
    if choice.address:
        yield None
        return
    with LocalFleet(workers=choice.workers, scratch=scratch) as fleet:
        yield fleet


def own_workers(
    texts: Sequence[str], known: Known, cores: int, *, origin: str
) -> tuple[WorkerFacts, ...]:
    """So many workers of these classes on this machine, each with its share of it."""
    classes = [
        each
        for each, count in workers_asked(texts, known, cores=cores, origin=origin)
        for _ in range(count)
    ]
    if not classes:
        raise UsageProblem(
            f"a fleet of {' '.join(texts)} has no worker", remedy="ask for one or more"
        )
    share = max(1, cores // max(1, sum(not each.slots for each in classes)))
    return with_devices(
        [
            replace(each, slots=each.slots or share).facts(number)
            for number, each in enumerate(classes, start=1)
        ]
    )


def with_devices(workers: Sequence[WorkerFacts]) -> tuple[WorkerFacts, ...]:
    """The workers, those with a real GPU each with its own; refuses what is not here."""
    for each in workers:
        check_memory(each, there=memory_there())
    if not any(each.gpu and not each.simulated_gpu for each in workers):
        return tuple(workers)
    # Asking NVML takes a while: only for those who want a real GPU.
    gpus = measure(os.environ).gpus
    given: list[WorkerFacts] = []
    for each in workers:
        taken = [device for other in given for device in other.devices]
        given.append(assign_devices(each, gpus, taken))
    return tuple(given)
