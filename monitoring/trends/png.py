"""The first finding of a report as a picture, for places that show no pages."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...infra.errors import BadSetting, UsageProblem
from .findings import SeriesView, TrendReport


def draw_first(path: Path, report: TrendReport) -> None:
    """Draw the series of the first finding that has one, or else the first series there is."""
    views = [
        report.views[name]
        for finding in report.findings
        for name in finding.series
        if name in report.views
    ] or list(report.views.values())
    if not views:
        raise UsageProblem("there is no series to draw", remedy="name a case")
    title = next((each.text for each in report.findings if each.lead in report.views), "")
    _draw(path, views[0], title)


def _draw(path: Path, view: SeriesView, title: str) -> None:
    figure = _figure()
    axes = figure.add_subplot()
    series = view.observed.series
    times = [datetime.fromtimestamp(each, UTC) for each in series.times]
    axes.plot(times, series.values, "o", markersize=3, color="#3056d3")
    edges = (*view.changes, len(times))
    first = 0
    for last, level in zip(edges, view.levels, strict=False):
        axes.plot([times[first], times[last - 1]], [level, level], color="#c9252d", linewidth=2)
        first = min(last, len(times) - 1)
    name = series.name
    axes.set_title(title or f"{name.case} {name.metric}", fontsize=8, wrap=True)
    axes.set_ylabel(f"{name.metric} {series.unit}".strip())
    figure.autofmt_xdate()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, format="png")
    except OSError as problem:
        raise BadSetting(
            f"the picture cannot be written to {path}: {problem.strerror}",
            remedy="name a file that can be written",
        ) from problem


def _figure() -> Any:
    try:
        # Not pyplot: that one keeps every figure and looks for a screen.
        from matplotlib.figure import Figure
    except ModuleNotFoundError as problem:
        raise UsageProblem(
            "drawing a PNG needs matplotlib, which is not installed",
            remedy="`pip install '.[png]'` in Proctor's checkout, or --html, which needs nothing",
        ) from problem
    return Figure(figsize=(9, 3.6), layout="constrained")
