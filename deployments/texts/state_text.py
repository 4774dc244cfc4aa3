"""Tables of what stands where, and the words for states in their colours."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

_COLOURS = {"up": "green", "idle": "green", "busy": "cyan", "running": "cyan", "off": "dim",
            "starting": "yellow", "draining": "yellow", "stopping": "yellow", "down": "dim",
            "completed": "green", "sick": "red"}  # fmt: skip

# Between two columns.
GAP = 2


def state_text(text: str) -> Text:
    return Text(text, style=_COLOURS.get(text, "red"))


def plain_table(*headings: str) -> Table:
    """Without lines; what has no room is folded, never cut."""
    table = Table(box=None, pad_edge=False, show_header=any(headings))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def table_width(headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> int:
    """Of such a table, with nothing folded."""
    widths = [
        max(cell_len(heading), *(cell_len(row[place].plain) for row in rows))
        for place, heading in enumerate(headings)
    ]
    return sum(widths) + GAP * (len(widths) - 1)
