"""Series out of the store: case x metric x worker class, one point a campaign, at one speed.

Hosts of one class are not equally fast. What the cases they share took on each tells how fast a
host is, and their values are brought to the speed of the class; one host alone is its own measure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np

from ...infra.errors import UsageProblem
from ..named_sql import load_sql
from ..store import Connection, Store
from .ranks import Floats
from .series import Direction, Point, Series, SeriesName, UnitChanged, series_of

# So many cases have to be common before a host's speed is believed.
_FEWEST_COMMON = 5
# Differences of hosts below this are noise themselves.
_NOTABLE_SPEED = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One campaign: a place in the order that all series share."""

    campaign: str
    commit: str
    branch: str
    environment: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A series, and for each of its points the place of its campaign."""

    series: Series
    places: tuple[int, ...]
    # Where the code of the case lies.
    area: str


@dataclass(slots=True, kw_only=True)
class Observations:
    """Everything that one analysis looks at."""

    project: str
    moments: tuple[Moment, ...]
    series: list[Observed] = field(default_factory=list[Observed])
    # Case to its number, and to runs and failures by place.
    cases: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])
    outcomes: dict[int, list[tuple[int, int, int]]] = field(
        default_factory=dict[int, list[tuple[int, int, int]]]
    )
    speeds: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    notes: list[str] = field(default_factory=list[str])


class NoHistory(UsageProblem):
    """There is nothing to look at."""


def observe(
    store: Store,
    *,
    project: str | None = None,
    since: float | None = None,
    case: str | None = None,
    metrics: Sequence[str] = (),
) -> Observations:
    """Read everything with one opening of the store; it is closed before anything is computed."""
    wanted = frozenset(metrics)
    with store.reading() as connection:
        return _Reader(connection, project=project, since=since, case=case).read(wanted)


class _Reader:
    def __init__(
        self, connection: Connection, *, project: str | None, since: float | None, case: str | None
    ) -> None:
        self._connection = connection
        self._sql = load_sql("trends.sql")
        self.project = project or self._newest_project()
        moment = None if since is None else datetime.fromtimestamp(since, UTC).replace(tzinfo=None)
        self._given: dict[str, object] = {"project": self.project, "since": moment, "case": case}
        rows = self._ask("campaigns")
        if not rows:
            raise self._no_campaign(since)
        self._place = {row[0]: place for place, row in enumerate(rows)}
        self.moments = tuple(
            Moment(campaign=name, commit=commit, branch=branch, environment=_mapping(told), at=at)
            for _, name, commit, branch, told, at in rows
        )
        self.cases: dict[int, tuple[str, str]] = {
            number: (name, file) for number, name, file in self._ask("cases")
        }
        if case is not None and not self.cases:
            raise NoHistory(
                f"the store knows no case {case!r} in {self.project}",
                remedy='`proctor sql "SELECT case_id FROM cases"` lists them',
            )

    def read(self, metrics: frozenset[str]) -> Observations:
        told = Observations(project=self.project, moments=self.moments, cases=self.cases)
        if not metrics or "seconds" in metrics:
            told.series.extend(self._measured("durations", "seconds", "s", told))
        if not metrics or "memory" in metrics:
            told.series.extend(self._measured("memory", "memory", "bytes", told))
        told.series.extend(
            each
            for each in self._recorded(told.notes)
            if not metrics or each.series.name.metric in metrics
        )
        told.notes.extend(self._lost(metrics))
        if metrics and not told.series:
            known = sorted({"seconds", "memory", *(row[1] for row in self._ask("metrics"))})
            raise NoHistory(
                f"no case of {self.project} has values of {', '.join(sorted(metrics))}",
                remedy=f"there are {', '.join(known)}",
            )
        for number, campaign, runs, failures in self._ask("outcomes"):
            told.outcomes.setdefault(number, []).append((self._place[campaign], runs, failures))
        return told

    def _measured(
        self, statement: str, metric: str, unit: str, told: Observations
    ) -> Iterator[Observed]:
        rows = [row for row in self._ask(statement) if row[5] is not None]
        speeds = _speeds(rows)
        told.speeds |= speeds
        for (number, worker_class), group in groupby(rows, key=lambda row: (row[0], row[1])):
            # One campaign may have run it on several hosts: one point, weighted by its runs.
            sums: dict[int, list[float]] = {}
            for _, _, host, campaign, runs, value in group:
                here = sums.setdefault(self._place[campaign], [0.0, 0.0])
                here[0] += runs * value * speeds.get((worker_class, host), 1.0)
                here[1] += runs
            points = [(place, total / runs) for place, (total, runs) in sorted(sums.items())]
            name = SeriesName(case=self.cases[number][0], metric=metric, worker_class=worker_class)
            yield self._observed(
                [self._point(place, value, unit) for place, value in points],
                name=name,
                places=[place for place, _ in points],
                area=_area(self.cases[number][1]),
            )

    def _recorded(self, notes: list[str]) -> Iterator[Observed]:
        rows = self._ask("metrics")
        for (number, metric, worker_class), group in groupby(rows, key=lambda row: row[:3]):
            each = list(group)
            better = next((row[7] for row in reversed(each) if row[7]), "lower")
            direction = (
                Direction.HIGHER_IS_BETTER
                if better.startswith("higher")
                else Direction.LOWER_IS_BETTER
            )
            name = SeriesName(case=self.cases[number][0], metric=metric, worker_class=worker_class)
            # The middle of a campaign's values, in the newest of its units.
            places = sorted({self._place[row[4]] for row in each})
            points: list[Point] = []
            for place in places:
                here = [row for row in each if self._place[row[4]] == place]
                unit = here[-1][6]
                value = float(np.median([row[5] for row in here if row[6] == unit]))
                points.append(self._point(place, value, unit))
            try:
                yield self._observed(
                    points,
                    name=name,
                    places=places,
                    area=_area(self.cases[number][1]),
                    direction=direction,
                )
            except UnitChanged as problem:
                # One metric that changed its meaning must not hide all others.
                notes.append(str(problem))
                since = len(points)
                while since and points[since - 1].unit == points[-1].unit:
                    since -= 1
                yield self._observed(
                    points[since:],
                    name=name,
                    places=places[since:],
                    area=_area(self.cases[number][1]),
                    direction=direction,
                )

    def _observed(
        self,
        points: Sequence[Point],
        *,
        name: SeriesName,
        places: Sequence[int],
        area: str,
        direction: Direction = Direction.LOWER_IS_BETTER,
    ) -> Observed:
        # Two campaigns of one second with one value would count as one value recorded twice.
        once = dict(zip(reversed(points), reversed(places), strict=True))
        kept = [point for point in dict.fromkeys(points) if math.isfinite(point.value)]
        series = series_of(kept, name=name, direction=direction)
        return Observed(series=series, places=tuple(once[point] for point in kept), area=area)

    def _point(self, place: int, value: float, unit: str) -> Point:
        moment = self.moments[place]
        return Point(time=moment.at, value=value, commit=moment.commit, unit=unit)

    def _lost(self, metrics: frozenset[str]) -> Iterator[str]:
        """What was recorded and could not be looked at."""
        for name, count in self._ask("left_out"):
            if not metrics or name in metrics:
                one = "value of {} is no finite number and was left out"
                many = "values of {} are no finite numbers and were left out"
                yield f"{count} {(one if count == 1 else many).format(name)}"
        lines, campaigns = self._ask("damaged")[0]
        if lines:
            journals = "the journal of a campaign" if campaigns == 1 else "journals"
            yield (
                f"{lines} damaged line{'s' if lines > 1 else ''} in {journals} could not be taken "
                "in; the store's table `problems` tells where"
            )

    def _no_campaign(self, since: float | None) -> NoHistory:
        known = [row[0] for row in self._connection.execute(self._sql["projects"]).fetchall()]
        if self.project in known and since is not None:
            day = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M")
            return NoHistory(
                f"no campaign of {self.project} ran since {day} UTC", remedy="look further back"
            )
        return NoHistory(
            f"the store knows no project {self.project!r}",
            remedy=f"it knows {', '.join(known)}" if known else "run some campaigns",
        )

    def _newest_project(self) -> str:
        rows = self._connection.execute(self._sql["projects"]).fetchall()
        if not rows:
            raise NoHistory(
                "the store remembers no campaign yet",
                remedy="run some, then `proctor store ingest`",
            )
        return rows[0][0]

    def _ask(self, name: str) -> list[tuple[Any, ...]]:
        statement = self._sql[name]
        given = {key: value for key, value in self._given.items() if f"${key}" in statement}
        return self._connection.execute(statement, given or None).fetchall()


def circumstances(store: Store, numbers: Sequence[int]) -> dict[int, list[tuple[Any, ...]]]:
    """Under which circumstances the runs of these cases happened."""
    statement = load_sql("trends.sql")["circumstances"]
    with store.reading() as connection:
        return {
            number: connection.execute(statement, {"case_no": number}).fetchall()
            for number in numbers
        }


def _speeds(rows: Sequence[tuple[Any, ...]]) -> dict[tuple[str, str], float]:
    """How fast each host is beside others of its class: 1 for the class, 2 for twice as fast."""
    by_case: dict[tuple[int, str], dict[str, list[float]]] = {}
    for number, worker_class, host, _, _, value in rows:
        if host and value > 0:
            by_case.setdefault((number, worker_class), {}).setdefault(host, []).append(value)
    leads: dict[tuple[str, str], list[float]] = {}
    for (_, worker_class), hosts in by_case.items():
        if len(hosts) > 1:
            middles: dict[str, Floats] = {host: np.log(values) for host, values in hosts.items()}
            typical = float(np.mean([np.median(logs) for logs in middles.values()]))
            for host, logs in middles.items():
                leads.setdefault((worker_class, host), []).append(typical - float(np.median(logs)))
    return {
        key: float(np.exp(np.median(each)))
        for key, each in leads.items()
        if len(each) >= _FEWEST_COMMON and abs(float(np.median(each))) > _NOTABLE_SPEED
    }


def _area(file: str) -> str:
    return file.rpartition("/")[0]


def _mapping(text: str) -> dict[str, str]:
    told: Any = json.loads(text or "{}")
    return {str(key): str(value) for key, value in told.items()} if isinstance(told, dict) else {}
