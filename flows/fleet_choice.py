"""Which fleet a campaign runs on: one that is named, one that is up, or one of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..infra.errors import BadSetting
from ..infra.local_fleet import LocalFleet, WorkerClass
from ..infra.quantities import parse_size
from ..infra.records import WorkerFacts

# Where `proctor up` writes what it has started.
FLEET_FILE = "fleet.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChoice:
    """A scheduler to talk to, or workers to start beside one of our own."""

    address: str = ""
    workers: tuple[WorkerFacts, ...] = ()
    origin: str = ""


def choose_fleet(*, state: Path, named: str, slots: int, classes: Sequence[str]) -> FleetChoice:
    """What a campaign with these settings runs on."""
    if named:
        return FleetChoice(address=named, origin="the fleet that was named")
    if classes:
        workers = tuple(
            worker_class(text).facts(number) for number, text in enumerate(classes, start=1)
        )
        return FleetChoice(workers=workers, origin="a fleet of its own, as asked")
    resident = resident_fleet(state)
    if resident:
        return FleetChoice(address=resident, origin="the fleet that is up")
    return FleetChoice(
        workers=(WorkerClass(name="cpu", slots=slots).facts(1),), origin="a fleet of its own"
    )


def resident_fleet(state: Path) -> str:
    """The address of the fleet that `proctor up` keeps, if its scheduler is alive."""
    try:
        kept = json.loads((state / FLEET_FILE).read_text())
    except FileNotFoundError:
        return ""
    # A file left by a machine that lost power names a process that is gone.
    return kept["address"] if psutil.pid_exists(kept["scheduler_pid"]) else ""


@contextmanager
def open_fleet(choice: FleetChoice, *, scratch: Path) -> Iterator[LocalFleet | None]:
    """Start what has to be started, and end it afterwards."""
    if choice.address:
        yield None
        return
    with LocalFleet(workers=choice.workers, scratch=scratch) as fleet:
        yield fleet


def worker_class(text: str) -> WorkerClass:
    """Read "gpu:slots=1,gpu=1,memory=16GB,simulated" as a worker class."""
    name, _, rest = text.partition(":")
    values: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in {"slots", "cpu", "memory", "gpu", "tags", "simulated"}:
            raise BadSetting(
                f"worker class {text!r} has an unknown part {key!r}",
                remedy="known: slots, cpu, memory, gpu, tags (a+b), simulated",
            )
        values[key] = value
    try:
        return WorkerClass(
            name=name,
            slots=int(values.get("slots", os.cpu_count() or 1)),
            cpu=float(values.get("cpu", 0)),
            memory_bytes=parse_size(values["memory"]) if "memory" in values else 0,
            gpu=float(values.get("gpu", 0)),
            tags=frozenset(filter(None, values.get("tags", "").split("+"))),
            simulated_gpu="simulated" in values,
        )
    except ValueError as error:
        raise BadSetting(
            f"worker class {text!r} cannot be read ({error})",
            remedy="write it like highmem:slots=2,memory=16GB",
        ) from error
