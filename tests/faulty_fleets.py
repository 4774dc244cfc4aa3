"""Resident fleets that tests break, and the processes in them."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

import psutil
from real_campaigns import type_in
from waiting import wait_until

from proctor.deployments.standing.services import down
from proctor.infra.faults.inject import Injector
from proctor.infra.faults.lease import FaultFiles, FaultLease, settle_all
from proctor.infra.faults.record import FaultRecorder
from proctor.infra.faults.targets import Targets, parse_selector
from proctor.infra.fleet.files import FleetFiles, read_record
from proctor.infra.fleet.roster import read_roster
from proctor.infra.process_ref import ProcessRef

PATIENCE = 120.0


class FaultyFleet:
    """A fleet that is up and marked."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.files = FleetFiles(state=state)
        self.faults = FaultFiles(state=state)
        self.targets = Targets(state)
        self._injector = Injector(self.faults, recorder=FaultRecorder(self.faults))

    def inject(
        self, kind: str, selector: str, *, seconds: float = 5.0, seed: int = 0, **parameters: Any
    ) -> FaultLease:
        target = self.targets.find(parse_selector(selector), random.Random(seed))
        return self._injector.inject(kind, target, seconds=seconds, parameters=parameters)

    def undo(self, lease: FaultLease) -> bool:
        return self._injector.undo(lease)

    def ref(self, selector: str) -> ProcessRef:
        return self.targets.find(parse_selector(selector), random.Random(0)).refs[0]

    def await_workers(self, count: int) -> None:
        wait_until(
            lambda: self.is_up and len(self.targets.workers()) >= count,
            timeout=PATIENCE,
            what=f"{count} workers",
        )

    def await_life(self, worker: str, *, but: Collection[str]) -> None:
        """A worker that was killed is there again, under an incarnation that is none of these."""

        def is_back() -> bool:
            seen = read_roster(self.files.roster).workers.get(worker)
            return seen is not None and seen.facts.incarnation not in but

        wait_until(is_back, timeout=PATIENCE, what=f"{worker} to come back")

    def await_word(self, worker: str) -> None:
        """What becomes of a worker that was cut off is decided once it is heard of again."""
        now = time.time()

        def heard() -> bool:
            seen = read_roster(self.files.roster).workers.get(worker)
            return seen is not None and seen.last_seen > now

        wait_until(heard, timeout=PATIENCE, what=f"a word of {worker}")

    @property
    def is_up(self) -> bool:
        record = read_record(self.files.record)
        return record is not None and record.alive


@contextlib.contextmanager
def faulty_fleet(state: Path, *arguments: str) -> Generator[FaultyFleet]:
    """Start a marked fleet; afterwards nothing of it or of its faults is left."""
    done = type_in(
        *("up", "--chaos-target", "--prefect", "off", "--state", str(state)),
        *arguments,
        cwd=state.parent,
    )
    assert done.returncode == 0, done.stderr
    fleet = FaultyFleet(state)
    try:
        yield fleet
    finally:
        settle_all(fleet.faults, "the test is over")
        down(state, now=True, deadline_seconds=15)


def is_stopped(ref: ProcessRef) -> bool:
    process = ref.process
    return process is not None and process.status() == psutil.STATUS_STOPPED
