"""Tables of what stands where, and the words for states in their colours."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ...monitoring.reports.terminal import Terminal

_COLOURS = {"up": "green", "idle": "green", "busy": "cyan", "running": "cyan", "off": "dim",
            "starting": "yellow", "draining": "yellow", "stopping": "yellow", "down": "dim",
            "completed": "green", "sick": "red"}  # fmt: skip

# Between two columns.
GAP = 2
# On a narrower screen what is folded into columns would be read letter by letter.
LEAST_WIDTH = 60


def state_text(text: str) -> Text:
    return Text(text, style=_COLOURS.get(text, "red"))


def print_table(console: Terminal, headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    """Without lines; what has no room is folded, never cut.

    Where there is no room for columns each row is a line, which the screen breaks where it ends.
    """
    if console.width < LEAST_WIDTH and table_width(headings, rows) > console.width:
        for row in ([Text(heading) for heading in headings], *rows):
            if any(row):
                console.print(Text(" " * GAP).join(filter(None, row)), soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, show_header=any(headings))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def table_width(headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> int:
    """Of such a table, with nothing folded."""
    widths = [
        max([cell_len(heading), *(cell_len(row[place].plain) for row in rows)])
        for place, heading in enumerate(headings)
    ]
    return sum(widths) + GAP * (len(widths) - 1)
