"""The workers of a fleet as a table: a line each, of as many columns as the screen has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from rich.text import Text

from ...monitoring.reports.terminal import Terminal
from ..standing.fleet_standing import WorkerStanding
from .state_text import print_table, state_text, table_width

if TYPE_CHECKING:
    from ...monitoring.prediction.worker_scores import Score

# What a narrow screen does without first; the names of workers begin with their class's.
_SPARED = ("incarnation", "class")

Row = dict[str, Text]


def print_workers(
    console: Terminal,
    workers: Sequence[WorkerStanding],
    scores: Mapping[str, Score] = MappingProxyType({}),
) -> None:
    """One line each, with their speeds where any is known; what there is no room for follows."""
    rows = [_row(each, scores) for each in workers]
    columns = [name for name in rows[0] if name == "worker" or any(row[name] for row in rows)]
    for spared in _SPARED:
        if _width(columns, rows) > console.width and spared in columns:
            columns.remove(spared)
    below = _width(columns, rows) > console.width and "" in columns
    if below:
        columns.remove("")
    print_table(console, columns, _cells(columns, rows))
    for row in rows if below else ():
        if row[""]:
            console.print(Text(f"{row['worker'].plain}: ").append_text(row[""]))


def _row(each: WorkerStanding, scores: Mapping[str, Score]) -> Row:
    """All there is to say of it, by column; what has no heading is a remark."""
    seen, instance = each.seen, each.instance
    note = instance.reason or each.sick
    if each.restarts and instance.phase.is_there:
        note = "died once" if each.restarts == 1 else f"died {each.restarts} times in a row"
    score = scores.get(instance.name)
    return {
        "worker": Text(instance.name),
        "class": Text(instance.worker_class),
        "state": state_text(each.state),
        "slots": Text(f"{seen.busy}/{seen.facts.slots}" if seen else ""),
        "offers": Text(each.offers),
        "speed": Text(score.text if score is not None else ""),
        "incarnation": Text(seen.facts.incarnation if seen else instance.place),
        "": Text(note),
    }


def _width(columns: Sequence[str], rows: Sequence[Row]) -> int:
    return table_width(columns, _cells(columns, rows))


def _cells(columns: Sequence[str], rows: Sequence[Row]) -> list[list[Text]]:
    return [[row[name] for name in columns] for row in rows]
