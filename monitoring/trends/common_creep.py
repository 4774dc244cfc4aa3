"""What all cases of a class creep together: a machine that gets busier, or something they share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .changes import Change
from .heading import Trend, TrendClass
from .source import Observed

# Fewer cases, or a smaller part of them, tell nothing about the machine.
FEWEST = 4
MOST = 0.75
# Alike is what moves at most so many times as far as the median, and no less than one such part.
ALIKE = 2.0
_HEADING = {TrendClass.DEGRADING, TrendClass.IMPROVING}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonCreep:
    """How far the cases of a class moved alike, as a share of their level."""

    share: float
    cases: int
    worker_class: str

    def own(self, effect: float) -> float:
        """What is left of a case's own move."""
        return (1 + effect) / (1 + self.share) - 1

    @property
    def text(self) -> str:
        where = f" on {self.worker_class}" if self.worker_class else ""
        word = "slower" if self.share > 0 else "faster"
        return (
            f"{self.cases} cases{where} creep alike, {abs(self.share):.0%} {word} at the median: "
            "the machine, or something all of them share; that is suspected, and confirmed is what "
            "moves beyond it"
        )


def creeps(trend: Trend, changes: Collection[Change]) -> bool:
    """Whether it heads somewhere, and no shift explains it."""
    return trend.kind in _HEADING and not changes


def common_creeps(
    seen: Iterable[tuple[Observed, Trend, Collection[Change]]],
) -> Mapping[str, CommonCreep]:
    """By worker class, where nearly all durations move one way and no shift explains it."""
    moves: dict[str, list[tuple[float, bool]]] = {}
    for each, trend, changes in seen:
        name = each.series.name
        if name.metric == "seconds" and trend.kind is not TrendClass.UNKNOWN:
            move = trend.effect, creeps(trend, changes)
            moves.setdefault(name.worker_class, []).append(move)
    found = {name: _common(name, of_class) for name, of_class in moves.items()}
    return {name: creep for name, creep in found.items() if creep is not None}


def _common(worker_class: str, moves: Sequence[tuple[float, bool]]) -> CommonCreep | None:
    share = float(np.median([effect for effect, _ in moves]))
    if not share:
        return None
    alike = sum(does and 1 / ALIKE <= effect / share <= ALIKE for effect, does in moves)
    if alike < max(FEWEST, MOST * len(moves)):
        return None
    return CommonCreep(share=share, cases=alike, worker_class=worker_class)
