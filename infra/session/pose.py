"""Looking like a worker of pytest-xdist to plugins that know it.

Without that each runner would write the same cache, JUnit file, coverage data and test database.
Plain pytest has no workers, so tests that ask get another answer than there; that is the one
difference, and the one they get with pytest-xdist.
"""

# ruff: noqa: PTH109

from __future__ import annotations

import os
import socket
import sys
import zlib
from typing import Any

import pytest

from .wire import Wire


def pose_as_worker(config: Any, wire: Wire, *, worker: str, workers: int, run_id: str) -> None:
    seed = getattr(config.option, "randomly_seed", None)
    if not isinstance(seed, int):
        seed = zlib.crc32(run_id.encode())
    config.workerinput = WorkerInput(
        wire,
        workerid=worker,
        workercount=workers,
        testrunuid=run_id,
        mainargv=list(sys.argv),
        # pytest-cov: same host and directory, so it leaves a data file to combine.
        cov_master_host=socket.gethostname(),
        cov_master_topdir=os.getcwd(),
        cov_master_rsync_roots=[],
        # pytest-randomly: one seed for the whole campaign.
        randomly_seed=seed,
    )
    config.workeroutput = {}


class WorkerInput(dict):  # type: ignore[type-arg]
    """What pytest-xdist tells a worker; plugins add keys of their own on its controller."""

    def __init__(self, wire: Wire, **values: object) -> None:
        super().__init__(values)
        self.wire = wire

    def __missing__(self, key: str) -> object:
        if key in ("sock_port", "statusdb_token"):
            self.serve_rerunfailures()
        if key in self:
            return self[key]
        # The plugin will fail with this, and pytest with it: the parent tries again without the
        # pose when it reads this.
        self.wire.send({"k": "unposed", "key": key})
        raise KeyError(f"{key}, which only a controller of pytest-xdist could have put here")

    def serve_rerunfailures(self) -> None:
        """pytest-rerunfailures keeps its counters behind a socket of the controller.

        Here each runner has its own, which is enough: a case is run again where it ran.
        """
        import pytest_rerunfailures  # type: ignore[import-not-found]

        database = pytest_rerunfailures.ServerStatusDB()
        # Its thread listens too, but only some time after we connect.
        database.sock.listen()
        self["sock_port"] = database.sock_port
        self["statusdb_token"] = getattr(database, "token", "")


class WorkerFixtures:
    """The fixtures of pytest-xdist, where it is not installed."""

    def __init__(self, worker: str, run_id: str) -> None:
        self.worker = worker
        self.run_id = run_id

    @pytest.fixture(scope="session")
    def worker_id(self) -> str:
        return self.worker

    @pytest.fixture(scope="session")
    def testrun_uid(self) -> str:
        return self.run_id
