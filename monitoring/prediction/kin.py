"""What a case that never ran is expected to take: what its kin take.

A function's cases lean on their file, a file's on its directory, and so on up to the suite, each
as far as it has few of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...infra.predictions import kin_of
from .levels import Floats, Whole

# What belongs to it weighs as much as this many cases.
_LEANING = 1.5
_ENOUGH = 20
# A factor of so many either way until anything is measured.
_FIRST_TAIL = np.log(30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Groups of cases of one rank: all functions, or all files, or the suite alone."""

    # The group of each case, or -1 where it has none of this rank.
    of: Whole
    names: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """One tier's groups: what one more case of each is expected to be, as logarithms."""

    tier: Tier
    # NaN where none of its cases ever ran.
    level: Floats
    low: Floats
    high: Floats
    cases: Whole

    def of_case(self, values: Floats) -> Floats:
        """The group's value for each of its cases."""
        return np.where(self.tier.of >= 0, values[self.tier.of], np.nan)


def tiers(case_ids: Sequence[str], groups: Sequence[str]) -> list[Tier]:
    """From the suite down over directories and files to functions; always at least those three."""
    above: dict[str, list[str]] = {}
    for group in groups:
        if group not in above:
            # The suite, directories from the top, the file.
            above[group] = list(kin_of("", group))[:0:-1]
    depth = max((len(line) for line in above.values()), default=2)
    ranks = [
        [line[rank] if rank < len(line) - 1 else None for line in map(above.__getitem__, groups)]
        for rank in range(depth - 1)
    ]
    functions = [case_id.partition("[")[0] for case_id in case_ids]
    return [_tier(names) for names in (*ranks, list(groups), functions)]


def by_kin(ranks: Sequence[Tier], levels: Floats) -> list[Kin]:
    """What each group is expected to be; cases without a level do not count."""
    known = ~np.isnan(levels)
    of = np.where(known, levels, 0.0)
    above: Floats = np.full(len(levels), of[known].mean() if known.any() else np.nan)
    found: list[Kin] = []
    for tier in ranks:
        number = len(tier.names)
        member = tier.of >= 0
        counted = known & member
        count = np.bincount(tier.of[counted], minlength=number)
        total = np.bincount(tier.of[counted], weights=of[counted], minlength=number)
        leaning = np.zeros(number)
        leaning[tier.of[member]] = above[member]
        level = np.where(count > 0, (total + _LEANING * leaning) / (count + _LEANING), np.nan)
        # How far a case is from what is said without it.
        here, group = of[counted], tier.of[counted]
        others = count[group] - 1
        without = (total[group] - here + _LEANING * above[counted]) / (others + _LEANING)
        low, high = _tails((here - without)[others > 0])
        found.append(Kin(tier=tier, level=level, low=level + low, high=level + high, cases=count))
        ran = member.copy()
        ran[member] = count[tier.of[member]] > 0
        above = np.where(ran, level[tier.of], above)
    return found


def _tier(names: Sequence[str | None]) -> Tier:
    numbers: dict[str, int] = {}
    of = [-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names]
    # A place for those who have none: what stands there is never looked at.
    return Tier(of=np.array(of, dtype=np.int64), names=list(numbers) or [""])


def _tails(apart: Floats) -> tuple[float, float]:
    if len(apart) < _ENOUGH:
        return -float(_FIRST_TAIL), float(_FIRST_TAIL)
    low, high = np.quantile(apart, (0.05, 0.95))
    return min(0.0, float(low)), max(0.0, float(high))
