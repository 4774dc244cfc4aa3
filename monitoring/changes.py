"""Change points: where a series moved to another level for good, how far, and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .background import (
    Background,
    shifts_beside_slope,
    slope_strength,
    take_off,
    wave_in,
    wave_in_steps,
)
from .evidence import (
    SHIFT_PRICE,
    lasting_memory,
    memory_factor,
    penalised_misfit,
    prune,
    strengths,
    without_bursts,
    without_slopes,
)
from .location import places, relocate, settle
from .ranks import Floats
from .robust import level, residuals, spread
from .scan import SHORTEST, candidates
from .thresholds import false_alarm_chance, threshold

# Candidates may be weaker than what is reported: the test between neighbours is the sharper one.
ALARMS = 0.02
_CANDIDATE = 0.86
# Candidates that fell to memory as long as this may be the flanks of a wave.
_WAVY = 1.3
_MOST_WAVES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One shift of the level."""

    # The first point of the new level, and the range that holds it with 95 %.
    index: int
    low: int
    high: int
    before: float
    after: float
    # In standard deviations of the noise beside it.
    effect: float
    # As a normal deviate, and how often a series without change would show as much.
    strength: float
    p_value: float

    @property
    def relative(self) -> float:
        """The size as a share of the old level."""
        return (self.after - self.before) / abs(self.before) if self.before else np.inf

    @property
    def probability(self) -> float:
        return 1.0 - self.p_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Levels with a background: one way to explain a series."""

    # What is left of the values without the background.
    values: Floats
    shifts: tuple[int, ...]
    background: Background
    memory: float
    limit: float


def find_changes(values: Floats | Sequence[float], *, alarms: float = ALARMS) -> tuple[Change, ...]:
    """The shifts of one series of finite values.

    `alarms` is how many times per 1,000 points a series without change may be said to shift.
    """
    told = describe(np.asarray(values, float), alarms=alarms)
    if not told.shifts:
        return ()
    v, n = told.values, len(told.values)
    noise = spread(residuals(v, told.shifts))
    found = strengths(v, told.shifts, told.memory)
    edges = (0, *told.shifts, n)
    out = list[Change]()
    for i, place in enumerate(places(v, told.shifts, memory=told.memory)):
        before = level(v[edges[i] : edges[i + 1]])
        after = level(v[edges[i + 1] : edges[i + 2]])
        out.append(
            Change(
                index=place.at,
                low=place.low,
                high=place.high,
                before=before,
                after=after,
                effect=(after - before) / noise if noise > 0 else np.inf,
                strength=found[i],
                p_value=false_alarm_chance(found[i], n),
            )
        )
    return tuple(out)


def describe(values: Floats, *, alarms: float = ALARMS) -> Description:
    """The simplest convincing explanation: levels alone, or with a slope or waves."""
    limit = threshold(len(values), alarms) if len(values) >= 2 * SHORTEST else np.inf
    best = _levels(values, Background(), limit)
    if not best.shifts and best.memory < _WAVY:
        return best
    for other in _with_background(values, best):
        if _simpler(other, best):
            best = other
    shifts = without_bursts(best.values, best.shifts)
    shifts = without_slopes(best.values, shifts)
    if len(shifts) < len(best.shifts):
        shifts = prune(best.values, shifts, threshold=limit, memory=best.memory)
    kept = _beyond_memory(replace(best, shifts=tuple(shifts)))
    return replace(kept, shifts=tuple(settle(kept.values, relocate(kept.values, kept.shifts))))


def _beyond_memory(told: Description) -> Description:
    """Without shifts that noise with a longer memory makes: each that goes may show more of it."""
    while told.shifts:
        memory = lasting_memory(told.values, told.shifts)
        if memory <= told.memory:
            break
        fewer = prune(told.values, told.shifts, threshold=told.limit, memory=memory)
        done = len(fewer) == len(told.shifts)
        told = replace(told, shifts=tuple(fewer), memory=memory)
        if done:
            break
    return told


def _levels(values: Floats, background: Background, limit: float) -> Description:
    shifts = candidates(values, limit * _CANDIDATE)
    memory = 1.0
    if shifts:
        memory = memory_factor(values)
        shifts = prune(values, relocate(values, shifts), threshold=limit, memory=memory)
    return Description(
        values=values,
        shifts=tuple(shifts),
        background=background,
        memory=memory,
        limit=limit,
    )


def _with_background(values: Floats, plain: Description) -> Iterator[Description]:
    """Explanations with what seems to move in the background, each built on the last.

    What a staircase leaves of a creep looks like a wave, and what it leaves of a wave like
    nothing: so each kind of background is also tried as the first.
    """
    for first in (_slope, _wave, _wave_in_steps):
        here, more = plain, first(plain)
        while more is not None:
            beside = here.shifts
            if more.slope and not here.background.slope:
                beside = shifts_beside_slope(here.values, beside, SHIFT_PRICE)
                if len(beside) == len(here.shifts) > 0 and not _steep(here):
                    break
            here = _levels(take_off(values, beside, more), more, plain.limit)
            yield here
            more = _wave(here) or _slope(here)


def _slope(told: Description) -> Background | None:
    if told.background.slope or not told.shifts:
        return None
    return replace(told.background, slope=True)


def _steep(told: Description) -> bool:
    return abs(slope_strength(told.values, told.shifts)) > 2.5 * told.memory**0.5


def _wave(told: Description) -> Background | None:
    had = told.background.waves
    wave = wave_in(told.values, told.shifts) if len(had) < _MOST_WAVES else None
    return None if wave is None else replace(told.background, waves=(*had, wave))


def _wave_in_steps(told: Description) -> Background | None:
    wave = wave_in_steps(told.values)
    return None if wave is None else replace(told.background, waves=(wave,))


def _simpler(one: Description, other: Description) -> bool:
    memory = min(one.memory, other.memory)
    costs = [
        penalised_misfit(d.values, d.shifts, memory=memory) + d.background.price
        for d in (one, other)
    ]
    return costs[0] < costs[1]
