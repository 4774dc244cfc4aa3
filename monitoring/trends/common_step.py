"""What nearly all cases of a class do at once: a machine that changed, or something they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .common_creep import ALIKE, FEWEST, MOST
from .source import Observed

# Campaigns on each side: at most, as those farther away may have known other machines, and at
# least, for a median of fewer is any of them.
_REACH = 12
_BEFORE = 4
_AFTER = 3
# Nearly all of so many is nearly all; each shift that is told asks.
_ENOUGH = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonStep:
    """How far the cases of a class moved alike, as a logarithm."""

    log: float
    alike: int
    cases: int
    worker_class: str

    def holds(self, log: float) -> bool:
        """Whether a move is of this kind, and goes not beyond it for sure."""
        return 0 < log / self.log <= ALIKE

    @property
    def text(self) -> str:
        where = f" on {self.worker_class}" if self.worker_class else ""
        word = "slower" if self.log > 0 else "faster"
        return (
            f"of {self.cases} cases compared{where} {self.alike} got {word} alike, by"
            f" {abs(np.expm1(self.log)):.0%} at the median: the machine, or something all of them"
            " share; both commits, run in turns, tell which"
        )


def durations_by_class(seen: Iterable[Observed]) -> Mapping[str, Sequence[Observed]]:
    """The series that tell of the machine: enough of each worker class, from all over it."""
    classes: dict[str, list[Observed]] = {}
    for each in seen:
        if each.series.name.metric == "seconds":
            classes.setdefault(each.series.name.worker_class, []).append(each)
    return {name: series[:: -(-len(series) // _ENOUGH)] for name, series in classes.items()}


def common_step(
    durations: Sequence[Observed], *, low: int, place: int, least: float
) -> CommonStep | None:
    """What durations of a class did at that place, or from `low` on; None if nothing common.

    `least` is the share of a level below which a move is none.
    """
    steps = [step for each in durations if (step := _step(each, low, place)) is not None]
    if len(steps) < FEWEST:
        return None
    middle = float(np.median(steps))
    if abs(middle) < np.log1p(least):
        return None
    alike = sum(1 / ALIKE <= step / middle <= ALIKE for step in steps)
    if alike < max(FEWEST, MOST * len(steps)):
        return None
    name = durations[0].series.name
    return CommonStep(log=middle, alike=alike, cases=len(steps), worker_class=name.worker_class)


def _step(each: Observed, low: int, place: int) -> float | None:
    places, values = np.asarray(each.places), np.asarray(each.series.values)
    before, after = values[places < low][-_REACH:], values[places >= place][:_REACH]
    if len(before) < _BEFORE or len(after) < _AFTER:
        return None
    first, second = float(np.median(before)), float(np.median(after))
    return float(np.log(second / first)) if first > 0 and second > 0 else None
