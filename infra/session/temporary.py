"""One temporary folder for all sessions of a campaign on a machine, above that of each.

Suites for pytest-xdist keep what one worker makes for all in `getbasetemp().parent`. A session's
own folder stands beside those of other runs: what an earlier campaign left would be found there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

# As many as pytest keeps of its own.
KEPT = 3
_PREFIX = "proctor-"
# Held by each session that lives: a folder in use is never taken away. Pytest's own mark is one
# file for all, which the first session of a campaign would take along when it ends.
_HELD = ".held"


def share_base(config: Any, *, worker: str, run_id: str) -> None:
    """Move this session's folder to where pytest-xdist would have it."""
    factory = getattr(config, "_tmp_path_factory", None)
    known = getattr(factory, "_basetemp", "") or getattr(factory, "_given_basetemp", "")
    if factory is None or known or not run_id:
        return
    # Where pytest would put it: it looks at whose that is, and who may read it. The empty folder
    # stays: another run may have its number as soon as it is gone, and our end would unlock that.
    root: Path = factory.getbasetemp().parent
    base = root / f"{_PREFIX}{run_id}"
    with contextlib.suppress(OSError):
        base.mkdir(mode=0o700, exist_ok=True)
        if base.is_symlink() or _hold(base, fcntl.LOCK_SH) is None:
            return
        # The controller's own folder is above those of its workers.
        place = base / f"popen-{worker}" if worker else base
        if worker and place.exists():
            # Of a session before this one, on the same slot.
            place = base / f"popen-{worker}-{os.getpid()}"
        place.mkdir(mode=0o700, exist_ok=not worker)
        factory._basetemp = place
        _forget_older(root)


def _hold(base: Path, how: int) -> int | None:
    """A lock until the process ends, or None if somebody else's keeps us from it."""
    # Not for programs that tests start, which may outlive us.
    held = os.open(base / _HELD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


def _forget_older(root: Path) -> None:
    """Take away what earlier campaigns left, but for the newest that nobody uses."""
    newest_first = sorted(root.glob(f"{_PREFIX}*"), key=os.path.getmtime, reverse=True)
    for base in newest_first[KEPT:]:
        with contextlib.suppress(OSError):
            held = _hold(base, fcntl.LOCK_EX)
            if held is not None:
                shutil.rmtree(base, ignore_errors=True)
                os.close(held)
