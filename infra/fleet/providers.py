"""Who starts and ends workers: the four verbs every provider has, and what they promise.

A provider only does what it is told; how many workers of which class there should be is decided
elsewhere, from what `observe` says. All verbs return soon: a launch has begun when it returns, a
drain and a stop have been asked for. What became of them `observe` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ..errors import InfrastructureProblem
from ..records import WorkerFacts
from ..worker_classes import WorkerClass


class ProviderProblem(InfrastructureProblem):
    """A worker could not be launched: no quota, no process, no engine."""


class Phase(StrEnum):
    """Where in its life a worker is."""

    # Launched, not yet registered with the scheduler. It counts as there: another would be one
    # too many.
    STARTING = "starting"
    # Registered.
    RUNNING = "running"
    # Asked to leave; it takes nothing new and finishes what it has.
    DRAINING = "draining"
    # Gone. Stays in view, with the reason, until its name is launched or stopped.
    ENDED = "ended"
    # Kept itself out: its self-test failed.
    REFUSED = "refused"

    @property
    def is_there(self) -> bool:
        """Whether it takes up room, or soon will."""
        return self in {Phase.STARTING, Phase.RUNNING, Phase.DRAINING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One worker as its provider sees it."""

    name: str
    worker_class: str
    phase: Phase
    # When it entered this life, by the wall clock.
    since: float
    # Process, container or run, for people.
    place: str = ""
    # Why it ended or was refused.
    reason: str = ""


class Provider(Protocol):
    """Starts and ends workers in one kind of place.

    Launching a name that is there, and draining or stopping one that is not, do nothing.
    """

    def observe(self) -> Sequence[Instance]:
        """All workers it has launched, by name."""
        ...

    def launch(self, facts: WorkerFacts, worker_class: WorkerClass) -> None:
        """Start a worker; raises ProviderProblem or BadSetting, and then nothing is started."""
        ...

    def drain(self, name: str) -> None:
        """Have it finish what it runs, within the provider's deadline, and end."""
        ...

    def stop(self, name: str) -> None:
        """End it now, whatever it does; forget it if it has ended."""
        ...
