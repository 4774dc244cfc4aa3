"""Commands that change the resident fleet take turns."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Generator
from pathlib import Path

from ...infra.errors import FleetUnavailable
from ...infra.ledgers.append_file import unwritable

LOOK_SECONDS = 0.1


@contextlib.contextmanager
def turn(path: Path, *, seconds: float) -> Generator[None]:
    """Hold the lock; the kernel frees it when its holder dies, and nothing of it is left behind."""
    deadline = time.monotonic() + seconds
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise unwritable(path.parent, problem) from problem
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise unwritable(path, problem) from problem
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have taken the file away since it was opened.
            held = path.stat().st_ino == os.fstat(file).st_ino
        except (BlockingIOError, FileNotFoundError):
            held = False
        if held:
            break
        os.close(file)
        if time.monotonic() > deadline:
            raise FleetUnavailable(
                "another `proctor up`, `down` or `scale` of this state directory is at work",
                remedy="wait for it to end",
            )
        time.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)
