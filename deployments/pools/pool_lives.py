"""What a pool provider remembers of its workers, and of the place where their runs are.

The provider's verbs write what is asked into a life; the thread that speaks to Prefect writes what
became of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from ...infra.records import WorkerFacts
from ...infra.worker_classes import WorkerClass


@dataclass(slots=True, kw_only=True)
class Life:
    """One flow run under a worker's name."""

    facts: WorkerFacts
    worker_class: WorkerClass
    # Ends the worker's incarnation, and makes asking for the run twice harmless.
    key: str
    since: float
    run: UUID | None = None
    # Prefect's type of its state, and by the steady clock since when.
    state: str = ""
    state_since: float = 0.0
    # Whether the roster ever had it; by the steady clock, when a look first found it missing.
    joined: bool = False
    missed: float | None = None
    drain_asked: float | None = None
    stop_asked: float | None = None
    # Tags that the run has been given.
    told: frozenset[str] = frozenset()
    # Its run is in no pool any more.
    astray: bool = False
    # Why nobody takes its run, while that is so.
    stalled: str = ""
    ended: bool = False
    reason: str = ""

    def end(self, reason: str) -> None:
        self.ended, self.reason = True, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlace:
    """Where a fleet's runs are, and what they are given."""

    # Says where Prefect answers; empty while it does not.
    api: Callable[[], str]
    scheduler: Callable[[], str]
    # Of this fleet: the queue of its runs in pools it may share, and their tag.
    fleet: str
    scratch: Path
    drain_seconds: float
    # What the scheduler wants to see, by its directory here; empty on loopback.
    certs: str = ""
    # Makes a server of ours as quick as who waits for it.
    hasten: Callable[[], None] = lambda: None
