"""Processes that outlive the one that started them, and stay out of the way of all others."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ...infra.detached_process import spawn as spawn_detached

__all__ = ["share_niceness", "spawn_detached", "yield_to_others"]

# How nice the session of this process is, to kernels that group sessions.
GROUP = Path("/proc/self/autogroup")
# How often it is told, and how long after a refusal.
GROUP_TRIES = 20
GROUP_SECONDS = 0.11


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
    for _ in range(GROUP_TRIES):
        try:
            GROUP.write_text(str(os.nice(0)), encoding="ascii")
        except BlockingIOError:
            # To those without all rights the kernel grants ten such changes a second, together.
            time.sleep(GROUP_SECONDS)
        except OSError:
            # No groups here, or none for this session.
            return
        else:
            return
