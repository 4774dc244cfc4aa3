"""Cases that wait: one lane per resource vector, and in it the groups that share warm state.

A lane answers three questions in about constant time, whatever its size: which case is too long
to be left for the end, which untouched group is the largest, and what comes next in a group.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from ..records import Case, Requirements
from .durations import Durations

# A batch never holds more cases than this, however short they are: what a dying worker returns
# and what a message carries stay small.
MOST_CASES = 2000


@dataclass(slots=True)
class Group:
    """Waiting cases of one group, in collection order."""

    name: str
    # Case index to its case; a dict because cases leave from both ends and from the middle.
    waiting: dict[int, Case] = field(default_factory=dict[int, Case])
    known_seconds: float = 0.0
    unknown: int = 0
    # Some slot has begun on it.
    begun: bool = False

    def work(self, durations: Durations) -> float:
        if not self.unknown:
            return self.known_seconds
        some_case = next(iter(self.waiting.values()))
        return self.known_seconds + self.unknown * durations.estimate(some_case)


class Lane:
    """Waiting cases that need the same of a worker."""

    def __init__(self, needs: Requirements, durations: Durations) -> None:
        self.needs = needs
        self.groups: dict[str, Group] = {}
        # Cases to run alone: they failed before, or were running when a worker died.
        self.solo: deque[Case] = deque()
        # When a free slot last took from it, or it was filled; for ageing.
        self.served_at = 0.0
        self._durations = durations
        self._longest: list[tuple[float, int]] = []
        self._by_index: dict[int, Case] = {}
        self._begun: dict[str, Group] = {}
        self._untouched: list[tuple[float, int, str]] = []
        self._known_seconds = 0.0
        self._unknown = 0
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def work(self) -> float:
        """Predicted seconds of everything that waits here."""
        return self._known_seconds + self._unknown * self._durations.typical()

    def cases(self) -> Iterator[Case]:
        yield from self.solo
        for group in self.groups.values():
            yield from group.waiting.values()

    def add(self, cases: Iterable[Case]) -> None:
        """Take in cases; those of a group arrive in collection order."""
        touched: dict[str, Group] = {}
        for case in cases:
            group = self.groups.setdefault(case.group, Group(name=case.group))
            touched[case.group] = group
            group.waiting[case.index] = case
            self._account(group, case, 1)
        for group in touched.values():
            if group.begun:
                # It grew while collection went on, after some slot had taken all it had.
                self._begin(group)
            else:
                self._remember_untouched(group)

    def give_back(self, cases: Iterable[Case]) -> None:
        """Return cases a batch did not reach to the front of their groups."""
        returned: dict[str, list[Case]] = {}
        for case in cases:
            returned.setdefault(case.group, []).append(case)
        for name, back in returned.items():
            group = self.groups.setdefault(name, Group(name=name))
            fresh = [case for case in back if case.index not in group.waiting]
            merged = sorted((*fresh, *group.waiting.values()), key=lambda case: case.index)
            group.waiting = {case.index: case for case in merged}
            for case in fresh:
                self._account(group, case, 1)
            self._begin(group)

    def add_solo(self, case: Case) -> None:
        self.solo.append(case)
        self._count(case, 1)

    def put_first(self, case: Case) -> None:
        """Of those that run alone it is the next, if it is one of them."""
        if case in self.solo:
            self.solo.remove(case)
            self.solo.appendleft(case)

    def take_solo(self) -> Case:
        case = self.solo.popleft()
        self._count(case, -1)
        return case

    def longest(self) -> tuple[float, Case] | None:
        """The case with the longest known duration, while it waits."""
        while self._longest:
            seconds, index = self._longest[0]
            case = self._find(index)
            if case is not None:
                return -seconds, case
            heapq.heappop(self._longest)
        return None

    def take(self, case: Case) -> None:
        """Take one case out of its group."""
        group = self.groups[case.group]
        self._remove(group, case)

    def discard(self, case: Case) -> None:
        """Take a case out wherever it waits, if it does."""
        group = self.groups.get(case.group)
        if group is not None and case.index in group.waiting:
            self._remove(group, case)
        elif case in self.solo:
            self.solo.remove(case)
            self._count(case, -1)

    def largest_untouched(self) -> Group | None:
        """The group with the most work that no slot has begun, longest first."""
        while self._untouched:
            _, _, name = self._untouched[0]
            group = self.groups.get(name)
            if group is not None and not group.begun and group.waiting:
                return group
            heapq.heappop(self._untouched)
        return None

    def begun_groups(self) -> Iterator[Group]:
        """Groups that some slot works on and that still have cases waiting."""
        return (group for group in self._begun.values() if group.waiting)

    def take_front(
        self, group: Group, seconds: float, *, unless: Callable[[float], bool] | None = None
    ) -> list[Case]:
        """The next cases of a group, in order, up to the seconds; always one.

        None of those of which `unless` says, by what they take, that they are for others.
        """
        waiting = group.waiting.values()
        if unless is not None:
            estimate = self._durations.estimate
            waiting = [case for case in waiting if not unless(estimate(case))]
            if not waiting:
                return []
        self._begin(group)
        return self._take(group, waiting, seconds)

    def take_onward(self, group: Group, seconds: float, *, after: int) -> list[Case]:
        """The next cases of a group's second half, up to the seconds: for a slot that joins in.

        Behind the case of that index, if the slot has begun there already. So a file is cut at
        one place only, and both parts keep their order: what a case costs may depend on those
        before it, whose caches it finds filled.
        """
        self._begin(group)
        half = group.work(self._durations) / 2
        second: list[Case] = []
        for case in islice(reversed(group.waiting.values()), MOST_CASES):
            half -= self._durations.estimate(case)
            if second and half < 0:
                break
            second.append(case)
        second.reverse()
        onward = [case for case in second if case.index > after]
        return self._take(group, onward or second, seconds)

    def _begin(self, group: Group) -> None:
        group.begun = True
        self._begun[group.name] = group

    def _take(self, group: Group, waiting: Iterable[Case], seconds: float) -> list[Case]:
        taken: list[Case] = []
        total = 0.0
        for case in islice(waiting, MOST_CASES):
            predicted = self._durations.estimate(case)
            if taken and total + predicted > seconds:
                break
            taken.append(case)
            total += predicted
        for case in taken:
            self._remove(group, case)
        return taken

    def _find(self, index: int) -> Case | None:
        case = self._by_index.get(index)
        return case if case is not None and index in self.groups[case.group].waiting else None

    def _remember_untouched(self, group: Group) -> None:
        first = next(iter(group.waiting))
        heapq.heappush(self._untouched, (-group.work(self._durations), first, group.name))

    def _account(self, group: Group, case: Case, sign: int) -> None:
        known = self._durations.known(case)
        if known is None:
            group.unknown += sign
        else:
            group.known_seconds += sign * known
            if sign > 0:
                self._by_index[case.index] = case
                heapq.heappush(self._longest, (-known, case.index))
        self._count(case, sign)

    def _count(self, case: Case, sign: int) -> None:
        known = self._durations.known(case)
        if known is None:
            self._unknown += sign
        else:
            self._known_seconds += sign * known
        self.count += sign

    def _remove(self, group: Group, case: Case) -> None:
        del group.waiting[case.index]
        self._account(group, case, -1)
        if not group.waiting:
            self._begun.pop(group.name, None)
