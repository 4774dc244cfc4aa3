"""What unequal workers are good for: long cases wait for fast ones, if that ends sooner.

A case that takes ten seconds on a usual worker and forty on a slow one makes the campaign wait
for it when the slow one takes it last. Where workers are about equally fast, nothing here acts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from math import inf, log
from typing import NamedTuple

from ..records import Case, Requirements
from .batches import Slot
from .durations import Durations, machine_of
from .lanes import Lane
from .state import Flight, WorkerState
from .work_left import left_of

# Less than this apart, workers count as equally fast: paces are measured to some percent.
APART = 1.3
# What nobody would notice is not worth an idle slot.
WORTH_SECONDS = 0.5
# A case that runs is begun anew elsewhere if that takes so many times less than what it has left:
# two executions cost twice.
MOVE_FACTOR = 1.5
MOVE_SECONDS = 1.0
# A straggler is hedged when it has taken so many times what was predicted, and at least so long.
STRAGGLER_FACTOR = 2.0
STRAGGLER_SECONDS = 5.0
# Unreached cases behind a case that runs so long move to an idle slot.
RECLAIM_SECONDS = 0.5
# Paces change slowly, and a thousand workers are not looked at for each batch.
_FRESH_SECONDS = 0.5
# Of an unknown machine among others: after so many cases it is known well enough for long ones.
PROBES = 4
PROBE_SECONDS = 0.3
# And after so many that told nothing, too short or never seen before, it is taken for usual.
MOST_TRIED = 16


class _Able(NamedTuple):
    """The workers that could run what needs the same."""

    # The pace of the fastest, and nominal seconds that all of them do in one.
    best: float
    capacity: float


class _Waits(NamedTuple):
    """When slots become free: ascending paces, and how long until one that fast is free."""

    paces: list[float]
    seconds: list[float]


class Balance:
    """Knows which workers are how fast."""

    def __init__(self, workers: Mapping[str, WorkerState], durations: Durations) -> None:
        self._workers = workers
        self._durations = durations
        self._looked = float("-inf")
        self._paces: dict[str, float] = {}
        self._fastest = 1.0
        self._able: dict[Requirements, _Able] = {}
        # In one decision all slots ask the same, and those that are faster have been filled by
        # then: by what is needed, and by the rank of who asks.
        self._waits: dict[tuple[Requirements, int], _Waits] = {}
        # No case waits that takes from so long (in the key) to so long, in this decision.
        self._barren: dict[tuple[Requirements, float], float] = {}
        self._works = False
        self._alike = True
        # Names that more than one machine has: what is known by them is of all of these.
        self._namesakes = frozenset[str]()
        self.is_even = True

    def fleet_changed(self) -> None:
        self._looked = float("-inf")

    def look(self, now: float) -> None:
        """Take in how fast they are by now; at the beginning of each decision."""
        self.forget_waits()
        self._barren.clear()
        self._works = False
        if now < self._looked + _FRESH_SECONDS:
            return
        self._looked = now
        self._able.clear()
        machines = {(machine_of(each.facts), each.facts.machine) for each in self._workers.values()}
        self._alike = len(machines) < 2
        names = Counter(name for name, _ in machines)
        self._namesakes = frozenset(name for name, number in names.items() if number > 1)
        pace = self._durations.pace
        self._paces = {name: pace.of(name) for name in self._workers}
        values = self._paces.values()
        self._fastest = min(values, default=1.0)
        self.is_even = not values or max(values) < APART * self._fastest

    def forget_waits(self) -> None:
        """From here on slots are filled: who was free before is not for long."""
        self._waits.clear()

    def is_unknown(self, worker: WorkerState) -> bool:
        """Whether its machine is another than others' and nobody knows how fast it is."""
        name, pace = worker.facts.name, self._durations.pace
        if self._alike or pace.seen(name) >= PROBES or pace.tried[name] >= MOST_TRIED:
            return False
        machine = machine_of(worker.facts)
        return machine in self._namesakes or machine not in self._durations.predicted.speeds

    def rank(self, worker: str) -> int:
        """0 for the fastest and those that are about as fast: free slots are filled in order."""
        if self.is_even:
            return 0
        pace = self._paces.get(worker, self._fastest)
        return round(log(pace / self._fastest) / log(APART))

    def most_for(self, lane: Lane, worker: WorkerState, now: float) -> float:
        """A case of more usual seconds than this had better wait for a faster worker.

        It waits for no longer than that saves: whatever keeps the fast ones, somebody takes it.
        """
        if self.is_even:
            return inf
        here = self._durations.pace.of(worker.facts.name)
        able = self._those_able(lane.needs)
        if here < APART * able.best or not able.capacity:
            return inf
        self._works = self._works or any(each.flights for each in self._workers.values())
        if not self._works:
            # Those who are faster have something else to do, and nobody knows for how long.
            return inf
        waits = max(
            WORTH_SECONDS,
            now - lane.served_at,
            self._until_free(lane.needs, worker.facts.name, now),
        )
        # All that waits, shared by all: whoever is done by then holds up nobody.
        shared = lane.work / able.capacity
        return max(waits / (here - able.best), shared / here)

    def is_known_barren(self, lane: Lane, least: float, most: float) -> bool:
        """Whether it was found in this decision that no case of such a length waits."""
        return most <= self._barren.get((lane.needs, least), -inf)

    def barren(self, lane: Lane, least: float, most: float) -> None:
        """No case waits that takes from so many usual seconds to so many."""
        self._barren[lane.needs, least] = most

    def why_again(
        self,
        flight: Flight,
        case: Case,
        usual: float,
        elapsed: float,
        slot: Slot,
        worker: WorkerState,
    ) -> str:
        """Why a case that runs is to be begun anew on an idle slot; empty if it is not."""
        pace, now_on = self._durations.pace, flight.batch.slot.worker
        here, there = pace.of(now_on), pace.of(slot.worker)
        predicted = usual * here
        if elapsed >= max(STRAGGLER_SECONDS, STRAGGLER_FACTOR * predicted):
            return f"a second try beside a straggler ({elapsed:.1f} s, {predicted:.1f} s predicted)"
        if self.is_even or slot.worker == now_on or here < APART * there:
            return ""
        anew = usual * there
        if case.group not in worker.loaded.get(slot.number, set[str]()):
            anew += self._durations.warm_up(case.group)
        left = predicted - elapsed
        if elapsed < RECLAIM_SECONDS or left < MOVE_FACTOR * anew + MOVE_SECONDS:
            return ""
        return (
            f"a faster worker ends it sooner ({anew:.1f} s, where {now_on} would take "
            f"{left:.1f} s more)"
        )

    def _those_able(self, needs: Requirements) -> _Able:
        found = self._able.get(needs)
        if found is None:
            there = [
                (self._durations.pace.of(name), worker.facts.slots)
                for name, worker in self._workers.items()
                if not worker.draining and worker.can_ever(needs)
            ]
            found = self._able[needs] = _Able(
                best=min((each for each, _ in there), default=1.0),
                capacity=sum(slots / each for each, slots in there),
            )
        return found

    def _until_free(self, needs: Requirements, worker: str, now: float) -> float:
        """Seconds until a slot of a worker faster than this one is free; none if there is one."""
        key = needs, self.rank(worker)
        waits = self._waits.get(key)
        if waits is None:
            waits = self._waits[key] = self._look_for_waits(needs, now)
        faster = bisect_right(waits.paces, self._durations.pace.of(worker) / APART)
        return waits.seconds[faster - 1] if faster else 0.0

    def _look_for_waits(self, needs: Requirements, now: float) -> _Waits:
        found = sorted(
            (self._durations.pace.of(name), seconds)
            for name, worker in self._workers.items()
            if not worker.draining and worker.can_ever(needs)
            for seconds in self._free_in(worker, needs, now)
        )
        return _Waits(
            [pace for pace, _ in found], list(accumulate((each for _, each in found), min))
        )

    def _free_in(self, worker: WorkerState, needs: Requirements, now: float) -> list[float]:
        if worker.free_slots() and worker.can_now(needs):
            return [0.0]
        return [left_of(flight, self._durations, now)[0] for flight in worker.flights.values()]
