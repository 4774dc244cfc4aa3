"""Processes of ours that outlive the one that starts them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def spawn(command: Sequence[str], *, environ: Mapping[str, str], log: Path) -> int:
    """Start a process in a session of its own, its output appended to a file; its number."""
    log.parent.mkdir(parents=True, exist_ok=True)
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # Not subprocess: its object complains when it is forgotten before the process ends.
    return os.posix_spawn(command[0], list(command), environ, file_actions=files, setsid=True)
