"""A Prefect server that workers of pools wait for is as quick as who waits.

What starts in the background yields to all others, and so does the server that it started: beside
busy cores each request takes such a server seconds, and a worker needs some twenty of them.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Protocol

import psutil

from ...flows.server.prefect_server import ServerRecord, ServerStatus

logger = logging.getLogger(__name__)

# It closes its database; campaigns that tell it things wait for the next one.
END_SECONDS = 10.0
PROC = Path("/proc")


class Server(Protocol):
    """The resident server, as far as it is replaced."""

    def status(self) -> ServerStatus: ...

    def ensure(self) -> ServerRecord: ...


def hasten(server: Server, niceness: int) -> None:
    """Replace a server that is nicer than that; raising a process takes rights, ending it none."""
    status = server.status()
    if status.record is None or not status.alive:
        return
    record = status.record
    # Of somebody else's, who shares the directory, it stays as it is.
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        if psutil.Process(record.pid).nice() > niceness:
            logger.warning("the Prefect server yields to all others: it is started anew")
            _end(psutil.Process(record.pid))
            record = server.ensure()
    # Where the kernel groups sessions, that of the server is as nice as its process, and those of
    # the fleet are not: beside two busy cores a worker was there after 54 s.
    with contextlib.suppress(OSError, ValueError):
        own = _group("self")
        if _group(str(record.pid)) > own:
            (PROC / str(record.pid) / "autogroup").write_text(str(own))


def _end(process: psutil.Process) -> None:
    process.terminate()
    _, left = psutil.wait_procs([process], timeout=END_SECONDS)
    for each in left:
        each.kill()
    psutil.wait_procs(left, timeout=END_SECONDS)


def _group(pid: str) -> int:
    """How nice the session of a process is, as the kernel schedules it."""
    return int((PROC / pid / "autogroup").read_text().rpartition(" ")[2])
