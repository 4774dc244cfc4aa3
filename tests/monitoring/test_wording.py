"""Words for terminals and pages."""

from __future__ import annotations

import pytest

from proctor.monitoring.reports.wording import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n  first \n second", "first"),
        ("\x1b[31mred\x1b[2J", r"\x1b[31mred\x1b[2J"),
        ("half \ud800 a pair", r"half \ud800 a pair"),
        ("x" * 200, "x" * 159 + "…"),
        ("", ""),
    ],
)
def test_one_line_of_what_a_test_said_moves_no_cursor(text: str, line: str) -> None:
    """The message of a failed case may hold anything, and stands in everybody's terminal."""
    assert one_line(text) == line
