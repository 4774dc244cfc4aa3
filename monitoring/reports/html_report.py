"""A campaign as one HTML file that needs nothing else: no server, no network, no other file.

The page is a Jinja2 shell with our own styles and script. The facts stand in it as compact JSON,
columns rather than objects, so that 50,000 cases load at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...infra.records import Attempt, Outcome
from .digest import Digest, ReadOutput
from .wording import ORDER, cases, size, span

if TYPE_CHECKING:
    from jinja2 import Template

# A browser shows a longer text badly; `proctor logs` has all of it.
TEXT_LIMIT = 64 * 1024
# The file must stay small enough to attach and to open.
ALL_TEXT_LIMIT = 24 * 1024 * 1024
MESSAGE_LIMIT = 500

_OUTCOMES = tuple(outcome.value for outcome in Outcome)
_JUDGEMENTS = tuple(judgement.value for judgement in ORDER)


def write_html(path: Path, digest: Digest, read_output: ReadOutput) -> None:
    """Write the page; the caller sees to it that nobody reads it half-written."""
    # The shell holds names as they are; a lone surrogate in one has no UTF-8.
    path.write_text(page(digest, read_output), encoding="utf-8", errors="backslashreplace")


def page(digest: Digest, read_output: ReadOutput) -> str:
    """The whole document."""
    return _template().render(
        title=digest.name or digest.campaign,
        campaign=digest.campaign,
        state=digest.state,
        summary=f"{cases(len(digest.cases))} in {span(digest.makespan)}",
        data=_embedded(facts(digest, read_output)),
    )


def facts(digest: Digest, read_output: ReadOutput) -> dict[str, Any]:
    """What the page's script works on; its shape is the contract with html_report.js.j2."""
    indices = {case.id: position for position, case in enumerate(digest.cases)}
    groups: dict[str, int] = {}
    rows: dict[str, int] = {}
    attempts: list[list[Any]] = []
    texts: dict[int, list[list[str]]] = {}
    room = ALL_TEXT_LIMIT
    for case in digest.cases:
        for attempt in digest.attempts.get(case.id, ()):
            if attempt.outcome.is_failure and room > 0:
                sections = [[name, _cut(text)] for name, text in read_output(attempt) if text]
                room -= sum(len(text) for _, text in sections)
                if sections:
                    texts[len(attempts)] = sections
            attempts.append(_attempt_row(attempt, indices[case.id], rows, digest.started))
    return {
        "campaign": digest.campaign,
        "name": digest.name,
        "state": digest.state,
        "root": digest.root,
        "command": " ".join(digest.command),
        "host": digest.host,
        "started": digest.started,
        "makespan": round(digest.makespan, 3),
        "bound": round(digest.lower_bound, 3),
        "predicted": digest.predicted_makespan,
        "slots": digest.slots,
        "exit": digest.exit_code,
        "judgements": _JUDGEMENTS,
        "outcomes": _OUTCOMES,
        "counts": dict(digest.counts),
        "cases": [_case_row(digest, case.id, case.group, groups) for case in digest.cases],
        "groups": list(groups),
        "attempts": attempts,
        "rows": list(rows),
        "texts": texts,
        "textsLeftOut": room <= 0,
        "notes": [list(note) for note in digest.notes],
        "problems": list(digest.problems),
        "news": [
            [round(news.at - digest.started, 3), news.worker, news.event, news.reason]
            for news in digest.news
        ],
    }


def _case_row(digest: Digest, case: str, group: str, groups: dict[str, int]) -> list[Any]:
    verdict = digest.verdicts[case]
    # Most ids begin with their file: it is named once.
    within = group and case.startswith(group)
    return [
        groups.setdefault(group, len(groups)),
        case[len(group) :] if within else case,
        1 if within else 0,
        ORDER.index(verdict.judgement),
        round(verdict.wall_seconds * 1000),
        verdict.message[:MESSAGE_LIMIT],
    ]


def _attempt_row(attempt: Attempt, case: int, rows: dict[str, int], started: float) -> list[Any]:
    usage = attempt.usage
    row = f"{attempt.worker}/{attempt.slot}" if attempt.worker else ""
    return [
        case,
        _OUTCOMES.index(attempt.outcome),
        round((attempt.started - started) * 1000),
        round((attempt.finished - attempt.started) * 1000),
        rows.setdefault(row, len(rows)) if row else -1,
        round(usage.cpu_seconds * 1000),
        usage.peak_memory_bytes // 1000,
        attempt.message[:MESSAGE_LIMIT],
        _remarks(attempt),
        attempt.batch,
    ]


def _remarks(attempt: Attempt) -> list[str]:
    usage = attempt.usage
    gpu: list[str] = []
    if usage.gpu_utilisation is not None:
        gpu.append(f"GPU {usage.gpu_utilisation:.0f} %")
    if usage.gpu_memory_bytes is not None:
        gpu.append(f"GPU memory {size(usage.gpu_memory_bytes)}")
    return [
        *gpu,
        *attempt.notes,
        *(f"{name}: {value}" for name, value in attempt.properties),
    ]


def _cut(text: str) -> str:
    if len(text) <= TEXT_LIMIT:
        return text
    half = TEXT_LIMIT // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n\n[… {left_out:,} characters left out …]\n\n{text[-half:]}"


def _embedded(data: Mapping[str, Any]) -> str:
    from markupsafe import Markup

    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    # Inside a script element only "<" can end it or begin a comment; JSON has it in strings only.
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704


@cache
def _template() -> Template:
    # Jinja2 costs 60 ms to import; most campaigns that are looked at need no page.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(os.fspath(Path(__file__).parent))
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("html_report.j2")
