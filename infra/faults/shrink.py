"""Shrinks a schedule that fails to one from which no fault can be left out (delta debugging).

After Zeller and Hildebrandt (2002), "Simplifying and isolating failure-inducing input": try parts
of the schedule, then all but a part, and halve the parts when nothing fails any more. Faults are
due after so many commits, so those that stay keep their moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .schedule import FaultSchedule
from .targets import FaultRefused

MOST_TRIES = 200

# What is wrong with the run of a schedule, in sentences; nothing when it holds.
Oracle = Callable[[FaultSchedule], Sequence[str]]
Places = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """What is left of a schedule."""

    schedule: FaultSchedule
    # What is wrong with it.
    problems: tuple[str, ...]
    tries: int
    # Whether leaving out any one of its faults makes it hold; else the tries were used up.
    minimal: bool


def shrink(
    schedule: FaultSchedule,
    *,
    oracle: Oracle,
    most_tries: int = MOST_TRIES,
    say: Callable[[str], None] = lambda text: None,
) -> Shrunk:
    """The least of it that still fails; refuses one that holds."""
    search = _Search(schedule, oracle=oracle, most_tries=most_tries, say=say)
    everything = tuple(range(len(schedule.faults)))
    if not search.fails(everything):
        raise FaultRefused(
            f"{schedule.title} holds: there is nothing to shrink",
            remedy="give a schedule that `proctor chaos replay` finds invalid",
        )
    try:
        left, minimal = search.reduce(everything), True
    except _OutOfTries:
        left, minimal = search.least, False
    return Shrunk(
        schedule=schedule.only(schedule.faults[place] for place in left),
        problems=search.problems[left],
        tries=search.tries,
        minimal=minimal,
    )


class _OutOfTries(Exception):
    pass


class _Search:
    def __init__(
        self,
        schedule: FaultSchedule,
        *,
        oracle: Oracle,
        most_tries: int,
        say: Callable[[str], None],
    ) -> None:
        self._schedule = schedule
        self._oracle = oracle
        self._most_tries = most_tries
        self._say = say
        self.tries = 0
        self.least: Places = ()
        # Of every part that was tried.
        self.problems: dict[Places, tuple[str, ...]] = {}

    def fails(self, places: Places) -> bool:
        if places not in self.problems:
            if self.tries >= self._most_tries:
                raise _OutOfTries
            self.tries += 1
            part = self._schedule.only(self._schedule.faults[place] for place in places)
            found = self.problems[places] = tuple(self._oracle(part))
            if found:
                self.least = places
            total = len(self._schedule.faults)
            self._say(
                f"try {self.tries}: {len(places)} of {total} faults "
                + (f"fail ({found[0]})" if found else "hold")
            )
        return bool(self.problems[places])

    def reduce(self, places: Places) -> Places:
        pieces = 1
        while True:
            smaller = next(filter(self.fails, _smaller(places, pieces)), None)
            if smaller is not None:
                # A piece is taken apart anew; what lacks one has the others left.
                pieces = max(2, pieces - 1) if len(smaller) > len(places) / 2 else 2
                places = smaller
            elif pieces >= len(places):
                return places
            else:
                pieces = min(len(places), pieces * 2)


def _smaller(places: Places, pieces: int) -> Iterator[Places]:
    """Each piece alone, then all but each."""
    if pieces == 1:
        # It may fail with no fault at all.
        yield ()
        return
    ends = [round(len(places) * number / pieces) for number in range(pieces + 1)]
    parts = [places[begin:end] for begin, end in pairwise(ends)]
    if len(places) > 1:
        yield from parts
        yield from (tuple(place for place in places if place not in part) for part in parts)
