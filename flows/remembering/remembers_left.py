"""Processes that still take finished campaigns into the store, when everything is taken down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

from .remember import MODULE


def await_remembers(
    state: Path, *, patience: float, say: Callable[[str], None] = lambda text: None
) -> list[int]:
    """Give those of a state directory a while to end; the numbers of those that go on.

    They are ended by nobody: they start nothing, and what they were at would be begun anew.
    """
    command = ["-m", MODULE, str(state)]
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[-3:] == command
    ]
    if found and patience:
        say(f"finished campaigns are taken into the store ({patience:g} s)")
    _, late = psutil.wait_procs(found, timeout=patience)
    return sorted(process.pid for process in late)
