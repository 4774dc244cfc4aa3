"""Which fleet a campaign runs on: one that is named, one that is up, or one of its own."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..infra.capabilities import assign_devices, measure
from ..infra.fleet_state import FleetFiles, FleetRecord, read_record
from ..infra.local_fleet import LocalFleet
from ..infra.records import WorkerFacts
from ..infra.worker_classes import WorkerClass, parse_class


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChoice:
    """A scheduler to talk to, or workers to start beside one of our own."""

    address: str = ""
    # Those to start, or those that an address is known to have or to be getting.
    workers: tuple[WorkerFacts, ...] = ()
    origin: str = ""


def choose_fleet(*, state: Path, named: str, slots: int, classes: Sequence[str]) -> FleetChoice:
    """What a campaign with these settings runs on."""
    if named:
        return FleetChoice(address=named, origin="the fleet that was named")
    if classes:
        return FleetChoice(workers=_own_workers(classes), origin="a fleet of its own, as asked")
    resident = resident_fleet(state)
    if resident is not None:
        return FleetChoice(
            address=resident.address,
            workers=_resident_workers(resident),
            origin="the fleet that is up",
        )
    return FleetChoice(
        workers=(WorkerClass(name="cpu", slots=slots).facts(1),), origin="a fleet of its own"
    )


def resident_fleet(state: Path) -> FleetRecord | None:
    """The fleet that `proctor up` keeps, if it is alive."""
    record = read_record(FleetFiles(state=state).record)
    return record if record is not None and record.alive and not record.stopping else None


def _resident_workers(record: FleetRecord) -> tuple[WorkerFacts, ...]:
    """Those that are there or coming; of a fleet that scales itself, one of each class may come."""
    counts = dict(record.counts)
    if record.auto:
        for name, each in record.classes.items():
            if each.maximum != 0:
                counts[name] = max(1, counts.get(name, 0))
    return tuple(
        record.classes[name].facts(number)
        for name, count in counts.items()
        for number in range(1, count + 1)
    )


@contextmanager
def open_fleet(choice: FleetChoice, *, scratch: Path) -> Generator[LocalFleet | None]:
    """Start what has to be started, and end it afterwards."""
    if choice.address:
        yield None
        return
    with LocalFleet(workers=choice.workers, scratch=scratch) as fleet:
        yield fleet


def _own_workers(classes: Sequence[str]) -> tuple[WorkerFacts, ...]:
    workers = [
        parse_class(text, cores=os.cpu_count() or 1).facts(number)
        for number, text in enumerate(classes, start=1)
    ]
    return with_devices(workers)


def with_devices(workers: Sequence[WorkerFacts]) -> tuple[WorkerFacts, ...]:
    """The workers, those with a real GPU each with its own."""
    if not any(each.gpu and not each.simulated_gpu for each in workers):
        return tuple(workers)
    # Asking NVML takes a while: only for those who want a real GPU.
    gpus = measure(os.environ).gpus
    given: list[WorkerFacts] = []
    for each in workers:
        taken = [device for other in given for device in other.devices]
        given.append(assign_devices(each, gpus, taken))
    return tuple(given)
