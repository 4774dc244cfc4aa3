"""What the dispatcher remembers of batches in flight, of workers and of cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..records import Case, Outcome, Requirements, WorkerFacts
from .batches import Batch, Move


@dataclass(slots=True)
class Flight:
    """A batch on a slot."""

    batch: Batch
    sent_at: float
    # Index to case, for those that neither finished nor went back.
    open: dict[int, Case]
    running: int | None = None
    running_since: float = 0.0
    stopping: bool = False


@dataclass(slots=True)
class Machine:
    """Memory that several workers have together, though each may offer all of it."""

    memory: float
    used: float = 0.0

    @property
    def free(self) -> float:
        return self.memory - self.used


@dataclass(slots=True)
class Machines:
    """What the workers of each share. Of a worker that nobody measured nothing is known."""

    _known: dict[str, Machine] = field(default_factory=dict[str, Machine])

    def of(self, facts: WorkerFacts) -> Machine | None:
        if not facts.place or not facts.machine_memory_bytes:
            return None
        # A class may say that there is more than was measured: what it says is to be had.
        memory = float(max(facts.machine_memory_bytes, facts.memory_bytes))
        machine = self._known.setdefault(facts.place, Machine(memory))
        machine.memory = max(machine.memory, memory)
        return machine


@dataclass(slots=True)
class WorkerState:
    """What the dispatcher knows of a worker: what it has left, runs and has loaded."""

    facts: WorkerFacts
    free_cpu: float
    free_memory: float
    free_gpu: float
    machine: Machine | None = None
    flights: dict[int, Flight] = field(default_factory=dict[int, Flight])
    # By slot: the group it works on, and those its session has loaded.
    warm: dict[int, str] = field(default_factory=dict[int, str])
    loaded: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    # By slot: of which needs its session was told all files, and how many they were.
    told_files: dict[int, set[tuple[Requirements, int]]] = field(
        default_factory=dict[int, set[tuple[Requirements, int]]]
    )
    # Held empty for a wide case that no free slot could take.
    held_for: Requirements | None = None
    draining: bool = False
    # The how-manieth to join: free slots are filled in that order.
    joined: int = 0
    # Slots that collect instead of running batches.
    occupied: set[int] = field(default_factory=set[int])
    # Slots whose session is being started, and since when: what they are given waits for it.
    starting: dict[int, float] = field(default_factory=dict[int, float])
    # Slots whose session died and starts with the next batch; since when, once somebody looked.
    cold: dict[int, float | None] = field(default_factory=dict[int, float | None])

    def free_slots(self) -> list[int]:
        taken = self.flights.keys() | self.occupied
        return [number for number in range(self.facts.slots) if number not in taken]

    def reserve(self, needs: Requirements, sign: int) -> None:
        self.free_cpu -= sign * needs.cpu
        self.free_memory -= sign * needs.memory_bytes
        self.free_gpu -= sign * needs.gpu
        if self.machine is not None:
            self.machine.used += sign * needs.memory_bytes

    def _has_memory(self, wanted: float) -> bool:
        """Whether it and its machine have that much left."""
        # What needs none is held up by nobody.
        shared = self.machine.free if self.machine is not None else wanted
        return wanted <= self.free_memory and (wanted <= 0 or wanted <= shared)

    def can_ever(self, needs: Requirements) -> bool:
        facts = self.facts
        return (
            needs.cpu <= facts.cpu
            and needs.memory_bytes <= facts.memory_bytes
            and needs.gpu <= facts.gpu
            and needs.tags <= facts.tags
        )

    def can_now(self, needs: Requirements) -> bool:
        return (
            not self.draining
            and self.can_ever(needs)
            and needs.cpu <= self.free_cpu + 1e-9
            and self._has_memory(needs.memory_bytes)
            and needs.gpu <= self.free_gpu + 1e-9
        )

    def can_after(self, freed: Requirements, needs: Requirements) -> bool:
        """Whether it can once something else has given back what it needs."""
        return (
            self.can_ever(needs)
            and needs.cpu <= self.free_cpu + freed.cpu + 1e-9
            and self._has_memory(needs.memory_bytes - freed.memory_bytes)
            and needs.gpu <= self.free_gpu + freed.gpu + 1e-9
        )


@dataclass(slots=True)
class Taken:
    """Cases that were taken out of a batch before their turn, until they go out with another."""

    # By case: the batch, its worker, and why.
    _from: dict[int, tuple[str, str, str]] = field(default_factory=dict[int, tuple[str, str, str]])

    def note(self, cases: Iterable[Case], batch: Batch, why: str) -> None:
        self._from.update((case.index, (batch.id, batch.slot.worker, why)) for case in cases)

    def moves(self, cases: Iterable[Case]) -> tuple[Move, ...]:
        """Which of the cases come from another batch; told once."""
        if not self._from:
            return ()
        by_batch: dict[tuple[str, str, str], list[int]] = {}
        for case in cases:
            taken = self._from.pop(case.index, None)
            if taken is not None:
                by_batch.setdefault(taken, []).append(case.index)
        return tuple(
            Move(cases=tuple(indexes), batch=batch, worker=worker, why=why)
            for (batch, worker, why), indexes in by_batch.items()
        )


@dataclass(slots=True)
class Tally:
    """How a case has fared so far."""

    passed: bool = False
    failures: int = 0
    losses: int = 0
    # Batches it was the first of, and that ended without a word of any of their cases.
    in_vain: int = 0
    settled: bool = False
    # The newest outcome until it was settled: the one that did.
    last: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What is left to do of the cases that need the same of a worker."""

    needs: Requirements
    # Predicted seconds of what waits, and of what runs has left.
    work_seconds: float
    waiting: int
    running: int
    # The longest case that waits or runs: adding workers makes nothing end sooner than that.
    longest_seconds: float
