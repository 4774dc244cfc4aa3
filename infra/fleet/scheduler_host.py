"""The process that holds the Dask scheduler: `python -m proctor.infra.fleet.scheduler_host`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StateUnwritable
from ..process_life import die_with_parent
from ..quick_start import end_quickly, loading
from ..runners.orders import STANDING
from ..whole_file import replace_file
from .certificates import Certificates
from .reach import LOOPBACK
from .roster import WRITE_SECONDS, write_roster

if TYPE_CHECKING:
    from distributed import Scheduler

logger = logging.getLogger(__name__)


async def _serve(
    host: str, port: int, ready: Path, roster: Path | None, certificates: Certificates | None
) -> None:
    from distributed import Scheduler

    from .one_version import tell_terms

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Scheduler(
        host=host,
        port=port,
        protocol="tls" if certificates else "tcp",
        security=certificates.security() if certificates else None,
        dashboard=False,
        dashboard_address=f"{LOOPBACK}:0",
    ) as scheduler:
        tell_terms(scheduler)
        replace_file(ready, json.dumps({"address": scheduler.address, "pid": os.getpid()}))
        if roster is None:
            await stop.wait()
        else:
            await _keep_roster(scheduler, roster, stop)


async def _keep_roster(scheduler: Scheduler, roster: Path, stop: asyncio.Event) -> None:
    """Say who is here, so that nobody needs a connection to know."""
    while not stop.is_set():
        try:
            write_roster(roster, at=time.time(), workers=_registered(scheduler))
        except StateUnwritable as problem:
            # Batches must go on while a disk is full; readers see how old the file is.
            logger.warning("%s", problem)
        try:
            await asyncio.wait_for(stop.wait(), WRITE_SECONDS)
        except TimeoutError:
            continue


def _registered(scheduler: Scheduler) -> list[dict[str, Any]]:
    # The first heartbeat may be under way still.
    return [
        {
            "address": worker.address,
            "last_seen": worker.last_seen,
            "standing": worker.metrics[STANDING],
        }
        for worker in scheduler.workers.values()
        if STANDING in worker.metrics
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold a Dask scheduler for Proctor.")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--certs", type=Path, help="speak TLS with the certificates of this folder")
    parser.add_argument("--ready", type=Path, required=True, help="file to write the address to")
    parser.add_argument("--roster", type=Path, help="file to write the workers to, again and again")
    parser.add_argument("--parent", type=int, default=0, help="end when this process ends")
    arguments = parser.parse_args()
    if arguments.parent:
        die_with_parent(arguments.parent)
    end_quickly()
    with loading("distributed"):
        from ..engine import dask_settings

        dask_settings.apply()
        import_module("distributed")
    certificates = Certificates(arguments.certs) if arguments.certs else None
    asyncio.run(
        _serve(arguments.host, arguments.port, arguments.ready, arguments.roster, certificates)
    )


if __name__ == "__main__":
    main()
