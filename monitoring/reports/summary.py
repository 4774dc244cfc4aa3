"""The end of a campaign in the terminal: what failed first, then what to know, then what to do."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ...infra.judge import BLAMED
from ...infra.ledgers.lines import CANCELLED, REFUSED, STOPPED
from ...infra.records import Case, Judgement
from .digest import (
    DAMAGED,
    Digest,
    FailureGroup,
    decisive,
    failure_groups,
    losses,
    slowest,
    warnings_of,
    with_judgement,
)
from .next_steps import next_steps
from .nothing_there import nothing_there
from .wording import ORDER, STYLES, judged, number, one_line, printable, size, span
from .wording import cases as of_cases

# With its indent and what follows it in brackets, a message ends before column 100.
MESSAGE_WIDTH = 72
# Of notes and warnings, so that they end there as well; and where nothing is to be cut.
TEXT_WIDTH = 96
WHOLE = sys.maxsize
GROUPS_SHOWN = 25
# Of cases that failed in the same way, so many are named.
CASES_OF_GROUP = 3
NAMES_SHOWN = 10
SLOWEST_SHOWN = 5
# With starting, collecting and the pause before a resume it took so much longer: that is told.
TOLD_SECONDS = 1.0
# A schedule that is so near to its bound needs no words; nor does a wait as short as that.
TOLD_RATIO = 1.05
TOLD_IDLE_SECONDS = 0.05
# Faster than this and the list of slowest cases says nothing.
SLOW_SECONDS = 0.5

_TITLES = {
    Judgement.CRASHED: "Crashed",
    Judgement.OUT_OF_MEMORY: "Out of memory",
    Judgement.TIMED_OUT: "Timed out",
    Judgement.ERROR: "Errors",
    Judgement.FAILED: "Failed",
}


def print_summary(
    console: Console,
    digest: Digest,
    reports: Sequence[Path] = (),
    *,
    flags: str = "",
    told: Collection[str] = (),
) -> None:
    """Print it. Only ids and paths may pass column 100: they are copied, so nothing folds them.

    `flags` is what a further command needs to find the campaign, such as " --state DIR"; `told`
    are the notes that stand above it already. Where there are no columns, in a pipe or a log,
    notes and warnings are whole: nobody can widen that.
    """
    width = TEXT_WIDTH if console.is_terminal else WHOLE
    summary = render(digest, reports, flags=flags, told=told, width=width)
    console.print(summary, soft_wrap=True)


def render(
    digest: Digest,
    reports: Sequence[Path] = (),
    *,
    flags: str = "",
    told: Collection[str] = (),
    width: int = TEXT_WIDTH,
) -> Text:
    """The whole summary."""
    lines = (
        *_failures(digest, flags),
        *_infrastructure(digest),
        *_list("Flaky: passed after a failure", digest, Judgement.FLAKY),
        *_list("Muted: failed, and do not count", digest, Judgement.MUTED),
        *_list(
            "Still to run" if digest.state == "running" else "Not run",
            digest,
            Judgement.NOT_RUN,
            shown=3,
        ),
        *_list("Passed although marked xfail", digest, Judgement.XPASSED, shown=3),
        *_slowest(digest),
        *_warnings(digest, width),
        *_notes(digest, told, width),
        *_verdict(digest, flags),
        *_reports(reports),
        *_next(digest, flags),
    )
    return Text("\n").join(lines)


def _failures(digest: Digest, flags: str) -> Iterator[Text]:
    groups = failure_groups(digest)
    previous: Judgement | None = None
    for group in groups[:GROUPS_SHOWN]:
        if group.judgement is not previous:
            total = digest.counts[group.judgement]
            title = f"{_TITLES[group.judgement]} ({number(total)})"
            yield _title(title, STYLES[group.judgement])
            previous = group.judgement
        yield from _group(digest, group)
    if len(groups) > GROUPS_SHOWN:
        rest = sum(len(group.cases) for group in groups[GROUPS_SHOWN:])
        yield _dim(f"  … and {of_cases(rest)} more: proctor show {digest.campaign}{flags}")


def _group(digest: Digest, group: FailureGroup) -> Iterator[Text]:
    # Three or fewer stand each with its own message: numbers in it may differ.
    alone = len(group.cases) <= CASES_OF_GROUP
    for case in group.cases[:CASES_OF_GROUP]:
        yield Text(f"  {printable(case.id)}")
        if alone:
            message = one_line(digest.verdicts[case.id].message, MESSAGE_WIDTH)
            yield _dim(f"      {message}{_where(digest, case)}")
    if not alone:
        rest = len(group.cases) - CASES_OF_GROUP
        yield _dim(f"  … and {number(rest)} more, each much like this:")
        yield _dim(f"      {one_line(group.message, MESSAGE_WIDTH)}")


def _where(digest: Digest, case: Case) -> str:
    attempt = decisive(digest, case.id)
    if attempt is None:
        return ""
    tries = digest.verdicts[case.id].attempts
    times = f", {tries} attempts" if tries > 1 else ""
    worker = f" on {attempt.worker}" if attempt.worker else ""
    return f"  ({span(attempt.usage.wall_seconds)}{worker}{times})"


def _infrastructure(digest: Digest) -> Iterator[Text]:
    lost = losses(digest)
    gone = [news for news in digest.news if news.event == "lost"]
    if lost or gone:
        yield _title("Infrastructure", STYLES["infra-lost"])
    for news in gone[:NAMES_SHOWN]:
        yield Text(f"  worker {news.worker} was lost: {one_line(news.reason) or 'no reason known'}")
    if lost:
        names = {attempt.case for attempt in lost}
        without = {case.id for case in with_judgement(digest, Judgement.INFRA_LOST)}
        again = of_cases(len(names - without))
        executions = "1 execution" if len(lost) == 1 else f"{number(len(lost))} executions"
        yield Text(f"  {executions} lost; {again} ran again with a result")
    yield from _list("Without a result: lost too often", digest, Judgement.INFRA_LOST)


def _list(
    title: str, digest: Digest, judgement: Judgement, *, shown: int = NAMES_SHOWN
) -> Iterator[Text]:
    cases = with_judgement(digest, judgement)
    if not cases:
        return
    yield _title(f"{title} ({number(len(cases))})", STYLES[judgement])
    for case in cases[:shown]:
        yield Text(f"  {printable(case.id)}")
        message = one_line(digest.verdicts[case.id].message, MESSAGE_WIDTH)
        if message:
            yield _dim(f"      {message}")
    if len(cases) > shown:
        yield _dim(f"  … and {number(len(cases) - shown)} more")


def _slowest(digest: Digest) -> Iterator[Text]:
    cases = [pair for pair in slowest(digest, SLOWEST_SHOWN) if pair[1].wall_seconds > SLOW_SECONDS]
    if not cases:
        return
    yield _title("Slowest", "bold")
    for case, verdict in cases:
        attempt = decisive(digest, case.id)
        peak = attempt.usage.peak_memory_bytes if attempt is not None else 0
        measures = f"{span(verdict.wall_seconds):>12}  {size(peak) if peak else '':>7}"
        yield Text(f"  {measures}  {printable(case.id)}")


def _notes(digest: Digest, told: Collection[str], width: int) -> Iterator[Text]:
    # Why it was cancelled or stopped stands with the verdict.
    texts = [
        text
        for level, text in digest.notes
        if level != "info" and not text.startswith((CANCELLED, STOPPED)) and text not in told
    ]
    texts.extend(f"unreadable: {problem}" for problem in digest.problems)
    if texts:
        yield _title("Notes", "bold")
    for text in texts[:NAMES_SHOWN]:
        # Which line of which file is the point of a damage, and what to do instead of a refusal.
        whole = digest.state == REFUSED or text.startswith("unreadable")
        yield Text(f"  {one_line(text, max(width, 400) if whole else width)}")


def _warnings(digest: Digest, width: int) -> Iterator[Text]:
    found = warnings_of(digest)
    if found:
        yield _title(f"Warnings ({number(len(found))})", "yellow")
    for text in found[:NAMES_SHOWN]:
        yield _dim(f"  {one_line(text, width)}")
    if len(found) > NAMES_SHOWN:
        yield _dim(f"  … and {number(len(found) - NAMES_SHOWN)} more, in the HTML report")


def _verdict(digest: Digest, flags: str) -> Iterator[Text]:
    bad = any(digest.counts.get(kind) for kind in BLAMED)
    good = not bad and digest.state == "completed" and not digest.exit_code
    yield Text("")
    line = Text()
    for position, kind in enumerate(kind for kind in ORDER if digest.counts.get(kind)):
        line.append(", " if position else "", style="dim")
        line.append(judged(kind, digest.counts[kind]), style=STYLES[kind])
    if not digest.cases:
        line.append("no cases", style="yellow")
    line.append(f"  in {span(digest.makespan)}", style="bold green" if good else "bold")
    whole = digest.finished - digest.started
    if whole - digest.makespan > TOLD_SECONDS:
        line.append(f" ({span(whole)} in all)", style="dim")
    yield line
    if not digest.cases and digest.state == "completed":
        has_list = "--tasks" in digest.again
        tasks = digest.again[digest.again.index("--tasks") + 1] if has_list else ""
        aside = len(digest.selection.unselected or ())
        told = nothing_there(root=digest.root, command=digest.command, tasks=tasks, aside=aside)
        yield Text(told)
    if digest.reason.startswith(DAMAGED):
        yield Text(f"{digest.reason.capitalize()}.", style="bold red")
        yield Text(
            f"`proctor check {digest.campaign}{flags}` tells what is wrong.", style="bold red"
        )
    if digest.state == REFUSED:
        yield Text("The campaign was refused before anything ran.", style="bold yellow")
    elif digest.state != "completed":
        said = (text for _, text in reversed(digest.notes) if text.startswith(CANCELLED))
        why = next(said, "").removeprefix(CANCELLED) if digest.state == "cancelled" else ""
        yield Text(
            f"The campaign is {digest.state}{': ' if why else ''}{why}.", style="bold yellow"
        )
    elif digest.stopped:
        yield Text(f"T{digest.stopped[1:]}.", style="bold yellow")
    if digest.ratio is not None:
        slots = f"{digest.slots} slot{'' if digest.slots == 1 else 's'}"
        yield _dim(
            f"{slots}; lower bound {span(digest.lower_bound)}, "
            f"makespan over lower bound {digest.ratio:.2f}"
        )
        yield from _idle(digest)


def _idle(digest: Digest) -> Iterator[Text]:
    """What a ratio is made of that people would ask about."""
    idle = digest.idle
    parts = {
        "for sessions to start": idle.start,
        "between cases (files to load)": idle.between,
        "at the end": idle.end,
    }
    told = [f"{span(each)} {what}" for what, each in parts.items() if each >= TOLD_IDLE_SECONDS]
    if told and digest.ratio is not None and digest.ratio > TOLD_RATIO:
        yield _dim(f"each slot waited {', '.join(told)}")


def _reports(reports: Sequence[Path]) -> Iterator[Text]:
    for position, path in enumerate(reports):
        yield Text(f"{'Reports' if not position else '':<8} {path}")


def _next(digest: Digest, flags: str) -> Iterator[Text]:
    for position, step in enumerate(next_steps(digest, flags)):
        line = Text(f"{'Next' if not position else '':<8} ")
        yield line.append(step.command, style="bold").append(f"  {step.purpose}", style="dim")


def _title(text: str, style: str) -> Text:
    return Text(f"\n{text}", style=style)


def _dim(text: str) -> Text:
    return Text(text, style="dim")
