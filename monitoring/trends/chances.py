"""How likely each place is to be that of a shift, by one series or by several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .ranks import Floats

# No series says more than this against a place: its noise may be misjudged, or its shift another's.
FLOOR = 8.0
# Sums nearer to each other than this are equal but for rounding.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chances:
    """Logs of the chance of each place from `first` on, zero for the likeliest.

    None is below the floor, and all other places are at the floor.
    """

    first: int
    logs: Floats

    def near(self, at: int) -> float:
        """How likely the shift is at this place or one beside."""
        chance, here = np.exp(self.logs), at - self.first
        return float(chance[max(here - 1, 0) : max(here + 2, 0)].sum() / chance.sum())

    def moved(self, by: int) -> Chances:
        return Chances(first=self.first + by, logs=self.logs)

    def among(self, places: Sequence[int]) -> Chances:
        """The same in an order that other series share; `places` are those of this one's points.

        What a series passed by may hold the shift as well as the point behind it.
        """
        ends = np.array(places[self.first : self.first + len(self.logs)])
        begin = places[self.first - 1] if self.first else places[0] - 1
        return Chances(
            first=begin + 1, logs=self.logs.repeat(np.diff(ends, prepend=begin).clip(min=0))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The likeliest place, and the fewest neighbours that hold 95 % of the chance."""

    at: int
    low: int
    high: int


def guessed(at: int, low: int, high: int) -> Chances:
    """Where only a range is known: all of it alike, but for the best guess."""
    logs = np.zeros(high - low + 1)
    logs[at - low] = 1 / len(logs)
    return Chances(first=low, logs=logs - logs.max())


class Pool:
    """What several series say of the one place of their shifts."""

    def __init__(self, one: Chances) -> None:
        self._first = one.first
        self._logs = one.logs
        self._count = 1

    def loss(self, one: Chances) -> float:
        """How much less likely all is at one place than at two: zero where they agree."""
        if one.first >= self._first + len(self._logs) or self._first >= one.first + len(one.logs):
            return FLOOR
        _, logs = self._with(one)
        return float(self._logs.max() - logs.max())

    def add(self, one: Chances) -> None:
        self._first, self._logs = self._with(one)
        self._count += 1

    def _with(self, one: Chances) -> tuple[int, Floats]:
        first = min(self._first, one.first)
        end = max(self._first + len(self._logs), one.first + len(one.logs))
        logs = np.full(end - first, -FLOOR * (self._count + 1))
        start = self._first - first
        logs[start : start + len(self._logs)] += self._logs + FLOOR * self._count
        start = one.first - first
        logs[start : start + len(one.logs)] += one.logs + FLOOR
        return first, logs

    def place(self, *, alike: float = 0.0) -> Range:
        """The best, where the series' noise has this correlation: who errs together counts less."""
        total = self._logs - self._logs.max()
        # Places that no series tells apart are one: the last is where it shows first.
        best = int((total >= -_EQUAL).argmax())
        while best + 1 < len(total) and abs(total[best + 1] - total[best]) <= _EQUAL:
            best += 1
        chance = np.exp(total / (1 + (self._count - 1) * alike))
        order = (-chance).argsort(kind="stable")
        share = chance[order].cumsum()
        inside = order[: int(share.searchsorted(0.95 * share[-1])) + 1]
        return Range(
            at=self._first + best,
            low=self._first + min(int(inside.min()), best),
            high=self._first + max(int(inside.max()), best),
        )
