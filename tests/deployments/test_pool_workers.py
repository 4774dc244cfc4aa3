"""The Prefect workers of this machine's pools follow their server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proctor.deployments.pools.pool_workers import PoolWorkers
from proctor.infra.worker_classes import WorkerClass

CPU = WorkerClass(name="cpu", slots=1)


class Workers(PoolWorkers):
    """Of processes that only wait."""

    def __init__(self, directory: Path) -> None:
        super().__init__(queue="fleet", logs=directory, environment={})
        self.started: list[tuple[str, subprocess.Popen[bytes]]] = []

    def _start(self, worker_class: WorkerClass, api_url: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self.started.append((api_url, process))
        return process


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    yield workers
    for _, process in workers.started:
        process.kill()
        process.wait(10)


def test_a_server_that_moved_has_workers_of_its_own(workers: Workers) -> None:
    """Those of the former address would ask whoever answers there now."""
    workers.tend([CPU], "http://here/api")
    workers.tend([CPU], "http://here/api")
    workers.tend([CPU], "http://there/api")

    (here, former), (there, present) = workers.started
    assert (here, there) == ("http://here/api", "http://there/api")
    assert former.poll() is not None
    assert present.poll() is None
