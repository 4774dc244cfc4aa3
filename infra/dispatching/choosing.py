"""Which cases a free slot gets next: long ones first, then the file it is warm for.

Long cases left for the end keep one slot busy while the others idle, so they go first. The rest
goes by files, the largest first, each to one slot that stays with it: importing it and setting
its fixtures up again elsewhere costs time, and is done only when a slot would idle.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import NamedTuple, Protocol

from ..records import Case, CaseKind, Requirements
from .balance import PROBE_SECONDS, Balance
from .batches import Slot
from .durations import Durations
from .lanes import MOST_CASES, Group, Lane
from .pace import LEAST_SECONDS
from .state import WorkerState

# A round trip through Dask costs about 11 ms: two seconds make that half a percent, and cost at
# most two seconds when the batch has to be given back.
LONGEST_BATCH_SECONDS = 2.0
SHORTEST_BATCH_SECONDS = 0.15
# What a batch did not reach by then comes back. Predictions are half of the time too low: without
# some slack every other batch would leave its last case behind for one more round trip.
BUDGET_SLACK = 1.5


class Choice(NamedTuple):
    """Cases for one batch, taken out of their lane."""

    cases: list[Case]
    budget_seconds: float | None
    why: str


def not_begun(first: Case) -> str:
    """Why it is its turn; a task is a group of its own, and in no file."""
    return f"the largest {'file' if first.kind is CaseKind.PYTEST else 'task'} not begun"


class Chooser(Protocol):
    """Chooses cases for slots."""

    def fleet_changed(self) -> None:
        """Workers came or went."""
        ...

    def choose(
        self, lane: Lane, slot: Slot, worker: WorkerState, now: float = 0.0
    ) -> Choice | None:
        """The next cases of a lane for a free slot; None when idling is better."""
        ...

    def would_take(self, lane: Lane, worker: WorkerState, now: float) -> bool:
        """Whether the worker is to have what the lane gives first, once it has room."""
        ...


class ByWork:
    """Chooses by what waits, what the slots have loaded and how long things are said to take."""

    def __init__(
        self, workers: Mapping[str, WorkerState], durations: Durations, balance: Balance
    ) -> None:
        self._workers = workers
        self._durations = durations
        self._balance = balance
        # Both are asked for each batch: with a thousand workers neither may look at all of them.
        self._rooms: dict[Requirements, int] = {}
        self._warm_for: dict[str, set[Slot]] = {}
        # How far each slot came in a file of another's, and what it was sent of it last.
        self._joined: dict[Slot, tuple[int, list[int]]] = {}

    def fleet_changed(self) -> None:
        """Workers came or went: what there is room for must be counted again."""
        self._rooms.clear()
        self._balance.fleet_changed()

    def choose(
        self, lane: Lane, slot: Slot, worker: WorkerState, now: float = 0.0
    ) -> Choice | None:
        """The next cases of a lane for a free slot; None when idling is better."""
        room = max(1, self._room(lane.needs))
        pace = self._durations.pace
        work, slowness = lane.work * pace.of_all, pace.of(slot.worker)
        seconds_there = min(LONGEST_BATCH_SECONDS, max(SHORTEST_BATCH_SECONDS, work / (3 * room)))
        # So much of what is usual fits in.
        target = seconds_there / slowness
        if lane.solo:
            return Choice([lane.take_solo()], None, "it runs alone: it was lost or failed before")
        # A case this long, left for the end, would keep one slot busy while the others idle.
        longest = lane.longest()
        if longest is not None:
            seconds, case = longest
            most = self._balance.most_for(lane, worker, now)
            if seconds > most:
                return self._spared(lane, slot, worker, target, most)
            if seconds > PROBE_SECONDS and self._balance.is_unknown(worker):
                # Of the shortest the runner takes more than the machine: they tell nothing.
                probe = self._those_of(
                    lane, slot, worker, PROBE_SECONDS, least=LEAST_SECONDS, most=PROBE_SECONDS
                )
                if probe:
                    return Choice(probe, None, "short cases first: how fast its machine is")
            too_long = max(2 * target, lane.work / (8 * room))
            if seconds >= too_long and self._durations.warm_up(case.group) < seconds / 4:
                lane.take(case)
                told = f"long cases go first ({seconds * slowness:.1f} s predicted)"
                return Choice([case], None, told)
        budget = seconds_there * BUDGET_SLACK
        warm = lane.groups.get(worker.warm.get(slot.number, ""))
        if warm is not None and warm.waiting:
            cases = self._filled_up(lane, slot, worker, lane.take_front(warm, target), target)
            return Choice(cases, budget, "the slot is warm for its file")
        fresh = lane.largest_untouched()
        if fresh is not None:
            self._warm(slot, worker, fresh.name)
            cases = self._filled_up(lane, slot, worker, lane.take_front(fresh, target), target)
            return Choice(cases, budget, not_begun(cases[0]))
        return self._join(lane, slot, target, seconds_there)

    def would_take(self, lane: Lane, worker: WorkerState, now: float) -> bool:
        """Whether the worker is to have what the lane gives first, once it has room."""
        longest = None if lane.solo else lane.longest()
        return longest is None or longest[0] <= self._balance.most_for(lane, worker, now)

    def _spared(
        self, lane: Lane, slot: Slot, worker: WorkerState, target: float, most: float
    ) -> Choice | None:
        """What a slow worker can take while the longest cases wait for a faster one."""
        cases = self._those_of(lane, slot, worker, target, least=0.0, most=most)
        return Choice(cases, None, "the longest cases are for faster workers") if cases else None

    def _those_of(
        self,
        lane: Lane,
        slot: Slot,
        worker: WorkerState,
        target: float,
        *,
        least: float,
        most: float,
    ) -> list[Case]:
        """The next cases of a group that take so long, of its own group if that has any."""
        if self._balance.is_known_barren(lane, least, most):
            # A thousand idle slots need not all look through all that waits.
            return []

        def is_other(seconds: float) -> bool:
            return not least <= seconds <= most

        warm = worker.warm.get(slot.number, "")
        for group in sorted(lane.groups.values(), key=lambda group: group.name != warm):
            cases = lane.take_front(group, target, unless=is_other) if group.waiting else []
            if cases:
                self._warm(slot, worker, group.name)
                return cases
        self._balance.barren(lane, least, most)
        return []

    def _filled_up(
        self, lane: Lane, slot: Slot, worker: WorkerState, cases: list[Case], target: float
    ) -> list[Case]:
        """Add whole files while there is time for them: a round trip for each small one costs more.

        networkx has 232 files of a third of a second: a batch each took 3 % of all slots' time.
        """
        loaded = worker.loaded.get(slot.number, set[str]())
        left = target - sum(map(self._durations.estimate, cases))
        if cases[0].group not in loaded:
            left -= self._durations.warm_up(cases[0].group)
        while not lane.groups[cases[-1].group].waiting:
            group = lane.largest_untouched()
            if group is None or len(cases) + len(group.waiting) > MOST_CASES:
                break
            left -= group.work(self._durations)
            if group.name not in loaded:
                left -= self._durations.warm_up(group.name)
            if left < 0:
                break
            self._warm(slot, worker, group.name)
            cases = [*cases, *lane.take_front(group, target)]
        return cases

    def _join(self, lane: Lane, slot: Slot, target: float, budget: float) -> Choice | None:
        """Help with the largest group another slot has begun, if that pays for warming up."""
        group = max(lane.begun_groups(), key=lambda g: g.work(self._durations), default=None)
        if group is None:
            return None
        work = group.work(self._durations)
        owned = self._is_owned(group)
        loaded = self._workers[slot.worker].loaded.get(slot.number, set[str]())
        warm_up = 0.0 if group.name in loaded else self._durations.warm_up(group.name)
        if owned and work <= warm_up + SHORTEST_BATCH_SECONDS:
            return None
        if owned:
            after, sent = self._joined.get(slot, (-1, []))
            # What came back of that is next: passed over, it would be run after what follows it.
            after = max((index for index in sent if index not in group.waiting), default=after)
            cases = lane.take_onward(group, min(target, work / 2), after=after)
            self._joined[slot] = after, [case.index for case in cases]
        else:
            cases = lane.take_front(group, target)
        cases = self._with_rests(lane, loaded, cases, target)
        return Choice(cases, budget, "it joins the largest file begun")

    def _with_rests(
        self, lane: Lane, loaded: Container[str], cases: list[Case], target: float
    ) -> list[Case]:
        """Add what is left of other files that nobody works on, while there is time for it.

        Batches that took longer than foreseen leave dozens of files behind, begun or only meant
        to be: one round trip for each took longer than all their cases.
        """
        left = target - sum(map(self._durations.estimate, cases))
        for group in list(lane.begun_groups()):
            cost = group.work(self._durations)
            if group.name not in loaded:
                cost += self._durations.warm_up(group.name)
            if cost <= left and not self._is_owned(group):
                if len(cases) + len(group.waiting) > MOST_CASES:
                    break
                left -= cost
                cases = [*cases, *lane.take_front(group, target)]
        return cases

    def _warm(self, slot: Slot, worker: WorkerState, group: str) -> None:
        former = worker.warm.get(slot.number, "")
        self._warm_for.get(former, set()).discard(slot)
        worker.warm[slot.number] = group
        self._warm_for.setdefault(group, set()).add(slot)

    def _is_owned(self, group: Group) -> bool:
        """Whether some slot is about to take the group's next cases."""
        for slot in self._warm_for.get(group.name, ()):
            worker = self._workers.get(slot.worker)
            # Gone, or back as another life that is not warm for anything.
            if worker is None or worker.warm.get(slot.number) != group.name:
                continue
            flight = worker.flights.get(slot.number)
            if flight is not None and not flight.stopping:
                return True
        return False

    def _room(self, needs: Requirements) -> int:
        room = self._rooms.get(needs)
        if room is None:
            room = sum(w.facts.slots for w in self._workers.values() if w.can_ever(needs))
            self._rooms[needs] = room
        return room
