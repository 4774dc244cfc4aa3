"""What a campaign is asked to do: everything the engine needs, resolved and validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .batches import Rules
from .orders import RunnerSettings
from .timings import Timings


@dataclass(slots=True, kw_only=True)
class Job:
    """One campaign's orders to the engine."""

    campaign: str
    # Where its ledger stands, and where its project's memory does.
    directory: Path
    project: Path
    runner: RunnerSettings
    rules: Rules
    timings: Timings
    timeout_seconds: float
    # Per slot; 0 shares a worker's memory out among its slots.
    memory_limit_bytes: int = 0
    # Unix time after which the campaign is cancelled.
    deadline_at: float | None = None
    # Ids that run before all others.
    first: frozenset[str] = frozenset()
    # What the collecting runner said of itself, and the order pytest settled on.
    hello: Mapping[str, Any] = field(default_factory=dict[str, Any])
    collected_order: tuple[str, ...] = ()
