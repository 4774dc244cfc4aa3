"""A Prefect server that yields to everybody is replaced where workers wait for it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from waiting import wait_until

from proctor.deployments.pools import pool_server
from proctor.deployments.pools.pool_server import hasten
from proctor.flows.server.prefect_server import ServerRecord, ServerStatus


class Server:
    """A process that is as nice as this one, in the place of Prefect's."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        self.process = subprocess.Popen(command, start_new_session=True)
        self.started_anew = 0

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def status(self) -> ServerStatus:
        record = ServerRecord(port=1, pid=self.process.pid, created=1.0, started=1.0)
        return ServerStatus(record=record, alive=not self.ended, answering=not self.ended)

    def ensure(self) -> ServerRecord:
        assert self.ended
        self.started_anew += 1
        record = self.status().record
        assert record is not None
        return record


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.process.kill()
    server.process.wait(10)


@pytest.mark.parametrize(("than", "anew"), [(-1, 1), (0, 0), (1, 0)])
def test_only_a_server_that_is_nicer_is_started_anew(server: Server, than: int, anew: int) -> None:
    """Once: the next one is as nice as who started it."""
    own = psutil.Process().nice()

    hasten(server, own + than)

    assert (server.ended, server.started_anew) == (bool(anew), anew)


def sessions_are_groups() -> bool:
    """What never began a session of its own is in no group, and its file is empty."""
    try:
        return bool(Path("/proc/self/autogroup").read_text())
    except OSError:
        return False


@pytest.mark.skipif(not sessions_are_groups(), reason="sessions are no groups here")
def test_its_session_is_no_nicer_than_that_of_who_waits(server: Server) -> None:
    """The kernel schedules sessions: one that is nice starves, however nice its process is."""
    own = pool_server._group("self")
    group = Path("/proc") / str(server.process.pid) / "autogroup"

    def is_nicer() -> bool:
        # To whoever has no right to all, the kernel grants ten such changes a second.
        with contextlib.suppress(BlockingIOError):
            group.write_text(str(own + 1))
        return pool_server._group(str(server.process.pid)) > own

    def is_as_quick() -> bool:
        hasten(server, psutil.Process().nice())
        return pool_server._group(str(server.process.pid)) == own

    wait_until(is_nicer, what="the kernel to take the first one")
    wait_until(is_as_quick, what="the kernel to take it")
    assert not server.ended
