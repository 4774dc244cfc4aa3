"""What campaigns on a virtual clock are told: cases, workers, and what happens to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from proctor.infra.dispatching.batches import Rules
from proctor.infra.records import Case, WorkerFacts

BEGAN = 1_800_000_000.0
ONE_RETRY = Rules(retries=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What there is to run, on what, and what happens meanwhile."""

    name: str
    cases: Sequence[Case]
    workers: Sequence[WorkerFacts]
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    # By case: one outcome an execution, the last one for all that follow.
    outcomes: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    # Cases whose wider fixture fails in its teardown, after they had passed.
    late: frozenset[str] = frozenset()
    # Cases of which nobody tells the duration in advance are guessed.
    known: bool = True
    rules: Rules = ONE_RETRY
    # Seconds from the beginning to a worker that is killed, or frozen for some seconds.
    kills: Sequence[tuple[float, str]] = ()
    freezes: Sequence[tuple[float, str, float]] = ()
    # Workers that nobody expected, and when they join.
    joins: Sequence[tuple[float, WorkerFacts]] = ()
    # When the campaign's process is killed; who comes after it goes on.
    deaths: Sequence[float] = ()
    # It has ended, and somebody resumes it to run what it could not.
    again: bool = False
    # Lines that the dead writer still writes when another has taken over.
    zombie: bool = False
    # Every message arrives twice.
    twice: bool = False
    muted: frozenset[str] = frozenset()
    # Its faults cost more than the campaign's budget: verdicts are not those of a calm day.
    lossy: bool = False


class VirtualClock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = BEGAN

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - BEGAN + 1000.0


def without_faults(play: Play) -> Play:
    """The same campaign on a day when nothing breaks."""
    return replace(play, name=f"{play.name}-calm", kills=(), freezes=(), deaths=(), zombie=False)


def worker(name: str, **fields: Any) -> WorkerFacts:
    values: dict[str, Any] = {"slots": 2, "cpu": 2.0, "memory_bytes": 8 << 30, **fields}
    return WorkerFacts(name=name, incarnation=f"{name}-life-0", worker_class="cpu", **values)


def cases(number: int, *, files: int = 4, **fields: Any) -> list[Case]:
    """Cases of a few files, in collection order."""
    each = max(1, number // files)
    return [
        Case(
            id=f"test_{index // each}.py::test_{index}",
            group=f"test_{index // each}.py",
            index=index,
            **fields,
        )
        for index in range(number)
    ]
