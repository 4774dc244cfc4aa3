"""How well change points were found: counts that add up, and what is read from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from histories import match


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Sums over many series."""

    found: int = 0
    true: int = 0
    matched: int = 0
    exact: int = 0
    near: int = 0
    points: int = 0
    seconds: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(
            found=self.found + other.found,
            true=self.true + other.true,
            matched=self.matched + other.matched,
            exact=self.exact + other.exact,
            near=self.near + other.near,
            points=self.points + other.points,
            seconds=self.seconds + other.seconds,
        )

    @property
    def precision(self) -> float:
        return self.matched / max(self.found, 1)

    @property
    def recall(self) -> float:
        return self.matched / max(self.true, 1)

    @property
    def f1(self) -> float:
        return 2 * self.matched / max(self.found + self.true, 1)

    @property
    def false_per_thousand(self) -> float:
        return 1000 * (self.found - self.matched) / max(self.points, 1)


def score(found: Sequence[int], true: Sequence[int], points: int, seconds: float = 0.0) -> Score:
    pairs = match(found, true)
    return Score(
        found=len(found),
        true=len(true),
        matched=len(pairs),
        exact=sum(f == t for f, t in pairs),
        near=sum(abs(f - t) <= 1 for f, t in pairs),
        points=points,
        seconds=seconds,
    )
