"""What the fleet's verbs print."""

from __future__ import annotations

import time
from typing import Any

from rich.table import Table
from rich.text import Text

from ..monitoring.terminal import Terminal
from .fleet_standing import Standing, WorkerStanding

_COLOURS = {"up": "green", "idle": "green", "busy": "cyan", "running": "cyan", "off": "dim",
            "starting": "yellow", "draining": "yellow", "stopping": "yellow", "down": "dim",
            "completed": "green"}  # fmt: skip


def print_standing(console: Terminal, standing: Standing) -> None:
    """One screen: services, workers, campaigns."""
    services = _table("", "", "", "")
    for each in standing.services:
        services.add_row(each.name, _state(each.state), each.where, each.note)
    console.print(services)
    if standing.workers:
        console.print()
        print_workers(console, standing.workers)
    if standing.campaigns:
        console.print()
        campaigns = _table("campaign", "state", "started", "name")
        for each in standing.campaigns:
            started = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.started))
            campaigns.add_row(each.id, _state(each.state), started, each.name or each.project)
        console.print(campaigns)


def print_workers(console: Terminal, workers: tuple[WorkerStanding, ...]) -> None:
    table = _table("worker", "class", "state", "slots", "offers", "incarnation", "")
    for each in workers:
        seen = each.seen
        note = each.instance.reason
        if each.restarts and each.instance.phase.is_there:
            times = "once" if each.restarts == 1 else f"{each.restarts} times"
            note = f"died {times} in a row"
        table.add_row(
            each.instance.name,
            each.instance.worker_class,
            _state(each.state),
            f"{seen.busy}/{seen.facts.slots}" if seen else "",
            each.offers,
            seen.facts.incarnation if seen else each.instance.place,
            note,
        )
    console.print(table)


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
