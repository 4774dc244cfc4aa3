"""What a case that never ran is expected to take: what its kin take.

A function's cases lean on their file, a file's on its directory, and so on up to the suite, each
as far as it has few of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..infra.predictions import kin_of
from .prediction_levels import Floats, Whole

# What belongs to it weighs as much as this many cases.
_LEANING = 1.5
_ENOUGH = 20
# A factor of so many either way until anything is measured.
_FIRST_TAIL = np.log(30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """A group of cases: what one more of them is expected to be, as logarithms."""

    level: float
    low: float
    high: float
    cases: int


def by_kin(case_ids: Sequence[str], groups: Sequence[str], levels: Floats) -> dict[str, Kin]:
    """By name of function, file, directory; "" is the suite. Cases without a level do not count."""
    known = np.flatnonzero(~np.isnan(levels))
    if not len(known):
        return {}
    of = levels[known]
    above: Floats = np.full(len(known), of.mean())
    # The suite has nothing above it, but it must not count a case as its own evidence.
    found: dict[str, Kin] = {}
    for depth, names in enumerate(_tiers(case_ids, groups, known)):
        numbers, labels = _numbered(names)
        there = numbers >= 0
        count = np.bincount(numbers[there], minlength=len(labels))
        total = np.bincount(numbers[there], weights=of[there], minlength=len(labels))
        leaning = np.zeros(len(labels))
        leaning[numbers[there]] = above[there]
        level = (total + _LEANING * leaning) / (count + _LEANING)
        others = count[numbers] - 1
        without = (total[numbers] - of + _LEANING * above) / (others + _LEANING)
        tested = there & (others > 0)
        low, high = _tails((of - without)[tested])
        for number, label in enumerate(labels):
            if depth and count[number] < 2 and "::" in label:
                # A function of one case is that case.
                continue
            found[label] = Kin(
                level=float(level[number]),
                low=float(level[number] + low),
                high=float(level[number] + high),
                cases=int(count[number]),
            )
        above = np.where(there, level[numbers], above)
    return found


def _tiers(
    case_ids: Sequence[str], groups: Sequence[str], known: Whole
) -> Iterator[list[str | None]]:
    """From the suite down to the function, a name for each case; None where it has none there."""
    numbers: list[int] = known.tolist()
    lines = [tuple(reversed(tuple(kin_of(case_ids[each], groups[each])))) for each in numbers]
    directories = max(len(line) for line in lines) - 2
    for depth in range(directories):
        # A line is: the suite, directories from the top, file, function.
        yield [line[depth] if depth < len(line) - 2 else None for line in lines]
    yield [line[-2] for line in lines]
    yield [line[-1] for line in lines]


def _numbered(names: Sequence[str | None]) -> tuple[Whole, list[str]]:
    labels: dict[str, int] = {}
    numbers = np.array(
        [-1 if name is None else labels.setdefault(name, len(labels)) for name in names],
        dtype=np.int64,
    )
    return numbers, list(labels)


def _tails(apart: Floats) -> tuple[float, float]:
    if len(apart) < _ENOUGH:
        return -float(_FIRST_TAIL), float(_FIRST_TAIL)
    low, high = np.quantile(apart, (0.05, 0.95))
    return min(0.0, float(low)), max(0.0, float(high))
