"""What a campaign hears of its fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..records import WorkerFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Records a worker streamed."""

    messages: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A worker can take batches now."""

    facts: WorkerFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """A worker finishes what it runs and then leaves: it takes nothing more."""

    worker: str
    incarnation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A worker is gone, or a new life of it has taken its place."""

    worker: str
    incarnation: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A batch is over; `failure` says why when the worker could not tell."""

    batch: str
    result: dict[str, Any]
    failure: str = ""


Happening = Messages | Joined | Draining | Left | Ended
