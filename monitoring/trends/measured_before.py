"""What the history knows of a case on its worker class: enough to judge new runs of it alone.

Other cases of the same class are its yardsticks: run beside it, they tell how fast the machine is
today. What they all share is taken off, in the history and from the new runs alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from ...infra.errors import UsageProblem
from ..store import Store
from .changes import find_ranged_changes
from .findings import Kind
from .journal import Known
from .known_levels import FEWEST_AFTER, FEWEST_BEFORE, Levels
from .ranks import Floats
from .robust import level, spread
from .series import SeriesName
from .source import Observations, Observed, observe

FEWEST_YARDSTICKS = 3
_MOST_YARDSTICKS = 6
# Older ones describe a machine that may be gone.
_MOST_POINTS = 30
# A yardstick that is not there in so many campaigns, or that swings like that, measures nothing.
_PRESENT = 0.8
_STEADY = 0.15
# Not worth waiting for.
_LONGEST_SECONDS = 2.0
# Yardsticks that moved at the same place would hide the shift.
_LEFT_OF_SHIFT = 0.5


class NotToBeJudged(UsageProblem):
    """New runs alone can say nothing about this finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredBefore:
    """A case's level before and after a shift, and what has to run beside it."""

    case: str
    worker_class: str
    levels: Levels
    # Cases, and the usual logarithm of each; empty where the machine has to be taken as it is.
    yardsticks: Mapping[str, float]
    # Of the level before, for people.
    seconds: float
    # Hosts that measured it, and how fast each is beside its class.
    speeds: Mapping[str, float]
    # How a worker of the class is described to `--fleet-class`; empty if nothing is known.
    worker: str

    def value_of(self, seconds: Mapping[str, float], host: str) -> float | None:
        """A new run as a logarithm beside the levels; None if it cannot be compared."""
        mine = seconds.get(self.case, 0.0)
        if mine <= 0:
            return None
        if not self.yardsticks:
            return math.log(mine * self.speeds.get(host, 1.0))
        beside = [
            math.log(seconds[case]) - usual
            for case, usual in self.yardsticks.items()
            if seconds.get(case, 0.0) > 0
        ]
        if len(beside) < FEWEST_YARDSTICKS:
            return None
        return math.log(mine) - float(np.median(beside))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Yardstick:
    case: str
    usual: float
    # By campaign.
    logs: Mapping[int, float]


def measured_before(store: Store, project: str, known: Known) -> MeasuredBefore:
    """Read it from the store; raises NotToBeJudged."""
    if known.kind not in {Kind.CHANGE, Kind.ANOMALY}:
        raise NotToBeJudged(
            f"finding {known.id} is no shift: running its case again decides nothing",
            remedy="`proctor trends dismiss` says that it is nothing",
        )
    if known.status == "recovered":
        raise NotToBeJudged(f"finding {known.id} is over: its level is gone")
    seen = observe(store, project=project, metrics=("seconds",))
    lead = SeriesName(case=known.case, metric=known.metric, worker_class=known.worker_class)
    mine = next((each for each in seen.series if each.series.name == lead), None)
    if mine is None:
        raise NotToBeJudged(f"the store has no durations of {known.case} any more")
    values = dict(_logs(mine))
    before, after = _sides(values, _place(seen, known))
    if len(before) < FEWEST_BEFORE or len(after) < FEWEST_AFTER - (known.kind == Kind.ANOMALY):
        raise NotToBeJudged(
            f"{len(before)} values before finding {known.id} and {len(after)} since are too few",
            remedy="run the suite again, or give --directory a checkout with both commits",
        )
    alone = Levels(before=_values(before, values), after=_values(after, values))
    if not alone.step:
        raise NotToBeJudged(f"nothing is left of finding {known.id} in the store")
    moved = {tuple(each) for each in known.detail.get("series", ())}
    yardsticks = _yardsticks(seen, mine, moved, [*before, *after])
    levels = _beside(yardsticks, values, before, after)
    if levels is None or levels.step / alone.step < _LEFT_OF_SHIFT:
        levels, yardsticks = alone, []
    hosts, worker = _workers(store, project, known.worker_class)
    return MeasuredBefore(
        case=known.case,
        worker_class=known.worker_class,
        levels=levels,
        yardsticks={each.case: each.usual for each in yardsticks},
        seconds=math.exp(level(alone.before)),
        speeds={host: seen.speeds.get((known.worker_class, host), 1.0) for host in hosts},
        worker=worker,
    )


def _logs(each: Observed) -> list[tuple[int, float]]:
    pairs = zip(each.places, each.series.values, strict=True)
    return [(place, math.log(value)) for place, value in pairs if value > 0]


def _values(places: Iterable[int], values: Mapping[int, float]) -> Floats:
    return np.array([values[place] for place in places])


def _place(seen: Observations, known: Known) -> int:
    """The first campaign since the shift; times in the store are whole microseconds."""
    later = (place for place, each in enumerate(seen.moments) if each.at >= known.since - 1e-3)
    return next(later, len(seen.moments))


def _sides(values: Mapping[int, float], shift: int) -> tuple[list[int], list[int]]:
    """The campaigns before and since, as far as no other shift lies between."""
    places = sorted(values)
    (shifts,) = find_ranged_changes([np.array([values[place] for place in places], float)])
    edges = [places[each.index] for each in shifts]
    # The shift itself may be seen a little beside the place where it was told.
    at = sum(place < shift for place in places)
    beside = set(places[max(at - 3, 0) : at + 3])
    first = max((edge for edge in edges if edge < shift and edge not in beside), default=-1)
    last = min((edge for edge in edges if edge > shift and edge not in beside), default=math.inf)
    before = [place for place in places if first <= place < shift]
    after = [place for place in places if shift <= place < last]
    return before[-_MOST_POINTS:], after[:_MOST_POINTS]


def _yardsticks(
    seen: Observations, mine: Observed, moved: set[tuple[str, ...]], places: Sequence[int]
) -> list[_Yardstick]:
    """Steady cases of the same class, those nearest to it in the code first."""
    name, wanted = mine.series.name, frozenset(places)
    longest = max(_LONGEST_SECONDS, 2 * float(np.median(mine.series.values)))
    usable: list[tuple[tuple[bool, bool, float, str], _Yardstick]] = []
    for each in seen.series:
        other = each.series.name
        told = (other.case, other.metric, other.worker_class)
        if other == name or other.worker_class != name.worker_class or told in moved:
            continue
        logs = {place: value for place, value in _logs(each) if place in wanted}
        if len(logs) < _PRESENT * len(wanted):
            continue
        here = np.array(list(logs.values()))
        usual, swing = level(here), spread(here - np.median(here))
        if swing <= _STEADY and math.exp(usual) <= longest:
            far = _file(other.case) != _file(name.case)
            near = (far, each.area != mine.area, swing, other.case)
            usable.append((near, _Yardstick(case=other.case, usual=usual, logs=logs)))
    usable.sort(key=lambda each: each[0])
    return [each for _, each in usable[:_MOST_YARDSTICKS]]


def _file(case: str) -> str:
    return case.partition("::")[0]


def _beside(
    yardsticks: Sequence[_Yardstick],
    values: Mapping[int, float],
    before: Sequence[int],
    after: Sequence[int],
) -> Levels | None:
    """The levels with what the yardsticks share taken off; None where they cannot tell it."""

    def side(places: Sequence[int]) -> Floats:
        told: list[float] = []
        for place in places:
            off = [each.logs[place] - each.usual for each in yardsticks if place in each.logs]
            if len(off) >= FEWEST_YARDSTICKS:
                told.append(values[place] - float(np.median(off)))
        return np.array(told)

    first, second = side(before), side(after)
    if len(first) < FEWEST_BEFORE or not len(second):
        return None
    return Levels(before=first, after=second, beside_others=True)


def _workers(store: Store, project: str, worker_class: str) -> tuple[frozenset[str], str]:
    """The hosts that were workers of the class, and the newest as `--fleet-class` reads it."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT w.host, w.gpu, w.tags, w.simulated_gpu, w.memory_bytes FROM workers w"
            " JOIN campaigns c USING (campaign_no) JOIN projects p USING (project_no)"
            " WHERE p.project = $project AND w.worker_class = $class ORDER BY c.opened_at DESC",
            {"project": project, "class": worker_class},
        ).fetchall()
    if not rows or not worker_class:
        return frozenset(), ""
    _, gpu, tags, simulated, memory = rows[0]
    parts = ["slots=1"]
    if gpu:
        parts.append(f"gpu={gpu:g}")
    if simulated:
        parts.append("simulated")
    # A worker is promised no more memory than is here.
    if memory and memory <= psutil.virtual_memory().total:
        parts.append(f"memory={memory}")
    others = sorted(set(json.loads(tags or "[]")) - {worker_class})
    if others:
        parts.append(f"tags={'+'.join(others)}")
    return frozenset(row[0] for row in rows if row[0]), f"{worker_class}:{','.join(parts)}"
