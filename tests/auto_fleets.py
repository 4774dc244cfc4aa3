"""Watches a fleet that chooses its sizes itself: who is there, who was told to go, and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from proctor.infra.fleet.files import FleetFiles, read_record
from proctor.infra.fleet.providers import Phase
from proctor.infra.fleet.roster import read_roster
from proctor.infra.scaling.reconciler import recorded


def decisions(state: Path) -> list[dict[str, Any]]:
    return [dict(line) for line in recorded(state) if line["k"] == "decision"]


def size(state: Path) -> int:
    """How many workers run."""
    record = read_record(FleetFiles(state=state).record)
    instances = record.instances if record else ()
    return sum(each.phase is Phase.RUNNING for each in instances)


def turns(made: Sequence[dict[str, Any]]) -> list[float]:
    """When a fleet of one class that had grown began to shrink, or the other way round."""
    return [
        later["t"]
        for earlier, later in pairwise(made)
        if (earlier["to"] - earlier["from"]) * (later["to"] - later["from"]) < 0
    ]


def flaps(made: Sequence[dict[str, Any]], *, seconds: float) -> list[str]:
    """Turns that came sooner after the one before, but for those from nobody to somebody."""
    at = turns(made)
    from_nobody = {each["t"] for each in made if not each["from"]}
    return [
        f"it turned twice within {later - earlier:.1f} s"
        for earlier, later in pairwise(at)
        if later - earlier < seconds and later not in from_nobody
    ]


@dataclass
class Lookout:
    """Notes every worker that is asked to leave, and whether it was running something then."""

    files: FleetFiles
    drained_busy: list[str] = field(default_factory=list)
    # When there were how many running.
    seen: list[tuple[float, int]] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)

    @property
    def sizes(self) -> list[int]:
        return [size for _, size in self.seen]

    def watch(self) -> None:
        before: set[str] = set()
        while not self._ending.wait(0.02):
            record = read_record(self.files.record)
            if record is None:
                continue
            draining = {each.name for each in record.instances if each.phase is Phase.DRAINING}
            workers = read_roster(self.files.roster).workers
            self.drained_busy += [
                name
                for name in draining - before
                if name in workers and workers[name].busy and not workers[name].draining
            ]
            before = draining
            running = sum(each.phase is Phase.RUNNING for each in record.instances)
            if not self.seen or self.seen[-1][1] != running:
                self.seen.append((time.time(), running))

    def end(self) -> None:
        self._ending.set()
