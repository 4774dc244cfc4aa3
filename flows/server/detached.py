"""Processes that outlive the one that started them, and stay out of the way of all others."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ...infra.detached_process import spawn as spawn_detached

__all__ = ["share_niceness", "spawn_detached", "yield_to_others"]


def yield_to_others() -> None:
    """Run only when nobody else wants to; what is started from here does so too."""
    os.nice(19)
    share_niceness()


def share_niceness() -> None:
    """Make the session as nice as this process, where the session is this process's own.

    Where the kernel groups sessions, niceness counts within a session only: measured, a process at
    19 in a session of its own got 40-97 % of a core beside four busy ones, and 4 % with its group
    as nice as itself.
    """
    if os.getsid(0) != os.getpid():
        # In a session with others, who did not ask for it.
        return
    with contextlib.suppress(OSError), Path("/proc/self/autogroup").open("w") as group:
        group.write(str(os.nice(0)))
