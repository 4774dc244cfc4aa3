"""Cases that run long, and what idle slots can do for them.

What waits behind one in its batch goes elsewhere, and a case that takes far longer than predicted,
or that a faster worker would end sooner, is begun a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..records import Case
from .balance import RECLAIM_SECONDS, Balance
from .batches import Batch, Files, Move, Slot
from .durations import Durations
from .state import Flight, WorkerState
from .tallies import Tallies

# A free slot and its worker.
Idle = tuple[Slot, WorkerState]


class Stuck(NamedTuple):
    """Cases that wait in a batch behind one that runs long, while somebody idles."""

    flight: Flight
    cases: list[Case]
    why: str


class Again(NamedTuple):
    """A case that is to run on an idle slot beside its first execution."""

    flight: Flight
    case: Case
    slot: Slot
    worker: WorkerState
    why: str

    def batch(self, name: str, files: Files) -> Batch:
        """The batch of that name that runs it."""
        first = self.flight.batch
        move = Move(
            cases=(self.case.index,), batch=first.id, worker=first.slot.worker, why=self.why
        )
        return Batch(
            id=name,
            slot=self.slot,
            cases=(self.case,),
            budget_seconds=None,
            finishes=(),
            why=self.why,
            files=files,
            hedge=True,
            moves=(move,),
        )


class Stragglers:
    """Knows which cases run twice."""

    def __init__(
        self,
        flights: Mapping[str, Flight],
        tallies: Tallies,
        durations: Durations,
        balance: Balance,
    ) -> None:
        self._flights = flights
        self._tallies = tallies
        self._durations = durations
        self._balance = balance
        # By case: the batches that run it at the same time.
        self._twins: dict[int, set[str]] = {}

    def look(self, idle: list[Idle], now: float, *, hedge: bool) -> Iterator[Stuck | Again]:
        """What the idle slots are good for; each second execution takes one of them."""
        for flight in list(self._flights.values()):
            if flight.running is None or flight.stopping or flight.batch.hedge:
                continue
            elapsed = now - flight.running_since
            unreached = [case for index, case in flight.open.items() if index != flight.running]
            if unreached and elapsed > RECLAIM_SECONDS:
                if any(worker.can_now(unreached[0].needs) for _, worker in idle):
                    why = f"it waited behind a case that has run for {elapsed:.1f} s"
                    yield Stuck(flight, unreached, why)
            elif hedge and idle:
                again = self._again(flight, flight.open[flight.running], elapsed, idle)
                if again is not None:
                    idle.remove((again.slot, again.worker))
                    yield again

    def sent(self, again: Again, batch: Batch) -> None:
        """The case runs twice from now on."""
        self._twins[again.case.index] = {again.flight.batch.id, batch.id}

    def others(self, case: Case, batch: str) -> Iterator[Flight]:
        """Who else runs a case that a batch told the result of; asked once."""
        for name in self._twins.pop(case.index, set[str]()) - {batch}:
            flight = self._flights.get(name)
            if flight is not None and case.index in flight.open:
                yield flight

    def _again(self, flight: Flight, case: Case, elapsed: float, idle: list[Idle]) -> Again | None:
        usual = self._durations.known(case)
        if usual is None or self._twins.get(case.index) or self._tallies.is_settled(case):
            return None
        # Another worker if there is one: the straggler's own may be what is slow.
        able = [pair for pair in idle if pair[1].can_now(case.needs)]
        able.sort(key=lambda pair: pair[0].worker == flight.batch.slot.worker)
        if not able:
            return None
        slot, worker = able[0]
        why = self._balance.why_again(flight, case, usual, elapsed, slot, worker)
        return Again(flight, case, slot, worker, why) if why else None
