"""A series: the values of one metric of one case on one worker class, cleaned and comparable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from ...infra.errors import ProctorError
from .ranks import Floats

# Units of one family, with the size of each in the family's first.
_FAMILIES: tuple[dict[str, float], ...] = (
    {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9},
    {
        "B": 1.0,
        "bytes": 1.0,
        "kB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
    },
)


class UnitChanged(ProctorError):
    """The unit of a series changed to one that cannot be converted."""


class Direction(StrEnum):
    """Which way is worse."""

    LOWER_IS_BETTER = "lower-is-better"
    HIGHER_IS_BETTER = "higher-is-better"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured value."""

    time: float
    value: float
    commit: str = ""
    unit: str = ""
    # Speed of the worker, 1 for the reference: twice as fast is 2.
    speed: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesName:
    """What the values are of."""

    case: str
    metric: str = "seconds"
    worker_class: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Finite values in the order in which they were recorded."""

    name: SeriesName
    times: Floats
    values: Floats
    commits: tuple[str, ...]
    unit: str = ""
    direction: Direction = Direction.LOWER_IS_BETTER
    # What cleaning did, in words for a person.
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def is_worse(self, before: float, after: float) -> bool:
        lower = self.direction is Direction.LOWER_IS_BETTER
        return after > before if lower else after < before


def series_of(
    points: Iterable[Point],
    *,
    name: SeriesName,
    direction: Direction = Direction.LOWER_IS_BETTER,
) -> Series:
    """Clean points in the order of their arrival; raises UnitChanged."""
    given = list(points)
    finite = [p for p in given if math.isfinite(p.value)]
    notes = _count_note(len(given) - len(finite), "is not a finite number and was left out")
    unit = finite[-1].unit if finite else ""
    same = [_converted(p, unit, name) for p in finite]
    once = list(dict.fromkeys(same))
    notes += _count_note(len(same) - len(once), "had been recorded twice and counts once")
    usable = [p for p in once if p.speed > 0 and math.isfinite(p.speed)]
    notes += _count_note(len(once) - len(usable), "came from a worker of unknown speed")
    times, backwards = _forward([p.time for p in usable])
    notes += _count_note(backwards, "has a time before its predecessor's; its order was kept")
    if len(usable) == 1:
        notes += ("a single value says nothing about change",)
    return Series(
        name=name,
        times=times,
        values=np.array([at_reference_speed(p.value, p.unit, p.speed) for p in usable], float),
        commits=tuple(p.commit for p in usable),
        unit=unit,
        direction=direction,
        notes=notes,
    )


def _count_note(count: int, what: str) -> tuple[str, ...]:
    return (f"{count} value{'s: each' if count > 1 else ''} {what}",) if count else ()


def _converted(point: Point, unit: str, name: SeriesName) -> Point:
    if point.unit == unit:
        return point
    for family in _FAMILIES:
        if point.unit in family and unit in family:
            return replace(point, value=point.value * family[point.unit] / family[unit], unit=unit)
    raise UnitChanged(
        f"the unit of {name.metric} of {name.case} changed from {point.unit or 'none'!r} "
        f"to {unit or 'none'!r}",
        remedy="record it under another name, or delete the values in the old unit",
    )


def at_reference_speed(value: float, unit: str, speed: float) -> float:
    """Times stretch on a slow worker and rates shrink; sizes do not care."""
    if unit in _FAMILIES[0]:
        return value * speed
    return value / speed if unit.endswith("/s") else value


def _forward(times: Sequence[float]) -> tuple[Floats, int]:
    """Times that never decrease, and how many did."""
    given = np.array(times, float)
    clean = np.where(np.isfinite(given), given, -np.inf)
    running = np.maximum.accumulate(clean) if len(clean) else clean
    bad = int((running != given).sum())
    return np.where(np.isfinite(running), running, 0.0), bad
