"""A worker's proxy, in a fleet that is there to be broken; in all others nothing stands between."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InfrastructureProblem
from ..resident_mark import fleet_of
from .chaos_mark import edge_directory, is_marked

logger = logging.getLogger(__name__)

PROXY = Path(__file__).with_name("edge_proxy.py")
START_SECONDS = 20.0
END_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Where a worker speaks and listens."""

    # Of the scheduler, or of the proxy before it.
    scheduler: str
    # Where the worker listens; 0 leaves it to the kernel.
    port: int = 0
    # Where others reach it, if not there.
    contact: str = ""
    proxy: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        if self.proxy is not None:
            self.proxy.kill()
            self.proxy.wait(END_SECONDS)


def open_edges(environ: Mapping[str, str], scheduler: str, worker: str) -> Edges:
    """Put a proxy before a worker, if its fleet may be broken; for the main thread.

    The kernel ends it with the thread that starts it.
    """
    fleet = fleet_of(environ)
    if fleet is None or not is_marked(fleet) or not scheduler.startswith("tcp://"):
        return Edges(scheduler=scheduler)
    port = _free_port()
    proxy = subprocess.Popen(
        (
            *(sys.executable, "-S", str(PROXY), "--parent", str(os.getpid())),
            *("--rules", str(edge_directory(fleet, worker))),
            *("--edge", f"out={scheduler.removeprefix('tcp://')}"),
            *("--edge", f"in=127.0.0.1:{port}"),
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert proxy.stdout is not None
    with proxy.stdout as told:
        ready, _, _ = select.select([told], [], [], START_SECONDS)
        line = told.readline() if ready else b""
    if not line:
        proxy.kill()
        proxy.wait(END_SECONDS)
        raise InfrastructureProblem(
            f"the proxy before worker {worker} did not start", remedy="see the worker's log"
        )
    ports = json.loads(line)
    logger.info("a proxy stands before this worker: %s", ports)
    return Edges(
        scheduler=f"tcp://127.0.0.1:{ports['out']}",
        port=port,
        contact=f"tcp://127.0.0.1:{ports['in']}",
        proxy=proxy,
    )


def _free_port() -> int:
    # Dask takes port 0 for its own choice, and tells it only when the proxy is needed already.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
