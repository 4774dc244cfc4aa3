"""Processes that outlive the one that started them, and stay out of the way of all others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path


def spawn_detached(command: list[str], *, environ: Mapping[str, str], log: Path) -> int:
    """Start a process in a session of its own, its output appended to a file; its number."""
    log.parent.mkdir(parents=True, exist_ok=True)
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # Not subprocess: its object complains when it is forgotten before the process ends.
    return os.posix_spawn(command[0], command, environ, file_actions=files, setsid=True)


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
