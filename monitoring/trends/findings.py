"""What an analysis of trends says: findings, and the report that holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .forecast import Expected
from .series import SeriesName
from .source import Observed


class Kind(StrEnum):
    """What a finding is."""

    # The level moved for good.
    CHANGE = "change"
    # One odd value.
    ANOMALY = "anomaly"
    # A slow drift.
    TREND = "trend"
    # It fails by chance.
    FLAKY = "flaky"


class Status(StrEnum):
    """How sure we are, and whether it still holds."""

    # Too new to be sure: run it again.
    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    # A second run, or a person, said that it is nothing.
    DISMISSED = "dismissed"
    # A later change undid it.
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendFinding:
    """One thing to tell people: one cause, in one or several series."""

    id: str
    kind: Kind
    status: Status
    # The clearest first.
    series: tuple[SeriesName, ...]
    area: str
    # When it began, and when it may have begun at the earliest and latest.
    since: float
    earliest: float
    latest: float
    # The first commit that shows it, and all that may be to blame, oldest first.
    commit: str = ""
    commits: tuple[str, ...] = ()
    campaign: str = ""
    # Relative to the level before, positive for more; and the interval that holds it with 90 %.
    size: float = 0.0
    size_low: float = 0.0
    size_high: float = 0.0
    before: float = 0.0
    after: float = 0.0
    unit: str = ""
    worse: bool = False
    probability: float = 0.0
    text: str = ""
    # What else moved there: versions, processors.
    environment: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    # For flaky cases what the failures go with; for drifts when a threshold is reached; for shifts
    # what else may be behind them.
    cause: str = ""
    # Nearly all cases moved so: only both commits in turns tell it from the machine.
    shared: bool = False
    # What a person or a second run said of it; the text ends with it.
    remark: str = ""
    # What a second run came to, if there was one: confirmed, refuted or undecided.
    rerun: str = ""

    @property
    def lead(self) -> SeriesName:
        return self.series[0]

    @property
    def is_regression(self) -> bool:
        return self.kind in {Kind.CHANGE, Kind.TREND} and self.worse

    @property
    def is_confirmed_regression(self) -> bool:
        return self.is_regression and self.status is Status.CONFIRMED


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesView:
    """A series as a report shows it."""

    observed: Observed
    trend: str
    effect: float
    noise: float
    # The first points of new levels, and the levels.
    changes: tuple[int, ...]
    levels: tuple[float, ...]
    anomalies: tuple[int, ...]
    expected: Expected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendReport:
    """One analysis."""

    project: str
    made: float
    campaigns: int
    series_seen: int
    points_seen: int
    seconds: float
    # The most important first.
    findings: tuple[TrendFinding, ...]
    # Improving, degrading, stable, volatile, unknown: how many series.
    classes: Mapping[str, int]
    # Those that findings are about, and those that were asked for.
    views: Mapping[SeriesName, SeriesView]
    # By worker class, work-seconds of all projects in this hour and those after it.
    load: Mapping[str, tuple[Expected, ...]] = field(
        default_factory=dict[str, tuple[Expected, ...]]
    )
    notes: tuple[str, ...] = ()
    # Of the campaigns, those whose attempts were dropped from the store.
    pruned: int = 0
    # Regressions that the newest points hint at, the strongest first. Most are none: they are to
    # be run again before anybody hears of them.
    suspicions: tuple[TrendFinding, ...] = ()
    # Their series, which no page shows as long as they are suspicions.
    suspected: Mapping[SeriesName, SeriesView] = field(default_factory=dict[SeriesName, SeriesView])

    @property
    def regressions(self) -> tuple[TrendFinding, ...]:
        return tuple(each for each in self.findings if each.is_confirmed_regression)


def finding_id(kind: Kind, project: str, lead: SeriesName, mark: str) -> str:
    """The same for the same thing, whoever finds it."""
    told = f"{kind}\n{project}\n{lead.case}\n{lead.metric}\n{lead.worker_class}\n{mark}"
    return hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:10]
