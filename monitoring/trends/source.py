"""Series out of the store: case x metric x worker class, one point a campaign, at one speed.

Hosts of one class are not equally fast. What the cases they share took on each tells how fast a
host is, and their values are brought to the speed of the class; one host alone is its own measure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np

from ...infra.errors import UsageProblem
from ..frames import as_stored
from ..named_sql import load_sql
from ..store import Connection, Store
from .host_speeds import Speeds, host_speeds
from .series import Direction, Point, Series, SeriesName, UnitChanged, at_reference_speed, series_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One campaign: a place in the order that all series share."""

    campaign: str
    commit: str
    branch: str
    environment: Mapping[str, str]
    at: float
    # Its attempts were dropped: only what they measured themselves is left.
    pruned: bool = False


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
    speeds: Speeds = field(default_factory=dict[tuple[str, str], float])
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
            Moment(
                campaign=name,
                commit=commit,
                branch=branch,
                environment=_mapping(told),
                at=at,
                pruned=pruned,
            )
            for _, name, commit, branch, told, at, pruned in rows
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
        durations = self._ask("durations") if not metrics or "seconds" in metrics else []
        told.speeds = self._speeds(durations)
        told.series.extend(self._measured(durations, "seconds", "s", told.speeds))
        if not metrics or "memory" in metrics:
            told.series.extend(self._measured(self._ask("memory"), "memory", "bytes", {}))
        measured = frozenset(each.series.name for each in told.series)
        told.series.extend(self._recorded(metrics, measured, told))
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

    def _speeds(self, durations: Sequence[tuple[Any, ...]]) -> Speeds:
        """From all cases, also where one is looked at: alone it cannot tell a slow host."""
        if self._ask("hosts")[0][0] < 2:
            return {}
        if not durations or self._given["case"] is not None:
            durations = self._ask("durations", case=None)
        return host_speeds(durations)

    def _measured(
        self, rows: Sequence[tuple[Any, ...]], metric: str, unit: str, speeds: Speeds
    ) -> Iterator[Observed]:
        rows = [row for row in rows if row[5] is not None]
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

    def _recorded(
        self, metrics: frozenset[str], measured: frozenset[SeriesName], told: Observations
    ) -> Iterator[Observed]:
        for (number, metric, worker_class), group in groupby(
            self._ask("metrics"), key=lambda row: row[:3]
        ):
            if metrics and metric not in metrics:
                continue
            by_place: dict[int, list[tuple[Any, ...]]] = {}
            better = ""
            for row in group:
                by_place.setdefault(self._place[row[4]], []).append(row)
                better = row[7] or better
            direction = (
                Direction.HIGHER_IS_BETTER
                if better.startswith("higher")
                else Direction.LOWER_IS_BETTER
            )
            name = SeriesName(case=self.cases[number][0], metric=metric, worker_class=worker_class)
            if name in measured:
                # What Proctor measures itself has that name.
                name = replace(name, metric=f"{metric} (recorded)")
            # The middle of a campaign's values, in the newest of its units.
            places = sorted(by_place)
            points: list[Point] = []
            for place in places:
                unit = by_place[place][-1][6]
                values = [
                    at_reference_speed(row[5], unit, told.speeds.get((worker_class, row[3]), 1.0))
                    for row in by_place[place]
                    if row[6] == unit
                ]
                points.append(self._point(place, float(np.median(values)), unit))
            area = _area(self.cases[number][1])
            try:
                yield self._observed(
                    points, name=name, places=places, area=area, direction=direction
                )
            except UnitChanged as problem:
                # One metric that changed its meaning must not hide all others.
                told.notes.append(str(problem))
                since = len(points)
                while since and points[since - 1].unit == points[-1].unit:
                    since -= 1
                yield self._observed(
                    points[since:], name=name, places=places[since:], area=area, direction=direction
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
        for name, too_large, count in self._ask("left_out"):
            if not metrics or name in metrics:
                one, many = ("is too large", "are too large")
                if not too_large:
                    one, many = "is no finite number", "are no finite numbers"
                yield (
                    f"{count} {'value' if count == 1 else 'values'} of {name} "
                    f"{one if count == 1 else many} and {'was' if count == 1 else 'were'} left out"
                )
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

    def _ask(self, name: str, **others: object) -> list[tuple[Any, ...]]:
        statement = self._sql[name]
        asked = {**self._given, **others}
        given = {
            key: as_stored(value) if isinstance(value, str) else value
            for key, value in asked.items()
            if f"${key}" in statement
        }
        return self._connection.execute(statement, given or None).fetchall()


def circumstances(store: Store, numbers: Sequence[int]) -> dict[int, list[tuple[Any, ...]]]:
    """Under which circumstances the newest runs of each of these cases happened."""
    told: dict[int, list[tuple[Any, ...]]] = {number: [] for number in numbers}
    with store.reading() as connection:
        for number, *row in connection.execute(
            load_sql("trends.sql")["circumstances"], {"numbers": list(numbers)}
        ).fetchall():
            told[number].append(tuple(row))
    return told


def _area(file: str) -> str:
    return file.rpartition("/")[0]


def _mapping(text: str) -> dict[str, str]:
    told: Any = json.loads(text or "{}")
    return {str(key): str(value) for key, value in told.items()} if isinstance(told, dict) else {}
