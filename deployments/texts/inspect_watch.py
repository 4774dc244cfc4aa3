"""Following a campaign from outside, and ending it: `watch` and `cancel`, but no printing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ...infra.ledgers.append_file import unwritable
from ...infra.ledgers.campaigns import summarise
from ...monitoring.reports.follow import Follower
from ...monitoring.reports.live import LiveView

POLL_SECONDS = 0.2
# Whether its process still lives is a look at a lease and at a process; once a second will do.
LIFE_SECONDS = 1.0
CANCEL_SECONDS = 30.0

Standing = Callable[[Path], str]


def standing(directory: Path) -> str:
    """How a campaign stands: running, interrupted, completed, cancelled or failed."""
    found = summarise(directory, now=time.time())
    # A writer that has created its directory and not its first line is about to.
    return found.state if found is not None else "running"


def watch(
    directory: Path,
    view: LiveView,
    *,
    timeout: float | None = None,
    standing: Standing = standing,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Tell the view what happens until the campaign ends; how it stands then.

    That is "running" if the time-out passed before.
    """
    follower = Follower(directory, view)
    deadline = None if timeout is None else time.monotonic() + timeout
    look_again = 0.0
    with view:
        while True:
            if follower.poll():
                continue
            now = time.monotonic()
            if follower.closed or now >= look_again:
                look_again = now + LIFE_SECONDS
                state = standing(directory)
                # What came between the last poll and this look is told too.
                if state != "running" and not follower.poll():
                    return state
            if deadline is not None and now > deadline:
                return "running"
            pause(POLL_SECONDS)


def cancel(
    directory: Path,
    *,
    seconds: float = CANCEL_SECONDS,
    standing: Standing = standing,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Ask a running campaign to end and wait at most so long; how it stands then."""
    if standing(directory) != "running":
        # The word would be found by whoever resumes it, and end that.
        return standing(directory)
    path = directory / "cancel"
    try:
        path.write_text("`proctor cancel` was run\n", encoding="utf-8")
    except OSError as problem:
        raise unwritable(path, problem) from problem
    deadline = time.monotonic() + seconds
    while (found := standing(directory)) == "running" and time.monotonic() < deadline:
        pause(POLL_SECONDS)
    return found
