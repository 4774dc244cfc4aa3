"""Why there was nothing to run, for a campaign and for its plan."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from .wording import cases as of_cases
from .wording import printable


def nothing_there(*, root: str, command: Sequence[str], tasks: str = "", aside: int = 0) -> str:
    """In a sentence; `aside` is how many cases are there and were not asked for."""
    if tasks:
        return f"There is no task to run in {printable(tasks)}."
    given = f" with `{printable(shlex.join(command))}`" if command else ""
    if aside:
        return f"None of {of_cases(aside)} found in {root} was asked for{given}."
    return f"No test was found in {root}{given}: pytest looks for test_*.py."
