"""A trend report as one JSON document and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .findings import SeriesView, TrendFinding, TrendReport
from .load import HOUR_SECONDS
from .words import day

_SHOWN = 50


def trend_document(report: TrendReport) -> dict[str, Any]:
    """Everything the report says; what is no finite number is null."""
    return _finite(
        {
            "project": report.project,
            "made": report.made,
            "campaigns": report.campaigns,
            "pruned": report.pruned,
            "series": report.series_seen,
            "points": report.points_seen,
            "seconds": round(report.seconds, 3),
            "classes": dict(report.classes),
            "findings": [finding_document(each) for each in report.findings],
            "views": [_view(each) for each in report.views.values()],
            "load": [
                {
                    "class": name,
                    "from": report.made // HOUR_SECONDS * HOUR_SECONDS,
                    "hours": [
                        {"seconds": each.value, "low": each.low, "high": each.high}
                        for each in hours
                    ],
                }
                for name, hours in report.load.items()
            ],
            "load_text": load_text(report),
            "notes": list(report.notes),
            # Hints that only runs can tell from chance.
            "suspicions": [finding_document(each) for each in report.suspicions],
        }
    )


def why_none(report: TrendReport) -> str:
    """What is to be said of campaigns in which no series was seen."""
    if report.pruned == report.campaigns:
        return "of which the store has only sums since `proctor store prune`"
    if report.pruned:
        return f"{report.pruned:,} of them pruned; in the others no case passed"
    return "in which no case passed"


def finding_document(finding: TrendFinding) -> dict[str, Any]:
    """One finding with plain values."""
    told = asdict(finding)
    told["kind"], told["status"] = str(finding.kind), str(finding.status)
    told["regression"] = finding.is_regression
    return told


def trend_markdown(report: TrendReport) -> str:
    """For an artifact, a merge request or a message."""
    classes = ", ".join(f"{count} {kind}" for kind, count in sorted(report.classes.items()))
    lines = [
        f"# Trends of {report.project}",
        "",
        f"{report.series_seen:,} series of {report.campaigns:,} campaigns"
        + (f": {classes}" if classes else f", {why_none(report)}"),
        "",
    ]
    if report.findings:
        lines += ["| | finding | since | sure |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {each.status} {each.kind} | {_cell(each.text)} | {day(each.since)} "
            f"| {_sure(each.probability)} |"
            for each in report.findings[:_SHOWN]
        ]
        left = len(report.findings) - _SHOWN
        lines += [f"\n… and {left} more."] if left > 0 else []
    else:
        lines.append("Nothing moved for sure.")
    if report.load:
        lines += ["", f"{load_text(report)}."]
    lines += [f"\nNote: {_cell(note)}." for note in report.notes]
    return "\n".join(lines) + "\n"


def _sure(probability: float) -> str:
    return "over 99.9%" if probability > 0.999 else f"{probability:.1%}"


def load_text(report: TrendReport) -> str:
    """What the fleet is to expect, in one sentence; empty if nothing can be said."""
    if not report.load:
        return ""
    hours = max(map(len, report.load.values()))
    each = ", ".join(
        f"{sum(hour.value for hour in row) / HOUR_SECONDS:.1f} worker-hours on {name}"
        for name, row in report.load.items()
    )
    return f"Work expected of all projects in the next {hours} hours: {each}"


def _view(view: SeriesView) -> dict[str, Any]:
    series = view.observed.series
    expected = view.expected
    return {
        "case": series.name.case,
        "metric": series.name.metric,
        "class": series.name.worker_class,
        "unit": series.unit,
        "better": str(series.direction),
        "trend": view.trend,
        "effect": view.effect,
        "noise": view.noise,
        "times": [float(each) for each in series.times],
        "values": [float(each) for each in series.values],
        "commits": list(series.commits),
        "changes": list(view.changes),
        "levels": list(view.levels),
        "anomalies": list(view.anomalies),
        "expected": None
        if expected is None
        else {"value": expected.value, "low": expected.low, "high": expected.high},
        "notes": list(series.notes),
    }


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value
