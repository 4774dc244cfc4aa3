"""Runs again what is only suspected, before anybody is told of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..infra.errors import ProctorError
from ..monitoring.store import Store
from ..monitoring.trends.findings import Kind, Status, TrendFinding
from ..monitoring.trends.journal import News, Settled, known_findings
from .confirm import confirm
from .measure import Say

# Each takes up to half a minute for each run; the rest has its turn at the next look.
_MOST_FINDINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirming:
    """How to run suspects again."""

    directory: Path
    most: int
    # A time of time.monotonic().
    deadline: float
    say: Say


def confirm_suspected(store: Store, settled: Settled, how: Confirming) -> Settled:
    """Run each suspected regression again; one that cannot be run is a note, not the end."""
    report = settled.report
    findings, news, notes = list(report.findings), list(settled.news), list(report.notes)
    known = {each.id: each for each in known_findings(store, report.project)}
    suspects = [place for place, each in enumerate(findings) if _is_suspect(each)]
    for place in suspects[:_MOST_FINDINGS]:
        finding = findings[place]
        how.say(f"{finding.id} {finding.lead.case}: suspected, runs again")
        try:
            told = confirm(
                store,
                report.project,
                known[finding.id],
                directory=how.directory,
                most=how.most,
                deadline=how.deadline,
                say=how.say,
            )
        except ProctorError as problem:
            notes.append(f"finding {finding.id} could not be run again: {problem}")
            continue
        findings[place] = replace(
            finding,
            status=Status(told.known.status),
            text=told.known.text,
            remark=told.confirmed.text,
        )
        news = [*(each for each in news if each.id != finding.id), _since_before(told.news, news)]
    left = len(suspects) - _MOST_FINDINGS
    if left > 0:
        notes.append(f"{left} more suspected regressions were not run again this time")
    told_report = replace(report, findings=tuple(findings), notes=tuple(notes))
    return replace(settled, report=told_report, news=tuple(news))


def _is_suspect(finding: TrendFinding) -> bool:
    return (
        finding.kind is Kind.CHANGE
        and finding.status is Status.SUSPECTED
        and finding.worse
        and finding.lead.metric == "seconds"
    )


def _since_before(news: News, earlier: list[News]) -> News:
    """What the finding was before this look, rather than a moment ago."""
    before = next((each.before for each in earlier if each.id == news.id), news.before)
    return replace(news, before=before)
