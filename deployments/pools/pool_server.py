"""A Prefect server that workers of pools wait for is as quick as who waits.

What starts in the background yields to all others, and so does the server that it started: beside
busy cores each request takes such a server seconds, and a worker needs some twenty of them.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Protocol

import psutil

from ...flows.server.prefect_server import ServerRecord, ServerStatus

logger = logging.getLogger(__name__)

# It closes its database; campaigns that tell it things wait for the next one.
END_SECONDS = 10.0


class Server(Protocol):
    """The resident server, as far as it is replaced."""

    def status(self) -> ServerStatus: ...

    def ensure(self) -> ServerRecord: ...


def hasten(server: Server, niceness: int) -> None:
    """Replace a server that is nicer than that; raising a process takes rights, ending it none."""
    status = server.status()
    if status.record is None or not status.alive:
        return
    # Of somebody else's, who shares the directory, it stays as it is.
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(status.record.pid)
        if process.nice() <= niceness:
            return
        logger.warning("the Prefect server yields to all others: it is started anew")
        process.terminate()
        _, left = psutil.wait_procs([process], timeout=END_SECONDS)
        for each in left:
            each.kill()
        psutil.wait_procs(left, timeout=END_SECONDS)
    server.ensure()
