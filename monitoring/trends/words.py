"""Findings in words: one sentence each, for a terminal, a message or an artifact."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .findings import TrendFinding

_SHORT = 10


def change_text(finding: TrendFinding) -> str:
    """A shift: what, by how much, since which commit."""
    suspects = len(finding.commits)
    among = f", one of {suspects} commits" if suspects > 1 else ""
    return (
        f"{_what(finding)}: {_moved(finding)} since {_where(finding)}{among} "
        f"({amount(finding.before, finding.unit)} to {amount(finding.after, finding.unit)})"
        f"{_environment(finding)}{f'; {finding.cause}' if finding.cause else ''}"
    )


def drift_text(finding: TrendFinding) -> str:
    """A slow move."""
    soon = f"; {finding.cause}" if finding.cause else ""
    return (
        f"{_what(finding)}: creeps, {_moved(finding)} since {day(finding.since)} "
        f"({amount(finding.before, finding.unit)} to {amount(finding.after, finding.unit)}){soon}"
    )


def odd_text(finding: TrendFinding) -> str:
    """One value out of line."""
    return (
        f"{_what(finding)}: {amount(finding.after, finding.unit)} in {finding.campaign}, "
        f"where {amount(finding.before, finding.unit)} is usual"
    )


def flaky_text(finding: TrendFinding) -> str:
    """A case that fails by chance."""
    cause = f"; its failures go with {finding.cause}" if finding.cause else ""
    return (
        f"{finding.lead.case}: fails by chance in {finding.size:.1%} of its runs "
        f"({finding.size_low:.1%} to {finding.size_high:.1%}){cause}"
    )


def day(at: float) -> str:
    """As people write it; UTC, for others read it elsewhere."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def days(seconds: float) -> str:
    """A length of time that is a guess."""
    if seconds < 1.5 * 86400:
        return f"{seconds / 3600:.0f} hours" if seconds >= 5400 else "about an hour or less"
    return f"{seconds / 86400:.0f} days"


def short(commit: str) -> str:
    return commit[:_SHORT]


def _what(finding: TrendFinding) -> str:
    lead = finding.lead
    metric = "" if lead.metric == "seconds" else f" {lead.metric}"
    where = f" on {lead.worker_class}" if lead.worker_class else ""
    others = len(finding.series) - 1
    more = f" and {others} other{'s' if others > 1 else ''}" if others else ""
    return f"{lead.case}{metric}{where}{more}"


def _moved(finding: TrendFinding) -> str:
    # There is no share of nothing: a level that was zero has a direction, and no size.
    rises = finding.size > 0 if finding.size else finding.after > finding.before
    if finding.lead.metric == "seconds":
        word = "slower" if rises else "faster"
    else:
        word = "more" if rises else "less"
    judged = "" if finding.lead.metric in {"seconds", "memory"} else _judged(finding)
    share = f"{abs(finding.size):.1%} " if finding.size else ""
    return f"{share}{word}{judged}"


def _judged(finding: TrendFinding) -> str:
    return " (worse)" if finding.worse else " (better)"


def _where(finding: TrendFinding) -> str:
    if finding.commit:
        return f"commit {short(finding.commit)} ({day(finding.since)})"
    return f"{finding.campaign} ({day(finding.since)})"


def _environment(finding: TrendFinding) -> str:
    if not finding.environment:
        return ""
    told = ", ".join(
        f"{name} {before or 'none'} to {after or 'none'}"
        for name, (before, after) in finding.environment.items()
    )
    return f"; the environment changed there too: {told}"


def amount(value: float, unit: str) -> str:
    """As people write it."""
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    return f"{value:.4g} {unit}".strip()
