"""The summary of a campaign in Markdown, for the job pages of CI systems."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...infra.judge import BLAMED
from ...infra.records import Judgement
from .digest import (
    Digest,
    ReadOutput,
    decisive,
    failure_groups,
    losses,
    slowest,
    warnings_of,
    with_judgement,
)
from .next_steps import logs_command
from .sections import cause
from .wording import cases as of_cases
from .wording import counted, in_words, number, one_line, printable, size, span

# GitHub cuts a job summary at 1 MiB; this stays far below with every excerpt at its longest.
GROUPS_SHOWN = 40
CASES_OF_GROUP = 10
EXCERPTS_SHOWN = 20
EXCERPT_LINES = 40
EXCERPT_CHARACTERS = 8_000
NAMES_SHOWN = 20
SLOWEST_SHOWN = 10

_LISTS = (
    ("Flaky: passed after a failure", Judgement.FLAKY),
    ("Muted: failed, and do not count", Judgement.MUTED),
    ("Lost too often by the infrastructure", Judgement.INFRA_LOST),
    ("Not run", Judgement.NOT_RUN),
)


def markdown(digest: Digest, read_output: ReadOutput | None = None) -> str:
    """The document; failures first, with an excerpt each where the text can be read."""
    return "\n".join(_lines(digest, read_output)) + "\n"


def _lines(digest: Digest, read_output: ReadOutput | None) -> Iterator[str]:
    bad = any(digest.counts.get(kind) for kind in BLAMED)
    well = not bad and digest.state == "completed" and not digest.exit_code
    name = _escaped(digest.name or "Proctor")
    yield f"## {'✅' if well else '❌'} {name}: {in_words(digest.counts)}"
    yield ""
    yield _measures(digest)
    if digest.state != "completed":
        yield ""
        yield f"**The campaign is {digest.state}.**"
    if digest.reason:
        yield ""
        yield _escaped(digest.reason)
    yield from _failures(digest)
    yield from _excerpts(digest, read_output)
    for title, judgement in _LISTS:
        yield from _list(digest, title, judgement)
    lost = losses(digest)
    if lost:
        yield ""
        yield f"{number(len(lost))} executions were lost by the infrastructure."
    yield from _warnings(digest)
    yield from _notes(digest)
    yield from _slowest(digest)


def _measures(digest: Digest) -> str:
    parts = [
        f"{of_cases(len(digest.cases))} in **{span(digest.makespan)}**",
        f"{digest.slots} slots",
        f"lower bound {span(digest.lower_bound)}",
    ]
    if digest.ratio is not None:
        parts.append(f"makespan over lower bound {digest.ratio:.2f}")
    return " · ".join([*parts, f"campaign `{digest.campaign}`"])


def _failures(digest: Digest) -> Iterator[str]:
    groups = failure_groups(digest)
    if not groups:
        return
    yield from ("", "| | Case | Message | Time |", "|---|---|---|---:|")
    for group in groups[:GROUPS_SHOWN]:
        for case in group.cases[:CASES_OF_GROUP]:
            verdict = digest.verdicts[case.id]
            cells = (group.judgement, _code(case.id), _escaped(one_line(verdict.message)))
            yield f"| {' | '.join(cells)} | {span(verdict.wall_seconds)} |"
        rest = len(group.cases) - CASES_OF_GROUP
        if rest > 0:
            more = f"… and {of_cases(rest)} more like this"
            yield f"| {group.judgement} | {more} | {_escaped(group.message)} | |"
    if len(groups) > GROUPS_SHOWN:
        rest = sum(len(group.cases) for group in groups[GROUPS_SHOWN:])
        yield f"\n… and {of_cases(rest)} more in the HTML report."
    yield from ("", f"All of one: `{logs_command(groups[0].cases[0].id)}`")


def _excerpts(digest: Digest, read_output: ReadOutput | None) -> Iterator[str]:
    if read_output is None:
        return
    # One of each way to fail: the others of its group read the same.
    for group in failure_groups(digest)[:EXCERPTS_SHOWN]:
        case = group.cases[0]
        attempt = decisive(digest, case.id)
        if attempt is None:
            continue
        text = cause(read_output(attempt))
        if text.strip():
            yield from ("", f"<details><summary>{_html(case.id)}</summary>", "")
            yield from _fenced(_tail(text))
            yield from ("", "</details>")


def _list(digest: Digest, title: str, judgement: Judgement) -> Iterator[str]:
    cases = with_judgement(digest, judgement)
    if not cases:
        return
    yield from ("", f"### {title} ({number(len(cases))})", "")
    for case in cases[:NAMES_SHOWN]:
        message = one_line(digest.verdicts[case.id].message)
        yield f"- {_code(case.id)}" + (f": {_escaped(message)}" if message else "")
    if len(cases) > NAMES_SHOWN:
        yield f"- … and {number(len(cases) - NAMES_SHOWN)} more"


def _notes(digest: Digest) -> Iterator[str]:
    texts = [text for level, text in digest.notes if level != "info"]
    texts.extend(f"unreadable: {problem}" for problem in digest.problems)
    if texts:
        yield from ("", "### Notes", "")
        yield from (f"- {_escaped(one_line(text, 300))}" for text in texts[:NAMES_SHOWN])


def _warnings(digest: Digest) -> Iterator[str]:
    found = warnings_of(digest)
    if not found:
        return
    yield from ("", f"<details><summary>{counted(len(found), 'warning')}</summary>", "")
    yield from (f"- {_escaped(one_line(text, 300))}" for text in found[:NAMES_SHOWN])
    yield from ("", "</details>")


def _slowest(digest: Digest) -> Iterator[str]:
    pairs = slowest(digest, SLOWEST_SHOWN)
    if not pairs:
        return
    yield from ("", "<details><summary>Slowest cases</summary>", "")
    yield from ("| Time | Memory | Case |", "|---:|---:|---|")
    for case, verdict in pairs:
        attempt = decisive(digest, case.id)
        peak = attempt.usage.peak_memory_bytes if attempt is not None else 0
        memory = size(peak) if peak else ""
        yield f"| {span(verdict.wall_seconds)} | {memory} | {_code(case.id)} |"
    yield from ("", "</details>")


def _tail(text: str) -> str:
    lines = text.rstrip().splitlines()
    kept = "\n".join(lines[-EXCERPT_LINES:])[-EXCERPT_CHARACTERS:]
    left_out = len(lines) - EXCERPT_LINES
    return f"… {left_out} lines above\n{kept}" if left_out > 0 else kept


def _fenced(text: str) -> tuple[str, str, str]:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text", text, fence


def _code(text: str) -> str:
    # A code span inside a table cell: the cell ends at any bar, even in code.
    plain = printable(text).replace("|", "\\|")
    return f"`` {plain} ``" if "`" in plain else f"`{plain}`"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#~$])", r"\\\1", printable(text))


def _html(text: str) -> str:
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
