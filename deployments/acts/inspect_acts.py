"""Verbs that look at campaigns, or end one: what they do."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from ...infra.errors import UnknownCampaign, UsageProblem
from ...infra.judge import ExitCode
from ...infra.ledgers.campaigns import LAST, list_campaigns
from ...infra.ledgers.record import CampaignRecord, read_campaign
from ...infra.settings import load_settings
from ...infra.state_flag import state_flag, with_state
from ...monitoring.reports import documents
from ...monitoring.reports.compare import compare
from ...monitoring.reports.digest import digest_of
from ...monitoring.reports.explain import explain
from ...monitoring.reports.follow import view_of
from ...monitoring.reports.markdown import markdown
from ...monitoring.reports.publish import existing_reports, publish_reports, write_junit_where_asked
from ...monitoring.reports.summary import print_summary
from ...monitoring.reports.terminal import Terminal
from ...monitoring.reports.wording import counted, printable
from ..texts import inspect_text
from ..texts.inspect_watch import CANCEL_SECONDS, cancel, standing, watch
from .chosen_campaign import chosen
from .chosen_case import chosen_case


def print_list(arguments: argparse.Namespace) -> int:
    there = list_campaigns(_state(arguments))
    found = [each for each in there if arguments.all or not each.is_staged]
    shown = found[: arguments.limit]
    if arguments.json:
        return _document([documents.summary_document(each) for each in shown])
    if not found:
        start = f"`proctor run{_flags(arguments)}` starts one"
        return _lines([Text(f"No campaigns yet in {_state(arguments)}; {start}.")])
    _lines(inspect_text.campaign_lines(shown))
    # A pipe is to read campaigns only.
    if len(found) > len(shown):
        _remark(f"… and {len(found) - len(shown):,} more (--limit N)")
    if staged := len(there) - len(found):
        _remark(f"… and {staged:,} of cases made up for faults (--all)")
    return 0


def print_status(arguments: argparse.Namespace) -> int:
    digest = digest_of(_record(arguments, arguments.campaign))
    if arguments.json:
        return _document(documents.campaign_document(digest))
    return _lines(inspect_text.status_lines(digest, time.time(), _flags(arguments)))


def show_campaign(arguments: argparse.Namespace) -> int:
    record = _record(arguments, arguments.campaign)
    digest = digest_of(record)
    if arguments.junitxml is not None:
        write_junit_where_asked(arguments.junitxml, record, digest)
    published = None
    if arguments.html:
        published = publish_reports(record.directory, record=record, digest=digest)
    if arguments.json:
        document = documents.whole_document(digest)
        paths = published.paths if published else existing_reports(record.directory)
        return _document({**document, "reports": [str(path) for path in paths]})
    if arguments.markdown:
        return _raw(markdown(digest, record.text_of))
    if published:
        # Alone, so that it can be given to a browser.
        return _lines([Text(str(published.html))])
    print_summary(Terminal(), digest, existing_reports(record.directory), flags=_flags(arguments))
    return 0


def diff_campaigns(arguments: argparse.Namespace) -> int:
    after = _chosen(arguments, arguments.after or LAST)
    before = after if arguments.before is None else _chosen(arguments, arguments.before)
    if before == after:
        if arguments.after is not None:
            raise UsageProblem(
                f"both names are of campaign {after.name}",
                remedy="`proctor list` shows others",
            )
        before = _predecessor(_state(arguments), after)
    found = compare(digest_of(read_campaign(before)), digest_of(read_campaign(after)))
    if arguments.json:
        return _document(documents.comparison_document(found))
    return _lines(inspect_text.comparison_lines(found))


def print_logs(arguments: argparse.Namespace) -> int:
    record, digest, case = chosen_case(_state(arguments), arguments.campaign, arguments.case)
    attempts = list(enumerate(digest.attempts.get(case.id, ()), 1))
    total = len(attempts)
    if arguments.attempt is not None:
        attempts = attempts[arguments.attempt - 1 : arguments.attempt]
        if not attempts:
            raise UsageProblem(
                f"{printable(case.id)} has {counted(total, 'attempt')}, and none is number "
                f"{arguments.attempt}",
                remedy="leave --attempt out to see all",
            )
    if arguments.json:
        texts = [(attempt, record.text_of(attempt)) for _, attempt in attempts]
        return _document(documents.logs_document(digest, case, texts))
    _lines(inspect_text.case_title(digest, case, _flags(arguments)))
    for position, attempt in attempts:
        _lines([Text(""), inspect_text.attempt_title(attempt, position, total)])
        # As it is: a test's own colours belong to its output.
        for name, text in record.text_of(attempt):
            _lines([Text(f"\n--- {name} ".ljust(79, "-"), style="dim")])
            _raw(text if text.endswith("\n") else text + "\n")
    return 0


def explain_case(arguments: argparse.Namespace) -> int:
    _, digest, case = chosen_case(_state(arguments), arguments.campaign, arguments.case)
    found = explain(digest, case, _flags(arguments))
    if arguments.json:
        return _document(documents.explanation_document(digest, found))
    return _lines(inspect_text.explanation_lines(digest, found))


def watch_campaign(arguments: argparse.Namespace) -> int:
    directory = _chosen(arguments, arguments.campaign)
    # With --json stdout is the document's.
    terminal = Terminal(sys.stderr if arguments.json else sys.stdout)
    state = watch(directory, view_of(directory, terminal), timeout=arguments.timeout)
    digest = digest_of(read_campaign(directory))
    if arguments.json:
        _document(documents.campaign_document(digest))
    elif state == "running":
        terminal.print(Text(f"The time to watch is over; campaign {digest.campaign} still runs."))
    else:
        print_summary(terminal, digest, existing_reports(directory), flags=_flags(arguments))
    if state == "running":
        return ExitCode.DEADLINE
    return ExitCode.INTERRUPTED if digest.exit_code is None else digest.exit_code


def cancel_campaign(arguments: argparse.Namespace) -> int:
    directory = _to_cancel(arguments)
    was = standing(directory)
    now = cancel(directory, seconds=0.0 if arguments.no_wait else CANCEL_SECONDS)
    if arguments.json:
        _document({"campaign": directory.name, "was": was, "state": now})
    else:
        told = inspect_text.cancelled(directory.name, was, now, arguments.no_wait)
        _lines([Text(with_state(told, _flags(arguments)))])
    late = was == now == "running" and not arguments.no_wait
    return ExitCode.DEADLINE if late else ExitCode.OK


ACTS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "list": print_list,
    "status": print_status,
    "show": show_campaign,
    "diff": diff_campaigns,
    "logs": print_logs,
    "explain": explain_case,
    "watch": watch_campaign,
    "cancel": cancel_campaign,
}


def _state(arguments: argparse.Namespace) -> Path:
    flags = {} if arguments.state is None else {"state": arguments.state}
    return Path(load_settings(Path.cwd(), os.environ, flags).state)


def _flags(arguments: argparse.Namespace) -> str:
    return state_flag(arguments.state)


def _chosen(arguments: argparse.Namespace, campaign: str) -> Path:
    return chosen(_state(arguments), campaign)


def _record(arguments: argparse.Namespace, campaign: str) -> CampaignRecord:
    return read_campaign(_chosen(arguments, campaign))


def _predecessor(state: Path, after: Path) -> Path:
    """The campaign of the same project that ran before; one that was refused did not run."""
    found = list_campaigns(state)
    place = next(number for number, each in enumerate(found) if each.directory == after)
    project = (found[place].project, found[place].root)
    for each in found[place + 1 :]:
        # Nor has one whose suite could not be collected anything to compare with.
        nothing = each.state == "failed" and set(each.counts) <= {"not-run"}
        if (each.project, each.root) == project and each.is_history and not nothing:
            return each.directory
    raise UnknownCampaign(
        f"no campaign of its project ran before {after.name}",
        remedy="name both: `proctor diff A B`",
    )


def _to_cancel(arguments: argparse.Namespace) -> Path:
    """The campaign that was named; without a name only one that cannot be mistaken."""
    state = _state(arguments)
    if arguments.campaign is not None:
        return _chosen(arguments, arguments.campaign)
    running = [each for each in list_campaigns(state) if each.state == "running"]
    if len(running) == 1:
        return running[0].directory
    if running:
        raise UsageProblem(
            f"{len(running)} campaigns are running: {', '.join(each.id for each in running)}",
            remedy="say which",
        )
    raise UnknownCampaign(
        "no campaign is running",
        remedy="`proctor list` shows how they ended",
    )


def _document(document: Any) -> int:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0


def _lines(lines: Iterable[Text]) -> int:
    terminal = Terminal()
    for line in lines:
        terminal.print(line, soft_wrap=True)
    return 0


def _remark(text: str) -> None:
    Terminal(sys.stderr).print(Text(text, style="dim"), soft_wrap=True)


def _raw(text: str) -> int:
    Terminal().file.write(text)
    return 0
