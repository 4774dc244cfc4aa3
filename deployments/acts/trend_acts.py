"""The verbs about what moved: what they do."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...flows.trending.notifying import Notifier
from ...flows.trending.trend_run import look
from ...infra.errors import BadSetting, UsageProblem
from ...infra.quantities import parse_duration
from ...infra.settings import RunSettings, load_settings
from ...monitoring.reports.terminal import Terminal
from ...monitoring.reports.wording import counted, printable
from ...monitoring.store import Store
from ...monitoring.trends.analyzer import Limits
from ...monitoring.trends.document import load_text, trend_document, why_none
from ...monitoring.trends.findings import TrendReport
from ...monitoring.trends.html import write_trend_page

if TYPE_CHECKING:
    from ...flows.trending.confirm import Confirming
    from ...monitoring.trends.journal import Known

# More findings than a person reads.
_SHOWN = 40
_REGRESSION = 10


def show_trends(arguments: argparse.Namespace) -> int:
    """The verb `trends`, and what it does to single findings."""
    first = arguments.what[0] if arguments.what else ""
    inner = _INNER.get(first)
    if inner is not None:
        return inner(arguments)
    if len(arguments.what) > 1:
        raise UsageProblem(
            f"{len(arguments.what)} cases were given", remedy="give one, or none for all"
        )
    # Also false for what is no number.
    if not 0 < arguments.smallest < math.inf:
        raise BadSetting(
            f"--smallest {arguments.smallest} is no share of a level",
            remedy="give one above 0, such as 0.03",
        )
    with ExitStack() as stack:
        settings = _settings(arguments)
        state = settings.state
        notifier = _notifier(arguments, settings)
        notifier.check()
        if arguments.demo:
            from ...monitoring.trends.demo_history import write_demo

            state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="proctor-demo-")))
            write_demo(state)
            if arguments.confirm:
                raise UsageProblem(
                    "a made-up history has no code to run again", remedy="leave out --confirm"
                )
        looked = look(
            state,
            project=arguments.project,
            since=_since(arguments.since),
            case=first or None,
            metrics=tuple(arguments.metric),
            limits=Limits(smallest=arguments.smallest),
            confirming=_confirming(arguments) if arguments.confirm else None,
        )
    report = looked.report
    if arguments.html:
        write_trend_page(arguments.html, report)
    if arguments.png:
        from ...monitoring.trends.png import draw_first

        draw_first(arguments.png, report)
    if not looked.kept:
        _whisper(f"proctor: {state} cannot be written: only what its store has was looked at")
    elif not arguments.demo:
        notifier.tell(looked.news, report.project)
    if arguments.json:
        print(
            json.dumps({**trend_document(report), "news": [asdict(each) for each in looked.news]})
        )
    else:
        _print(report, page=None if arguments.demo or not looked.whole else looked.page)
        for file in filter(None, (arguments.html, arguments.png)):
            print(f"written: {file}")
    return _REGRESSION if arguments.fail_on and report.regressions else 0


def dismiss_finding(arguments: argparse.Namespace) -> int:
    """Say of a finding that it is nothing."""
    from ...monitoring.trends.findings import Status
    from ...monitoring.trends.journal import line_again, record, remarked

    store = Store(_state(arguments))
    project, known = _finding(store, arguments)
    record(store, [line_again(project, remarked(known, Status.DISMISSED, arguments.why))])
    return _say({"finding": known.id, "status": "dismissed"}, arguments, f"dismissed: {known.text}")


def confirm_finding(arguments: argparse.Namespace) -> int:
    """Run a suspected change again until it is sure or is not."""
    from ...flows.trending.confirm import confirm

    settings = _settings(arguments)
    store = Store(settings.state)
    project, known = _finding(store, arguments)
    notifier = _notifier(arguments, settings)
    notifier.check()
    told = confirm(store, project, known, _confirming(arguments))
    notifier.tell([told.news], project)
    confirmed = told.confirmed
    document = {"finding": known.id, "status": told.known.status, **confirmed.document()}
    _say(document, arguments, f"{known.id}: {told.known.text}")
    return _REGRESSION if arguments.fail_on and confirmed.is_worse else 0


def import_measurements(arguments: argparse.Namespace) -> int:
    """Take in what pytest-benchmark or asv measured."""
    from ...flows.campaigns.preparation import project_name_of
    from ...monitoring.benchmark_files import read_measurements
    from ...monitoring.benchmark_import import take_in

    if len(arguments.what) < 2:
        raise UsageProblem("no file was given", remedy="proctor trends import FILE")
    state = _state(arguments)
    # As campaigns of that directory are called: its tests and its benchmarks are one project.
    project = arguments.project or project_name_of(Path(arguments.directory).resolve())
    taken = [
        take_in(state, each, project=project)
        for name in arguments.what[1:]
        for each in read_measurements(Path(name))
    ]
    new = [each.name for each in taken if each.is_new]
    values = sum(each.values for each in taken if each.is_new)
    known = len(taken) - len(new)
    text = (
        f"{counted(values, 'value')} of {counted(len(new), 'run')} taken in, "
        f"{known} {'was' if known == 1 else 'were'} known"
    )
    return _say({"runs": new, "known": known, "values": values}, arguments, text)


def test_notify(arguments: argparse.Namespace) -> int:
    """Send a message that says it is a test."""
    if not arguments.notify:
        raise UsageProblem("nobody to notify was named", remedy="give --notify TYPE/NAME")
    notifier = _notifier(arguments, _settings(arguments))
    notifier.check()
    notifier.send(subject="Proctor: a test", body="This is a test of notifications.")
    return _say({"sent": arguments.notify}, arguments, f"sent to {', '.join(arguments.notify)}")


def bisect(arguments: argparse.Namespace) -> int:
    """Find the commit."""
    from ...flows.trending.bisect import bisect_case

    told = bisect_case(
        arguments.case,
        good=arguments.good,
        bad=arguments.bad,
        directory=Path(arguments.directory).resolve(),
        most=arguments.most,
        deadline=time.monotonic() + arguments.timeout,
        say=_whisper,
    )
    return _say(told.document(), arguments, told.text)


ACTS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "trends": show_trends,
    "bisect": bisect,
}
_INNER: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "confirm": confirm_finding,
    "dismiss": dismiss_finding,
    "import": import_measurements,
    "test-notify": test_notify,
}


def _confirming(arguments: argparse.Namespace) -> Confirming:
    from ...flows.trending.confirm import Confirming

    return Confirming(
        directory=Path(arguments.directory).resolve(),
        most=arguments.most,
        deadline=time.monotonic() + arguments.timeout,
        say=_whisper,
    )


def _finding(store: Store, arguments: argparse.Namespace) -> tuple[str, Known]:
    from ...monitoring.trends.journal import find_known

    if len(arguments.what) != 2:
        raise UsageProblem("no finding was named", remedy="`proctor trends` shows their ids")
    return find_known(store, arguments.what[1])


def _print(report: TrendReport, *, page: Path | None) -> None:
    terminal = Terminal()
    words = {"unknown": "with too few values to tell"}
    classes = ", ".join(
        f"{count:,} {words.get(kind, kind)}" for kind, count in sorted(report.classes.items())
    )
    terminal.print(
        f"{report.project}: {report.series_seen:,} series of {report.campaigns:,} campaigns"
        + (f" ({classes})" if classes else f", {why_none(report)}"),
        soft_wrap=True,
        markup=False,
    )
    styles = {"confirmed": "red", "suspected": "yellow", "recovered": "green", "dismissed": "dim"}
    for each in report.findings[:_SHOWN]:
        style = "green" if not each.worse else styles.get(each.status, "")
        terminal.print(
            f"{each.id}  {each.status} {each.kind}: {printable(each.text)}",
            style=style,
            soft_wrap=True,
            markup=False,
        )
    if not report.findings and report.series_seen:
        terminal.print("nothing moved for sure")
    left = len(report.findings) - _SHOWN
    if left > 0:
        terminal.print(f"… and {left} more (--json or the page has all)")
    if report.load:
        terminal.print(load_text(report), soft_wrap=True, markup=False)
    for note in report.notes:
        terminal.print(f"note: {printable(note)}", soft_wrap=True, markup=False)
    if any(each.status == "suspected" and each.kind == "change" for each in report.findings):
        terminal.print("suspected: `proctor trends --confirm` runs them again until it is clear")
    if page is not None and page.exists():
        terminal.print(f"plots: {page}", soft_wrap=True, markup=False)


def _say(document: Mapping[str, Any], arguments: argparse.Namespace, text: str) -> int:
    if arguments.json:
        print(json.dumps(document))
    else:
        Terminal().print(printable(text), soft_wrap=True, markup=False)
    return 0


def _whisper(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _settings(arguments: argparse.Namespace) -> RunSettings:
    given = {} if arguments.state is None else {"state": arguments.state}
    return load_settings(Path.cwd(), os.environ, given)


def _state(arguments: argparse.Namespace) -> Path:
    return Path(_settings(arguments).state)


def _notifier(arguments: argparse.Namespace, settings: RunSettings) -> Notifier:
    return Notifier(arguments.notify, state=settings.state, prefect=settings.prefect)


def _since(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        return time.time() - parse_duration(text, what="--since")
    try:
        return (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
    except OverflowError as problem:
        raise BadSetting(f"--since {text} is out of range", remedy="give a later day") from problem
