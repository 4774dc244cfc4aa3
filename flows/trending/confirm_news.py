"""Runs again what is only suspected, or was only just found, before anybody is told of it.

What the history shows for sure stays told if it cannot be run; a hint of the newest points alone
is told to nobody unless runs confirm it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...blocks.notify import keep_news
from ...infra.errors import ProctorError
from ...monitoring.reports.wording import counted
from ...monitoring.store import Store
from ...monitoring.trends.findings import Kind, Status, TrendFinding, TrendReport
from ...monitoring.trends.journal import (
    Known,
    News,
    Settled,
    faded,
    known_findings,
    known_of,
    line_again,
    record,
)
from .confirm import Confirming, NotInTurns, Result, Settling, confirm

# Each takes up to half a minute for each run; the rest has its turn at the next look.
_MOST_FINDINGS = 5
# Runs since a shift: where there are more, the history is the better witness.
_NEW = 20


def confirm_suspected(store: Store, settled: Settled, how: Confirming) -> Settled:
    """Run each suspected regression again; one that cannot be run is a note, not the end."""
    report = settled.report
    findings, news, notes = list(report.findings), list(settled.news), list(report.notes)
    fresh = {each.id for each in news if each.status == Status.CONFIRMED}
    known = {each.id: each for each in known_findings(store, report.project)}
    suspects = [each for each in findings if _is_suspect(each, report, fresh)]
    for finding in suspects[:_MOST_FINDINGS]:
        try:
            in_turns = finding.status is Status.CONFIRMED or finding.shared
            told = _run_again(store, report.project, known[finding.id], how, in_turns_only=in_turns)
        except NotInTurns:
            # The history is sure, and surer than runs of one hour beside it would be; or the
            # machine is in doubt, which runs of one side would only show again.
            continue
        except ProctorError as problem:
            notes.append(f"finding {finding.id} could not be run again: {problem}")
            continue
        findings[findings.index(finding)] = _as_told(finding, told)
        keep_news([told.news], state=store.state)
        news = [*(each for each in news if each.id != finding.id), _since_before(told.news, news)]
    room = max(_MOST_FINDINGS - len(suspects), 0)
    proven = _confirm_hints(store, report, report.suspicions[:room], how, notes)
    # The clearest news first.
    findings[:0] = [finding for finding, _ in proven]
    news += [each for _, each in proven]
    left = len(suspects) - _MOST_FINDINGS
    if left > 0:
        notes.append(f"{counted(left, 'suspected regression')} more: not run again this time")
    shown = {name for finding, _ in proven for name in finding.series}
    views = dict(report.views)
    views |= {name: view for name, view in report.suspected.items() if name in shown}
    told_report = replace(report, findings=tuple(findings), notes=tuple(notes), views=views)
    return replace(settled, report=told_report, news=tuple(news))


def _confirm_hints(
    store: Store,
    report: TrendReport,
    hints: Sequence[TrendFinding],
    how: Confirming,
    notes: list[str],
) -> list[tuple[TrendFinding, News]]:
    """Those that runs confirm; the others are remembered as looked at, and not told."""
    proven: list[tuple[TrendFinding, News]] = []
    failed: list[str] = []
    for hint in hints:
        known = known_of(report.project, hint)
        try:
            told = _run_again(store, report.project, known, how, in_turns_only=True)
        except NotInTurns as problem:
            how.say(f"{problem.message}: a hint alone is left to the history")
            continue
        except ProctorError as problem:
            failed.append(str(problem))
            _forget(store, report.project, known, "failed")
            continue
        if told.confirmed.result is Result.CONFIRMED:
            keep_news([told.news], state=store.state)
            proven.append((_as_told(hint, told), replace(told.news, before="")))
        elif told.confirmed.result is Result.UNDECIDED:
            _forget(store, report.project, told.known, Result.UNDECIDED)
    if failed:
        notes.append(
            f"{counted(len(failed), 'slight suspicion')} could not be run again: {failed[0]}"
        )
    return proven


def _run_again(
    store: Store, project: str, known: Known, how: Confirming, *, in_turns_only: bool
) -> Settling:
    """What the history is sure of, and mere hints, only in turns.

    Runs of one hour share the machine's mood: beside the history alone they confirm one hint in
    eight that is none; in turns it is one in two hundred (`trend_quality.py --part alerts`).
    """
    how.say(f"{known.id} {known.case}: {known.status}, runs again, at most {how.most} times")
    told = confirm(store, project, known, how, in_turns_only=in_turns_only)
    how.say(f"{known.id} {told.confirmed.text}")
    return told


def _forget(store: Store, project: str, hint: Known, rerun: str) -> None:
    """Not looked at again, unless the history itself comes to show it."""
    gone = faded(hint, Status.DISMISSED)
    record(store, [line_again(project, replace(gone, detail={**gone.detail, "rerun": rerun}))])


def _as_told(finding: TrendFinding, told: Settling) -> TrendFinding:
    return replace(
        finding,
        status=Status(told.known.status),
        text=told.known.text,
        remark=told.confirmed.text,
        rerun=str(told.confirmed.result),
    )


def _is_suspect(finding: TrendFinding, report: TrendReport, fresh: set[str]) -> bool:
    if not (finding.kind is Kind.CHANGE and finding.worse and finding.lead.metric == "seconds"):
        return False
    if finding.status is Status.SUSPECTED:
        return True
    return (
        finding.status is Status.CONFIRMED
        and finding.id in fresh
        and _runs_since(finding, report) <= _NEW
    )


def _runs_since(finding: TrendFinding, report: TrendReport) -> int:
    view = report.views.get(finding.lead)
    times = view.observed.series.times if view else ()
    return sum(float(time) >= finding.since for time in times)


def _since_before(news: News, earlier: list[News]) -> News:
    """What the finding was before this look, rather than a moment ago."""
    before = next((each.before for each in earlier if each.id == news.id), news.before)
    return replace(news, before=before)
