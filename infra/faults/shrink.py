"""Shrinks a schedule that fails to one from which no fault can be left out (delta debugging).

After Zeller and Hildebrandt (2002), "Simplifying and isolating failure-inducing input": try parts
of the schedule, then all but a part, and halve the parts when nothing fails any more. Faults are
due after so many commits, so those that stay keep their moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from .schedule import FaultSchedule
from .targets import FaultRefused

MOST_TRIES = 200

REMEDY = "give a schedule that `proctor chaos replay` finds invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the run of a schedule showed, in sentences; it holds when there are none."""

    problems: tuple[str, ...] = ()
    # Why nobody can tell: no evidence of either.
    unknown: tuple[str, ...] = ()


Oracle = Callable[[FaultSchedule], Seen]
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
    remedy: str = REMEDY,
    say: Callable[[str], None] = lambda text: None,
) -> Shrunk:
    """The least of it that still fails; refuses one that holds, or shows nothing."""
    search = _Search(schedule, oracle=oracle, most_tries=most_tries, say=say)
    everything = tuple(range(len(schedule.faults)))
    if not search.fails(everything):
        unknown = search.seen[everything].unknown
        how = f"is unknown ({unknown[0]})" if unknown else "holds"
        raise FaultRefused(f"{schedule.title} {how}: there is nothing to shrink", remedy=remedy)
    try:
        left, minimal = search.reduce(everything), True
    except _OutOfTries:
        left, minimal = search.least, False
    return Shrunk(
        schedule=schedule.only(schedule.faults[place] for place in left),
        problems=search.seen[left].problems,
        tries=search.tries,
        minimal=minimal,
    )


def _told(seen: Seen) -> str:
    if seen.problems:
        return f"fail ({seen.problems[0]})"
    return f"show nothing ({seen.unknown[0]})" if seen.unknown else "hold"


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
        self.seen: dict[Places, Seen] = {}

    def fails(self, places: Places) -> bool:
        if places not in self.seen:
            if self.tries >= self._most_tries:
                raise _OutOfTries
            self.tries += 1
            part = self._schedule.only(self._schedule.faults[place] for place in places)
            seen = self.seen[places] = self._oracle(part)
            if seen.problems:
                self.least = places
            total = len(self._schedule.faults)
            self._say(f"try {self.tries}: {len(places)} of {total} faults {_told(seen)}")
        return bool(self.seen[places].problems)

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
