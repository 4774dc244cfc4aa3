"""One look at the trends, without Prefect: take in the news, analyse, remember, write a page."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...blocks.notify import keep_news
from ...infra.cores import core_count
from ...infra.ledgers.campaigns import campaigns_directory
from ...monitoring.ingest import ingest
from ...monitoring.store import Store
from ...monitoring.trends.analyzer import Limits, analyze
from ...monitoring.trends.findings import TrendReport
from ...monitoring.trends.html import write_trend_page
from ...monitoring.trends.journal import News, known_findings, remember_findings, settle
from ...monitoring.trends.source import NoHistory

if TYPE_CHECKING:
    from .confirm import Confirming

# A process more pays for thousands of series only.
_MOST_PROCESSES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A report, what of it is new, and where the page is."""

    report: TrendReport
    news: tuple[News, ...]
    page: Path
    # Whether everything was looked at, and the page is of this look.
    whole: bool = True
    # Whether it is remembered; where nothing can be written it is not.
    kept: bool = True


def look(
    state: Path,
    *,
    project: str | None = None,
    since: float | None = None,
    case: str | None = None,
    metrics: Sequence[str] = (),
    limits: Limits | None = None,
    store: Store | None = None,
    confirming: Confirming | None = None,
) -> Looked:
    """Analyse a project's history and remember what was found; run suspects again if told how.

    Looking at a part of it (a case, a metric, a time) ends no finding that lies elsewhere. Where
    nothing can be written, what the store has is looked at, and nothing is remembered.
    """
    store = store or Store(state)
    if not store.exists and not campaigns_directory(state).is_dir():
        # A place that was mistyped must not become a store.
        raise NoHistory(
            f"no campaign ever ran in {state}", remedy="run some, or name another with `--state`"
        )
    # Runs again are campaigns, and these have to be written.
    kept = confirming is not None or not store.exists or is_writable(store)
    if kept:
        ingest(store)
    report = analyze(
        store,
        project=project,
        since=since,
        case=case,
        metrics=metrics,
        limits=limits,
        processes=min(core_count(), _MOST_PROCESSES),
    )
    whole = since is None and case is None and not metrics
    smallest = (limits or Limits()).smallest
    page = state / "trends" / f"{_file_name(report.project)}.html"
    if not kept:
        known = known_findings(store, report.project)
        settled, _ = settle(report, known, whole=whole, smallest=smallest)
        return Looked(report=settled.report, news=(), page=page, whole=False, kept=False)
    settled = remember_findings(store, report, whole=whole, smallest=smallest)
    # It is news once: whoever ends this while cases run again is told the next time.
    keep_news(settled.news, state=state)
    if confirming is not None:
        # It starts fleets, which takes a while to import.
        from .confirm_news import confirm_suspected

        settled = confirm_suspected(store, settled, confirming)
    if whole:
        write_trend_page(page, settled.report)
    return Looked(report=settled.report, news=settled.news, page=page, whole=whole)


def is_writable(store: Store) -> bool:
    """Whether its state directory, and the file in it, may be written."""
    return all(os.access(path, os.W_OK) for path in (store.state, store.path))


def _file_name(project: str) -> str:
    return re.sub(r"[^\w.-]+", "-", project).strip("-.")[:80] or "project"
