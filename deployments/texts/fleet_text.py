"""What the fleet's verbs print."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ...monitoring.reports.terminal import Terminal
from ..standing.fleet_standing import Standing, WorkerStanding

if TYPE_CHECKING:
    from ...monitoring.prediction.worker_scores import Score

_COLOURS = {"up": "green", "idle": "green", "busy": "cyan", "running": "cyan", "off": "dim",
            "starting": "yellow", "draining": "yellow", "stopping": "yellow", "down": "dim",
            "completed": "green", "sick": "red"}  # fmt: skip

# More workers than this are shown by class: all must fit on one screen.
SCREEN_WORKERS = 12


def print_standing(console: Terminal, standing: Standing) -> None:
    """One screen: services, workers, campaigns."""
    services = _table("", "", "", "")
    for each in standing.services:
        services.add_row(each.name, _state(each.state), each.where, each.note)
    console.print(services)
    if standing.workers:
        console.print()
        if len(standing.workers) <= SCREEN_WORKERS:
            print_workers(console, standing.workers)
        else:
            _print_classes(console, standing.workers)
    if standing.campaigns:
        console.print()
        campaigns = _table("campaign", "state", "started", "name")
        for each in standing.campaigns:
            started = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.started))
            campaigns.add_row(each.id, _state(each.state), started, each.name or each.project)
        console.print(campaigns)


def print_workers(
    console: Terminal,
    workers: tuple[WorkerStanding, ...],
    scores: Mapping[str, Score] = MappingProxyType({}),
) -> None:
    """One line each; with a column of speeds where any is known."""
    known = any(each.instance.name in scores for each in workers)
    speed = ("speed",) if known else ()
    table = _table("worker", "class", "state", "slots", "offers", *speed, "incarnation", "")
    for each in workers:
        seen = each.seen
        note = each.instance.reason or each.sick
        if each.restarts and each.instance.phase.is_there:
            note = "died once" if each.restarts == 1 else f"died {each.restarts} times in a row"
        table.add_row(
            each.instance.name,
            each.instance.worker_class,
            _state(each.state),
            f"{seen.busy}/{seen.facts.slots}" if seen else "",
            each.offers,
            *([_speed(scores.get(each.instance.name))] if known else []),
            seen.facts.incarnation if seen else each.instance.place,
            note,
        )
    console.print(table)


def _speed(score: Score | None) -> str:
    return score.text if score is not None else ""


def _print_classes(console: Terminal, workers: tuple[WorkerStanding, ...]) -> None:
    """How many of each class are in which state."""
    table = _table("class", "workers", "slots busy", "")
    for name in sorted({each.instance.worker_class for each in workers}):
        mine = [each for each in workers if each.instance.worker_class == name]
        seen = [each.seen for each in mine if each.seen]
        states = Counter(each.state for each in mine)
        table.add_row(
            name,
            str(len(mine)),
            f"{sum(each.busy for each in seen)}/{sum(each.facts.slots for each in seen)}",
            ", ".join(f"{count} {state}" for state, count in states.most_common()),
        )
    console.print(table)
    console.print("`proctor workers` lists them one by one")


def standing_document(standing: Standing) -> dict[str, Any]:
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
            }
            for each in standing.campaigns
        ],
    }


def _state(text: str) -> Text:
    return Text(text, style=_COLOURS.get(text, "red"))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=any(headings))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
