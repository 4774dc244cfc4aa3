"""What earlier looks, runs again, or a person already said of each series.

A shift that was told, or that runs confirmed, is one until it is undone, whether or not the history
alone can see it today; and points that were looked at once without one are not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .changes import Change, find_ranged_changes
from .findings import Kind, Status
from .journal import Known
from .ranks import Floats
from .robust import level, residuals, spread
from .screening import NEWEST
from .series import SeriesName
from .source import Moment, Observations

# As a normal deviate: no number of series looked at makes it doubtful again.
_PROVEN = 7.0
_PROVEN_CHANCE = 1e-12
# The store keeps whole microseconds.
_SLACK_SECONDS = 1e-3
# A shift that the history sees may lie so far beside the range that was run again.
_BESIDE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A shift that stands: its first point, and the range that holds it."""

    index: int
    low: int
    high: int
    # It is what was run, or the clearest; else it moved with that.
    leads: bool = True

    def covers(self, change: Change) -> bool:
        """Whether a shift that the history shows is this one."""
        return change.low - _BESIDE <= self.high and self.low <= change.high + _BESIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Of one series."""

    proven: tuple[Proven, ...] = ()
    # Points before this one were looked at.
    cleared: int = 0


NOTHING = Past()


@dataclass(slots=True)
class _Gathered:
    proven: dict[int, Proven] = field(default_factory=dict[int, Proven])
    cleared: int = 0


def past_of(seen: Observations, known: Iterable[Known]) -> dict[SeriesName, Past]:
    """By series; those of which nothing was said are left out."""
    places = {each.series.name: each.places for each in seen.series}
    told: dict[SeriesName, _Gathered] = {}
    for each in known:
        if each.kind != Kind.CHANGE:
            continue
        lead = SeriesName(case=each.case, metric=each.metric, worker_class=each.worker_class)
        if each.status == Status.CONFIRMED:
            # The clearest of them stands for what moved with it.
            for name in {lead, *_series(each)} & places.keys():
                shift = _proven(seen.moments, places[name], each, leads=name == lead)
                if shift is not None:
                    told.setdefault(name, _Gathered()).proven[shift.index] = shift
        if lead in places and _was_looked_at(each):
            here = told.setdefault(lead, _Gathered())
            here.cleared = max(here.cleared, _cleared(seen.moments, places[lead], each))
    return {
        name: Past(
            proven=tuple(each.proven[index] for index in sorted(each.proven)), cleared=each.cleared
        )
        for name, each in told.items()
    }


def with_proven(
    values: Floats, changes: tuple[Change, ...], proven: Sequence[Proven]
) -> tuple[Change, ...]:
    """The shifts of a series, with those that the history alone does not show."""
    missing = [each for each in proven if not any(map(each.covers, changes))]
    if not missing:
        return changes
    changes = _with_parts(values, changes, missing)
    missing = [each for each in missing if not any(map(each.covers, changes))]
    cuts = sorted({*(each.index for each in changes), *(each.index for each in missing)})
    noise = spread(residuals(values, cuts))
    edges = [0, *cuts, len(values)]
    added: list[Change] = []
    for each in missing:
        at = edges.index(each.index, 1)
        before = level(values[edges[at - 1] : each.index])
        after = level(values[each.index : edges[at + 1]])
        added.append(
            Change(
                index=each.index,
                low=each.low,
                high=each.high,
                before=before,
                after=after,
                effect=(after - before) / noise if noise > 0 else np.inf * np.sign(after - before),
                strength=_PROVEN,
                p_value=_PROVEN_CHANCE,
            )
        )
    return tuple(sorted((*changes, *added), key=lambda each: each.index))


def _with_parts(
    values: Floats, changes: tuple[Change, ...], proven: Sequence[Proven]
) -> tuple[Change, ...]:
    """With what the parts between known shifts show: a mend may be hidden beside what it mends."""
    told = list(changes)
    for start, end in pairwise([0, *sorted(each.index for each in proven), len(values)]):
        for found in find_ranged_changes([values[start:end]])[0]:
            here = found.later(start)
            if not any(each.low - _BESIDE <= here.index <= each.high + _BESIDE for each in told):
                told.append(here)
    return tuple(sorted(told, key=lambda each: each.index))


def _series(known: Known) -> list[SeriesName]:
    told: Sequence[tuple[str, str, str]] = known.detail.get("series", ())
    return [SeriesName(case=case, metric=metric, worker_class=name) for case, metric, name in told]


def _was_looked_at(known: Known) -> bool:
    """By runs or a person; or it is told already."""
    if known.detail.get("rerun"):
        return True
    return known.status != Status.SUSPECTED and not known.has_faded


def _cleared(moments: Sequence[Moment], places: Sequence[int], known: Known) -> int:
    """How many points were looked at with it; those that hint at it belong to it."""
    until = _until(moments, places, known.latest)
    if not known.detail.get("rerun"):
        return until
    first = _until(moments, places, known.since - 2 * _SLACK_SECONDS)
    return max(until, min(first + NEWEST, len(places)))


def _proven(
    moments: Sequence[Moment], places: Sequence[int], known: Known, *, leads: bool
) -> Proven | None:
    index = _until(moments, places, known.since - 2 * _SLACK_SECONDS)
    if not 0 < index < len(places):
        # It is older than what is looked at, or has no run of this case.
        return None
    low = _until(moments, places, known.earliest - 2 * _SLACK_SECONDS)
    high = _until(moments, places, known.latest) - 1
    return Proven(index=index, low=min(max(low, 1), index), high=max(high, index), leads=leads)


def _until(moments: Sequence[Moment], places: Sequence[int], moment: float) -> int:
    """How many points are not later."""
    return sum(moments[place].at <= moment + _SLACK_SECONDS for place in places)
