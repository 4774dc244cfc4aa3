"""Finds what moved in the history of a project: the way from the store to findings.

    report = analyze(Store(state))
    for finding in report.findings:
        print(finding.text)

Every series is judged by itself; what is told is decided over all of them together, so that ten
thousand quiet series do not make ten false alarms.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from ..store import Store
from .creep_beside import creeps_beside, moves
from .findings import Kind, SeriesView, Status, TrendFinding, TrendReport
from .flaky import flaky_cases
from .journal import known_findings
from .judging import Judged, Limits, judge_all
from .load import expected_hours
from .reruns import past_of
from .series import SeriesName
from .source import Observed, observe
from .telling import Telling

__all__ = ["Limits", "analyze"]

_HOURS_AHEAD = 24


def analyze(
    store: Store,
    *,
    project: str | None = None,
    since: float | None = None,
    case: str | None = None,
    metrics: Sequence[str] = (),
    limits: Limits | None = None,
    processes: int = 1,
    clock: Callable[[], float] = time.time,
) -> TrendReport:
    """Judge every series of a project: the newest one, or the one given.

    More than one process pays for thousands of series; the caller's main module must be importable.
    """
    began = time.monotonic()
    limits = limits or Limits()
    seen = observe(store, project=project, since=since, case=case, metrics=metrics)
    past = past_of(seen, known_findings(store, seen.project))
    judged = judge_all(seen.series, limits, processes, past)
    common, whole = None, seen
    if case is not None:
        if moves(seen, judged):
            whole = observe(store, project=seen.project, since=since, metrics=("seconds",))
        common = creeps_beside(store, seen, judged, whole=whole, limits=limits, processes=processes)
    telling = Telling(seen, judged, limits, past, common=common, beside=whole.series)
    findings = [
        *telling.changes(),
        *telling.drifts(),
        *telling.odd_values(),
        *flaky_cases(store, seen, limits),
    ]
    findings.sort(key=_importance)
    suspicions = tuple(telling.suspicions(findings))
    about = {name for each in findings for name in each.series}
    suspected = {name for each in suspicions for name in each.series} - about
    views: dict[SeriesName, SeriesView] = {}
    hidden: dict[SeriesName, SeriesView] = {}
    for each, one in zip(seen.series, judged, strict=True):
        name = each.series.name
        if name in about or case is not None:
            views[name] = _view(each, one)
        elif name in suspected:
            hidden[name] = _view(each, one)
    now = clock()
    return TrendReport(
        project=seen.project,
        made=now,
        campaigns=len(seen.moments),
        pruned=sum(each.pruned for each in seen.moments),
        series_seen=len(seen.series),
        points_seen=sum(len(each.series) for each in seen.series),
        seconds=time.monotonic() - began,
        findings=tuple(findings),
        classes=Counter(str(each.trend.kind) for each in judged),
        views=views,
        load=expected_hours(store, now=now, hours=_HOURS_AHEAD),
        notes=(*seen.notes, *telling.notes),
        suspicions=suspicions,
        suspected=hidden,
    )


def _view(each: Observed, one: Judged) -> SeriesView:
    edges = (0, *(change.index for change in one.changes), len(each.series))
    values = each.series.values
    levels = [float(np.median(values[a:b])) for a, b in pairwise(edges) if b > a]
    return SeriesView(
        observed=each,
        trend=str(one.trend.kind),
        effect=one.trend.effect,
        noise=one.trend.noise,
        changes=tuple(change.index for change in one.changes),
        levels=tuple(levels),
        anomalies=tuple(odd.index for odd in one.odd),
        expected=one.expected,
    )


def _importance(finding: TrendFinding) -> tuple[int, int, float]:
    order = (Kind.CHANGE, Kind.TREND, Kind.FLAKY, Kind.ANOMALY)
    bad = 0 if finding.worse and finding.status is Status.CONFIRMED else 1
    return bad, order.index(finding.kind), -finding.since
