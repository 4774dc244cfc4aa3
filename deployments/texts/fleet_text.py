"""What the fleet's verbs print."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.text import Text

from ...monitoring.reports.progress import Progress
from ...monitoring.reports.terminal import Terminal
from ...monitoring.reports.wording import number, one_line, roughly
from ..standing.fleet_standing import ServiceStanding, Standing, WorkerStanding
from .state_text import GAP, print_table, state_text, table_width
from .worker_text import print_workers

__all__ = ["print_standing", "print_workers", "standing_document"]

# More workers than this are shown by class: all must fit on one screen.
SCREEN_WORKERS = 12
# So much of a campaign's name is shown on the narrowest screen.
NAME_WIDTH = 8
# Of a campaign that runs, and has not said how far it is.
NOT_TOLD = "not told yet"


def print_standing(
    console: Terminal,
    standing: Standing,
    progress: Mapping[str, Progress] = MappingProxyType({}),
    flags: str = "",
) -> None:
    """One screen: services, workers, campaigns and how far those are that run.

    `flags` is what a command that is proposed needs to find the same state.
    """
    _print_services(console, standing.services)
    if standing.workers:
        console.print()
        if len(standing.workers) <= SCREEN_WORKERS:
            print_workers(console, standing.workers)
        else:
            _print_classes(console, standing.workers, flags)
    if standing.campaigns:
        console.print()
        _print_campaigns(console, standing, progress)


def _print_services(console: Terminal, services: Sequence[ServiceStanding]) -> None:
    """One line each; notes follow where there is no room, for commands in them are copied whole."""
    rows = [
        (Text(each.name), state_text(each.state), Text(each.where), Text(each.note))
        for each in services
    ]
    headings = ("",) * 4
    below = bool(rows) and table_width(headings, rows) > console.width
    beside = 3 if below else 4
    print_table(console, headings[:beside], [row[:beside] for row in rows])
    for each in services if below else ():
        if each.note:
            console.print(Text(f"{each.name}: {each.note}"), soft_wrap=True)


def _print_campaigns(
    console: Terminal, standing: Standing, progress: Mapping[str, Progress]
) -> None:
    """Running ones with their progress, or else the newest ones with their times."""
    running = ("running", "done", "failures", "for", "left")
    columns = running if progress else ("campaign", "state", "started")
    rows: list[tuple[Text, ...]] = []
    for each in standing.campaigns:
        at = progress.get(each.id)
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.started))
        ended = (state_text(each.state), Text(started))
        # Its journals are too long to be read for one look, and its process has not said it.
        untold = (Text(NOT_TOLD if each.state == "running" else ""), *(Text(),) * 3)
        cells = _progress(at) if at else untold if progress else ended
        rows.append((Text(each.id), *cells))
    # The least of it: it is cut, and the rest is not broken.
    room = max(NAME_WIDTH, console.width - table_width(columns, rows) - GAP)
    names = [Text(one_line(each.name or each.project, room)) for each in standing.campaigns]
    named = [(*row, name) for row, name in zip(rows, names, strict=True)]
    print_table(console, (*columns, "name"), named)


def _progress(at: Progress) -> tuple[Text, ...]:
    done = at.so_far if at.total else at.phase or "starting"
    return (
        Text(done),
        Text(number(at.failures), style="bold red" if at.failures else ""),
        Text(roughly(at.elapsed_seconds)),
        Text("" if at.left_seconds is None else f"about {roughly(at.left_seconds)}"),
    )


def _print_classes(console: Terminal, workers: tuple[WorkerStanding, ...], flags: str) -> None:
    """How many of each class are in which state."""
    rows: list[tuple[Text, ...]] = []
    for name in sorted({each.instance.worker_class for each in workers}):
        mine = [each for each in workers if each.instance.worker_class == name]
        seen = [each.seen for each in mine if each.seen]
        states = Counter(each.state for each in mine)
        told = (
            name,
            str(len(mine)),
            f"{sum(each.busy for each in seen)}/{sum(each.facts.slots for each in seen)}",
            ", ".join(f"{count} {state}" for state, count in states.most_common()),
        )
        rows.append(tuple(map(Text, told)))
    print_table(console, ("class", "workers", "slots busy", ""), rows)
    console.print(f"`proctor workers{flags}` lists them one by one", soft_wrap=True)


def standing_document(
    standing: Standing, progress: Mapping[str, Progress] = MappingProxyType({})
) -> dict[str, Any]:
    """The same as one JSON document."""
    return {
        "state": str(standing.state),
        "up": standing.is_up,
        "address": standing.record.address if standing.record else "",
        "services": [
            {"name": each.name, "state": each.state, "where": each.where, "note": each.note}
            for each in standing.services
        ],
        "wanted": dict(standing.record.counts) if standing.record else {},
        "workers": [each.plain() for each in standing.workers],
        "campaigns": [
            {
                "id": each.id,
                "state": each.state,
                "started": each.started,
                "name": each.name,
                "project": each.project,
                "progress": progress[each.id].plain() if each.id in progress else None,
            }
            for each in standing.campaigns
        ],
    }
