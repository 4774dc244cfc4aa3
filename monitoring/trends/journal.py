"""Remembers findings: one journal line for each that is new or stands otherwise than before.

A finding keeps its id while its place is refined, so that nobody is told of it twice; what a
person or a second run dismissed stays dismissed.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ...infra.errors import UsageProblem
from ...infra.ledgers.journal import Journal
from ..ingest import RECORDERS, ingest
from ..store import Store
from .findings import Kind, Status, TrendFinding, TrendReport

# How far apart two analyses may see the beginning of one change.
_SLACK_SECONDS = 3600.0
# The store keeps whole microseconds.
_LATER = 1e-5
_FACTS = ("commit", "size", "size_low", "size_high", "probability")


class UnknownFinding(UsageProblem):
    """No finding, or more than one, is called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A finding as it stands in the store."""

    id: str
    kind: str
    status: str
    case: str
    metric: str
    worker_class: str
    since: float
    earliest: float
    latest: float
    text: str
    detail: Mapping[str, Any]
    # Commit, sizes and probability, as the journal names them.
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def has_faded(self) -> bool:
        """It was dismissed because it was not seen any more: if it is seen again, it is back."""
        return self.status == Status.DISMISSED and bool(self.detail.get("faded"))


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A finding that is new or stands otherwise; `before` is empty for a new one."""

    id: str
    kind: str
    before: str
    status: str
    text: str
    worse: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A report whose findings carry the ids they had before, and what is new in it."""

    report: TrendReport
    news: tuple[News, ...]


def known_findings(store: Store, project: str) -> tuple[Known, ...]:
    """What is known last of each finding of a project."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT finding, kind, status, case_id, metric, worker_class,"
            " epoch_us(since) / 1e6, text, detail,"
            " commit_id, size, size_low, size_high, probability"
            " FROM current_findings WHERE project = $project",
            {"project": project},
        ).fetchall()
    return tuple(map(_known, rows))


def find_known(store: Store, beginning: str) -> tuple[str, Known]:
    """The one finding whose id begins so, and its project."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT project, finding FROM current_findings WHERE starts_with(finding, $beginning)",
            {"beginning": beginning},
        ).fetchall()
    if len(rows) != 1:
        raise UnknownFinding(
            f"{len(rows) or 'no'} findings begin with {beginning!r}",
            remedy="`proctor trends` shows their ids",
        )
    project, name = rows[0]
    return project, next(each for each in known_findings(store, project) if each.id == name)


def settle(
    report: TrendReport, known: Sequence[Known], *, whole: bool, smallest: float = 0.0
) -> tuple[Settled, list[Any]]:
    """Match with what is known; gives the report, and the lines to write.

    `whole` says that every series was looked at: then what is not found any more is over, unless
    it is smaller than what was looked for.
    """
    matched, left = _matched(report.findings, known)
    findings: list[TrendFinding] = []
    news: list[News] = []
    lines: list[Any] = []
    for finding, before in zip(report.findings, matched, strict=True):
        now = finding
        if before is not None:
            remark: str = before.detail.get("remark", "")
            now = replace(
                finding,
                id=before.id,
                status=_standing(before, finding.status),
                remark=remark,
                rerun=before.detail.get("rerun", ""),
                text=finding.text + _said(remark),
            )
        findings.append(now)
        if before is None or before.status != now.status:
            news.append(_news(now, before.status if before else ""))
        if before is None or (before.status, before.text) != (now.status, now.text):
            lines.append(line_of(report.project, now))
    for gone in left if whole else ():
        status = _ended(gone, smallest)
        if status:
            lines.append(line_again(report.project, faded(gone, status)))
            worse = bool(gone.detail.get("worse"))
            news.append(
                News(
                    id=gone.id,
                    kind=gone.kind,
                    before=gone.status,
                    status=status,
                    text=gone.text,
                    worse=worse,
                )
            )
    told = replace(report, findings=tuple(findings))
    return Settled(report=told, news=tuple(news)), lines


def remember_findings(
    store: Store,
    report: TrendReport,
    *,
    whole: bool = True,
    smallest: float = 0.0,
    clock: Callable[[], float] = time.time,
) -> Settled:
    """Write what is new to a journal of our own, and take it into the store."""
    settled, lines = settle(
        report, known_findings(store, report.project), whole=whole, smallest=smallest
    )
    record(store, lines, clock=clock)
    return settled


def record(
    store: Store, lines: Iterable[Mapping[str, Any]], *, clock: Callable[[], float] = time.time
) -> Path | None:
    """One journal a call: no two processes ever write one file."""
    lines = list(lines)
    if not lines:
        return None
    name = f"trends-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
    path = store.state / RECORDERS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    newest = _newest_line(store)
    # A clock that was set back must not put what is said now before what was said then.
    journal = Journal(path, clock=lambda: max(clock(), newest + _LATER))
    try:
        for line in lines:
            journal.append("finding", line)
        journal.commit()
    finally:
        journal.close()
    ingest(store)
    return path


def line_of(project: str, finding: TrendFinding) -> dict[str, Any]:
    """As ingest reads it."""
    lead = finding.lead
    return {
        "id": finding.id,
        "kind": str(finding.kind),
        "status": str(finding.status),
        "project": project,
        "case": lead.case,
        "metric": lead.metric,
        "class": lead.worker_class,
        "since": finding.since,
        "commit": finding.commit,
        "size": finding.size,
        "size_low": finding.size_low,
        "size_high": finding.size_high,
        "probability": finding.probability,
        "text": finding.text,
        "detail": {
            "worse": finding.worse,
            "area": finding.area,
            "earliest": finding.earliest,
            "latest": finding.latest,
            "commits": list(finding.commits),
            "campaign": finding.campaign,
            "before": finding.before,
            "after": finding.after,
            "unit": finding.unit,
            "cause": finding.cause,
            "remark": finding.remark,
            "rerun": finding.rerun,
            "series": [[each.case, each.metric, each.worker_class] for each in finding.series],
        },
    }


def known_of(project: str, finding: TrendFinding) -> Known:
    """A finding that the store does not have yet."""
    line = line_of(project, finding)
    return Known(
        id=finding.id,
        kind=str(finding.kind),
        status=str(finding.status),
        case=finding.lead.case,
        metric=finding.lead.metric,
        worker_class=finding.lead.worker_class,
        since=finding.since,
        earliest=finding.earliest,
        latest=finding.latest,
        text=finding.text,
        detail=line["detail"],
        facts={key: line[key] for key in _FACTS},
    )


def remarked(known: Known, status: str, remark: str) -> Known:
    """A known finding with another standing, and what a person or a second run said of it."""
    said = known.detail.get("remark", "")
    text = known.text.removesuffix(_said(said))
    detail = {**known.detail, "remark": remark}
    return replace(known, status=str(status), text=text + _said(remark), detail=detail)


def faded(known: Known, status: str) -> Known:
    """The same, ended because it is not seen any more."""
    detail = {**known.detail, "faded": status == Status.DISMISSED}
    return replace(known, status=status, detail=detail)


def line_again(project: str, known: Known) -> dict[str, Any]:
    """A known finding as ingest reads it."""
    return {
        "id": known.id,
        "kind": known.kind,
        "status": known.status,
        "project": project,
        "case": known.case,
        "metric": known.metric,
        "class": known.worker_class,
        "since": known.since,
        **known.facts,
        "text": known.text,
        "detail": dict(known.detail),
    }


def _newest_line(store: Store) -> float:
    if not store.exists:
        return 0.0
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT epoch_us(max(happened_at)) / 1e6 FROM findings"
        ).fetchall()
    return rows[0][0] or 0.0


def _said(remark: str) -> str:
    return f"; {remark}" if remark else ""


def _matched(
    findings: Sequence[TrendFinding], known: Iterable[Known]
) -> tuple[list[Known | None], list[Known]]:
    """What is known of each, and what of the known is not found any more."""
    left = list(known)
    told: list[Known | None] = [None] * len(findings)
    # One that lies where it was comes before one whose place may have been refined: of two changes
    # within the hour neither may take the other's name.
    for is_same in (_is_named, _same):
        for number, finding in enumerate(findings):
            if told[number] is None:
                near = [each for each in left if is_same(finding, each)]
                if near:
                    nearest = min(near, key=lambda each: abs(each.since - finding.since))
                    told[number] = nearest
                    left.remove(nearest)
    return told, left


def _is_named(finding: TrendFinding, known: Known) -> bool:
    return finding.id == known.id


def _same(finding: TrendFinding, known: Known) -> bool:
    if finding.kind != known.kind or finding.worse != bool(known.detail.get("worse")):
        return False
    names = {(each.case, each.metric, each.worker_class) for each in finding.series}
    if (known.case, known.metric, known.worker_class) not in names:
        return False
    if finding.kind in {Kind.TREND, Kind.FLAKY}:
        return True
    return (
        finding.earliest - _SLACK_SECONDS <= known.latest
        and known.earliest - _SLACK_SECONDS <= finding.latest
    )


def _standing(before: Known, now: Status) -> Status:
    if before.status == Status.DISMISSED and not before.has_faded:
        return Status.DISMISSED
    if before.status == Status.CONFIRMED and now is Status.SUSPECTED:
        return Status.CONFIRMED
    return now


def _ended(known: Known, smallest: float) -> Status | None:
    """What becomes of one that is not found any more."""
    if known.kind != Kind.FLAKY and abs(known.facts.get("size", math.inf)) < smallest:
        return None
    if known.status == Status.SUSPECTED:
        return Status.DISMISSED
    if known.status == Status.CONFIRMED and known.kind in {Kind.TREND, Kind.FLAKY}:
        return Status.RECOVERED
    return None


def _news(finding: TrendFinding, before: str) -> News:
    return News(
        id=finding.id,
        kind=str(finding.kind),
        before=before,
        status=str(finding.status),
        text=finding.text,
        worse=finding.worse,
    )


def _known(row: tuple[Any, ...]) -> Known:
    name, kind, status, case, metric, worker_class, since, text, told, *facts = row
    detail: dict[str, Any] = orjson.loads(told or "{}")
    return Known(
        id=name,
        kind=kind,
        status=status,
        case=case,
        metric=metric,
        worker_class=worker_class,
        since=since or 0.0,
        earliest=detail.get("earliest", since or 0.0),
        latest=detail.get("latest", since or 0.0),
        text=text,
        detail=detail,
        facts={key: fact for key, fact in zip(_FACTS, facts, strict=True) if fact is not None},
    )
