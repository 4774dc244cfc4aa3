"""Wait for a condition, with a deadline, instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def wait_until(
    predicate: Callable[[], object], *, timeout: float = 60.0, what: str, tick: float = 0.02
) -> None:
    """Return as soon as the predicate holds; fail with its description after the timeout."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for: {what}")
        time.sleep(tick)


def is_over(process: psutil.Process) -> bool:
    """Whether it has ended; whoever is to bury it may take its time."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        # Gone between the two questions.
        return True
