"""The console that Proctor writes to people on."""

from __future__ import annotations

import io
import sys
from typing import NoReturn, TextIO

from rich.console import Console


class Terminal(Console):
    """Rich's console, except that it raises when its reader left.

    Rich ends the process then (`SystemExit(1)`), or silently the thread: whoever started the
    campaign would read an exit code that says "some cases failed".
    """

    def __init__(self, file: TextIO | None = None) -> None:
        file = file or sys.stdout
        if isinstance(file, io.TextIOWrapper):
            # Outputs of tests hold anything; an ASCII pipe or a lone surrogate must not end us.
            file.reconfigure(errors="backslashreplace")
        super().__init__(file=file, highlight=False, emoji=False, markup=False)

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError
