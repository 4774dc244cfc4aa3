"""The console that Proctor writes to people on."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn, TextIO

from rich.console import Console

_ANY_WIDTH = 100_000


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
        super().__init__(
            file=file, highlight=False, emoji=False, markup=False, _environ=_environment()
        )

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def screen() -> Terminal:
    """For tables. Where another program reads, no line is to be cut; COLUMNS says otherwise."""
    terminal = Terminal()
    if not terminal.is_terminal and "COLUMNS" not in os.environ:
        terminal.width = _ANY_WIDTH
    return terminal


def _environment() -> dict[str, str]:
    # Where there is no terminal some say COLUMNS=0, and Rich, which believes it, shows nothing.
    known = dict(os.environ)
    if known.get("COLUMNS") == "0":
        del known["COLUMNS"]
    return known


def lost_output(problem: OSError) -> str | None:
    """What to say when standard output took no more, or nothing: it was something else then.

    "" where its reader left (`proctor list | head`), which is no error. Nothing can be written
    there afterwards, so that Python does not complain of it at the exit.
    """
    if isinstance(problem, BrokenPipeError):
        said = ""
    elif problem.filename is None and _stdout_is_full():
        said = f"stdout takes nothing more: {problem.strerror}; make room, or send it elsewhere"
    else:
        return None
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return said


def _stdout_is_full() -> bool:
    """A write that fails tells of no file; one more line tells whether it was this one."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return True
    return False
