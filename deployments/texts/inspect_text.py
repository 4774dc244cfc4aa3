"""What the inspecting verbs print for people; `--json` prints documents instead."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from rich.text import Text

from ...infra.ledgers.campaigns import CampaignSummary
from ...infra.records import Attempt, Case, Judgement
from ...monitoring.reports.compare import Changed, Comparison, Drifted
from ...monitoring.reports.digest import Digest
from ...monitoring.reports.explain import Explanation
from ...monitoring.reports.wording import STYLES, in_words, number, one_line, printable, span
from ...monitoring.reports.wording import cases as of_cases

SHOWN = 30
NAMES_SHOWN = 10
# Of the sentence why a campaign was refused.
REASON_WIDTH = 72
_STATE_STYLES = {
    "running": "bold cyan",
    "completed": "",
    "interrupted": "bold yellow",
    "cancelled": "yellow",
    "failed": "bold red",
    "refused": "dim",
}

Item = TypeVar("Item")


def campaign_lines(campaigns: Sequence[CampaignSummary]) -> Iterator[Text]:
    """What `proctor list` prints."""
    widest = max((len(each.id) for each in campaigns), default=0)
    names = {each.id: one_line(each.name or Path(each.root).name, 40) for each in campaigns}
    longest = max(map(len, names.values()), default=0)
    for each in campaigns:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.started))
        line = Text(each.id.ljust(widest)).append(f"  {when}  ", style="dim")
        line.append(f"{each.state:<11}", style=_STATE_STYLES.get(each.state, ""))
        code = "" if each.exit_code is None else f"exit {each.exit_code}"
        line.append(f"  {code:<7}", style="red" if each.exit_code else "dim")
        line.append(f"  {names[each.id]:<{longest}}")
        told = in_words(each.counts) if each.counts else ""
        if each.reason:
            # Why all of it failed is the news, whatever had run by then.
            ran = {kind: each.counts[kind] for kind in each.counts if kind != Judgement.NOT_RUN}
            told = _reason(each) + (f" ({in_words(ran)})" if ran else "")
        line.append(f"  {told}" if told else "", style="dim")
        yield line.append(f"  resumed {each.resumed}" if each.resumed else "", style="yellow")


def _reason(campaign: CampaignSummary) -> str:
    """In one line: of several problems the first, and how many more there are."""
    if not campaign.problems:
        return one_line(campaign.reason, REASON_WIDTH)
    more = campaign.problem_count - 1
    suffix = f" (and {more} more)" if more > 0 else ""
    return one_line(campaign.problems[0], REASON_WIDTH - len(suffix)) + suffix


def status_lines(digest: Digest, now: float, flags: str = "") -> Iterator[Text]:
    """Where a campaign stands."""
    running = digest.state == "running"
    line = Text(f"{digest.campaign}  ", style="bold").append(f"{digest.name}  ", style="")
    yield line.append(digest.state, style=_STATE_STYLES.get(digest.state, ""))
    waiting = digest.counts.get(Judgement.NOT_RUN, 0)
    done = len(digest.cases) - waiting
    counts = {kind: count for kind, count in digest.counts.items() if kind != Judgement.NOT_RUN}
    told = f": {in_words(counts)}" if counts else ""
    yield Text(f"  {number(done)} of {of_cases(len(digest.cases))} done{told}")
    phase = digest.phases[-1][0] if digest.phases else "not begun"
    took = (now if running else digest.finished) - digest.started
    # The summary's time, and what it took with starting, collecting and reporting.
    whole = f"  {span(digest.makespan)} from the first case to the last, {span(took)} in all"
    yield Text(f"  phase {phase}, {span(max(0.0, took))} so far" if running else whole)
    for how, times in Counter(digest.resumed).items():
        yield Text(f"  resumed {how}{'' if times == 1 else f' {times} times'}", style="yellow")
    if digest.predicted_makespan is not None and running:
        yield Text(f"  predicted to take {span(digest.predicted_makespan)}")
    if digest.exit_code is not None:
        yield Text(f"  exit code {digest.exit_code}")
    if digest.reason:
        yield Text(f"  {digest.reason}", style="bold red")
    advice = {
        "running": f"proctor watch {digest.campaign}",
        "interrupted": f"proctor resume {digest.campaign}",
    }.get(digest.state, f"proctor show {digest.campaign}")
    yield Text(f"  {advice}{flags}", style="dim")


def comparison_lines(comparison: Comparison) -> Iterator[Text]:
    """What `proctor diff` prints: the bad news first."""
    yield Text(f"{comparison.before} → {comparison.after}", style="bold")
    yield from _changed("Newly failing", comparison.newly_failing, "bold red")
    yield from _changed("Still failing", comparison.still_failing, "red")
    yield from _changed("Flaky", comparison.flaky, "yellow")
    yield from _changed("Fixed", comparison.fixed, "green")
    yield from _drifted("Slower beyond noise", comparison.slower, "yellow")
    yield from _drifted("Faster beyond noise", comparison.faster, "green")
    yield from _named("Added", comparison.added)
    yield from _named("Removed", comparison.removed)
    anything = (
        comparison.newly_failing,
        comparison.still_failing,
        comparison.flaky,
        comparison.fixed,
        comparison.slower,
        comparison.faster,
        comparison.added,
        comparison.removed,
    )
    if not any(anything):
        yield Text("No differences.")
    for told, of, by in (
        (comparison.unselected_after, comparison.before, comparison.after),
        (comparison.unselected_before, comparison.after, comparison.before),
    ):
        if told:
            yield Text(f"{of_cases(len(told))} of {of} not selected in {by}", style="dim")
    before, after = span(comparison.makespan_before), span(comparison.makespan_after)
    yield Text(f"\nmakespan {before} → {after}", style="dim")
    # Within a fifth is what two runs on one machine differ by.
    if not 0.8 < comparison.common_factor < 1.25:
        factor = f"{comparison.common_factor:.2f}"
        yield Text(f"all cases together took {factor} times as long: the machine, not the cases")


def explanation_lines(digest: Digest, explanation: Explanation) -> Iterator[Text]:
    """What `proctor explain` prints."""
    judgement = digest.verdicts[explanation.case.id].judgement
    yield Text(printable(explanation.case.id), style=STYLES[judgement])
    yield from (Text(f"  {one_line(sentence, 400)}") for sentence in explanation.sentences)
    if not explanation.waits:
        return
    yield Text(f"\nIt waited {span(explanation.waited)} from the campaign's start:", style="bold")
    for wait in explanation.waits:
        share = wait.seconds / explanation.waited if explanation.waited else 0.0
        yield Text(f"  {span(wait.seconds):>12}  {share:4.0%}  {wait.what}")


def attempt_title(attempt: Attempt, position: int, total: int) -> Text:
    """The line above an attempt's text."""
    line = Text("")
    if total > 1:
        line.append(f"attempt {position} of {total}: ", style="dim")
    line.append(attempt.outcome.value, style=STYLES[attempt.outcome.value])
    place = f" on {attempt.worker}, slot {attempt.slot}" if attempt.worker else ""
    line.append(f" in {span(attempt.usage.wall_seconds)}{place}", style="dim")
    if attempt.message:
        line.append(f"\n{attempt.message}")
    for note in attempt.notes:
        line.append(f"\nnote: {note}", style="yellow")
    return line


def case_title(digest: Digest, case: Case, flags: str = "") -> Iterator[Text]:
    """The lines above all attempts of a case."""
    verdict = digest.verdicts[case.id]
    line = Text(printable(case.id), style="bold")
    line.append(f"  {verdict.judgement}", style=STYLES[verdict.judgement])
    yield line.append(f"  in campaign {digest.campaign}", style="dim")
    if not digest.attempts.get(case.id):
        # Without its campaign it would be asked of the newest.
        asked = f"{shlex.quote(printable(case.id))} --campaign {digest.campaign}{flags}"
        command = f"proctor explain {asked}"
        yield Text(f"It has no attempts: `{command}` says why.")


def cancelled(campaign: str, was: str, now: str, no_wait: bool) -> str:
    """What became of a wish to cancel."""
    if was == "interrupted":
        return (
            f"Campaign {campaign} was interrupted: no process runs it; `proctor resume "
            f"{campaign}` would continue it."
        )
    if was != "running":
        return f"Campaign {campaign} had already ended: it is {was}."
    if now != "running":
        return f"Campaign {campaign} is {now}."
    if no_wait:
        return f"Campaign {campaign} was asked to end."
    return (
        f"Campaign {campaign} was asked to end and still runs; `proctor watch {campaign}` "
        "follows it."
    )


def _changed(title: str, changes: Sequence[Changed], style: str) -> Iterator[Text]:
    def line(change: Changed) -> Text:
        was = change.before or ("new" if change.selected else "not selected")
        text = Text(f"  {printable(change.case)}")
        text.append(f"  {was} → {change.after}", style="dim")
        message = one_line(change.message, 90)
        return text.append(f"\n      {message}", style="dim") if message else text

    yield from _section(title, changes, style, line)


def _drifted(title: str, drifts: Sequence[Drifted], style: str) -> Iterator[Text]:
    def line(drift: Drifted) -> Text:
        times = f"{span(drift.before_seconds)} → {span(drift.after_seconds)}"
        return Text(f"  {times:>22}  x{drift.factor:<5.2f}  {printable(drift.case)}")

    yield from _section(title, drifts, style, line)


def _named(title: str, names: Sequence[str]) -> Iterator[Text]:
    yield from _section(
        title, names, "bold", lambda name: Text(f"  {printable(name)}"), shown=NAMES_SHOWN
    )


def _section(
    title: str,
    items: Sequence[Item],
    style: str,
    line: Callable[[Item], Text],
    *,
    shown: int = SHOWN,
) -> Iterator[Text]:
    if not items:
        return
    yield Text(f"\n{title} ({number(len(items))})", style=style)
    yield from (line(item) for item in items[:shown])
    if len(items) > shown:
        yield Text(f"  … and {number(len(items) - shown)} more (all with --json)", style="dim")
