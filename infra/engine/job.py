"""What a campaign is asked to do: everything the engine needs, resolved and validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..dispatching.batches import Rules, Slot
from ..records import WorkerFacts
from ..runners.spec import RunnerSpec
from ..timings import Timings
from ..wanted_workers import Mend
from .shipment import Shipment


@dataclass(slots=True, kw_only=True)
class Job:
    """One campaign's orders to the engine."""

    campaign: str
    # Where its ledger stands, and where its project's memory does.
    directory: Path
    project: Path
    runner: RunnerSpec
    rules: Rules
    timings: Timings
    timeout_seconds: float
    # Per slot; 0 shares a worker's memory out among its slots.
    memory_limit_bytes: int = 0
    # Monotonic time after which the campaign is cancelled: no step of the wall clock does that.
    deadline_at: float | None = None
    # Threads of numerical libraries in a session; 0 lets them have all cores, None a slot's share.
    math_threads: int | None = None
    # Workers that are being started and have not joined yet.
    expected: tuple[WorkerFacts, ...] = ()
    # How its fleet gets others, and what a command that a person types next needs, " --state DIR".
    mend: Mend = Mend.OWN
    flags: str = ""
    # Ids that run before all others.
    first: frozenset[str] = frozenset()
    # Whether the fleet has a worker that is starting.
    is_coming: Callable[[], bool] = field(default=lambda: False)
    # Whether somebody took the fleet down.
    is_down: Callable[[], bool] = field(default=lambda: False)
    # The project's files, for workers that do not have them.
    shipment: Shipment | None = None
    # Whether a case is quarantined: it runs and is reported, but cannot fail the campaign.
    is_muted: Callable[[str], bool] = field(default=lambda case: False)
    # Pytest sessions are started as soon as a worker is there; task lists have none.
    warm: bool = True
    # Sessions that were asked to start before Dask could be spoken to, by their slots.
    numbers: Mapping[Slot, int] = field(default_factory=dict[Slot, int])
    # Seconds each file took to import and collect, as runners reported.
    collect_seconds: dict[str, float] = field(default_factory=dict[str, float])
    # What the collecting runner said of itself, and the order pytest settled on.
    hello: Mapping[str, Any] = field(default_factory=dict[str, Any])
    collected_order: tuple[str, ...] = ()

    @property
    def goes_on_after_errors(self) -> bool:
        """Whether files that cannot be collected fail alone: --continue-on-collection-errors."""
        return bool(self.hello.get("continue_on_collection_errors"))
