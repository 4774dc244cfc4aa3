"""What the artifacts of a campaign's flow run say."""

from __future__ import annotations

import re
from pathlib import Path

from ...monitoring.reports.wording import cases, judged, one_line, roughly, span
from .last_word import Conclusion
from .mirror_facts import ArtifactFacts, ArtifactKind
from .mirror_picture import Picture

# A table in Prefect's UI is one JSON document; more rows help nobody.
ROWS_SHOWN = 200
CASE_SHOWN = 500
# Prefect's page takes a cell for Markdown. What stays as it is can be searched for there: inside a
# word an underscore means nothing, nor do brackets without a link.
_MARKDOWN = re.compile(r"[\\`*<~]|\](?=\()")


def progress(picture: Picture, now: float) -> ArtifactFacts:
    """How far it is; the UI draws a bar."""
    total = len(picture.cases)
    done = len(picture.settled & picture.cases)
    share = 100.0 if picture.closed else (100.0 * done / total if total else 0.0)
    return ArtifactFacts(
        key="proctor-progress",
        kind=ArtifactKind.PROGRESS,
        description=_progress_line(picture, done, total, now),
        data=round(share, 1),
    )


def failures(picture: Picture) -> ArtifactFacts | None:
    """A table of what fails; none while nothing does."""
    blamed = picture.blamed
    if not blamed:
        return None
    rows = [
        {
            "case": _cell(one_line(case, CASE_SHOWN)),
            "outcome": each.outcome.value,
            "message": _cell(one_line(each.message)),
            "attempts": each.attempts,
            "seconds": round(each.seconds, 3),
            "worker": each.worker,
        }
        for case, each in list(blamed.items())[:ROWS_SHOWN]
    ]
    rest = len(blamed) - len(rows)
    more = f"; the {rest:,} others are in the report" if rest else ""
    return ArtifactFacts(
        key="proctor-failures",
        kind=ArtifactKind.TABLE,
        description=f"{cases(len(blamed))} failing{more}",
        data=rows,
    )


def summary(picture: Picture, conclusion: Conclusion, directory: Path) -> ArtifactFacts:
    """The Markdown summary: the campaign's own where it was written, else the few known facts."""
    written = directory / "report" / "summary.md"
    try:
        text = written.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = _plain_summary(picture, conclusion)
    return ArtifactFacts(
        key="proctor-summary",
        kind=ArtifactKind.MARKDOWN,
        description=f"campaign {directory.name}",
        data=text,
    )


def report_link(directory: Path) -> ArtifactFacts | None:
    """Where the HTML report lies, once it is written."""
    page = directory / "report" / "report.html"
    if not page.exists():
        return None
    return ArtifactFacts(
        key="proctor-report",
        kind=ArtifactKind.LINK,
        description=f"the HTML report, on the machine that ran the campaign: {page}",
        data=page.as_uri(),
    )


def dashboard_link(url: str) -> ArtifactFacts:
    return ArtifactFacts(
        key="proctor-dashboard",
        kind=ArtifactKind.LINK,
        description="the dashboard",
        data=url,
    )


def _cell(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", text)


def _progress_line(picture: Picture, done: int, total: int, now: float) -> str:
    if picture.closed:
        return f"{done:,} of {cases(total)} in {span(picture.closed.makespan)}"
    parts = [f"{done:,} of {cases(total)}"]
    if picture.blamed:
        parts.append(judged("failed", len(picture.blamed)))
    if picture.flaky:
        parts.append(judged("flaky", len(picture.flaky)))
    if picture.is_over:
        return " · ".join([*parts, "interrupted"])
    slots = sum(picture.workers.values())
    parts.append(f"{slots} slots" if slots != 1 else "1 slot")
    run = next((phase for phase in picture.phases if phase.name == "run"), None)
    if picture.predicted_seconds and run is not None:
        left = run.started + picture.predicted_seconds - now
        if left > 0:
            parts.append(f"about {roughly(left)} left")
    return " · ".join(parts)


def _plain_summary(picture: Picture, conclusion: Conclusion) -> str:
    opened = picture.opened
    title = (opened.name or opened.campaign) if opened else "campaign"
    lines = [f"## {title}: {conclusion.message}", ""]
    if opened:
        command = " ".join(opened.command).replace("`", "'")
        lines += [f"- campaign `{opened.campaign}`", f"- command `{command}`"]
    if picture.closed:
        lines.append(
            f"- makespan {span(picture.closed.makespan)},"
            f" lower bound {span(picture.closed.lower_bound)}"
        )
    return "\n".join(lines) + "\n"
