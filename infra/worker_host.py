"""The process that holds one Dask worker: `python -m proctor.infra.worker_host`.

No nanny stands between: whoever launched this process (the local fleet, a work pool) starts it
again, and a nanny would cost a second interpreter and a second of start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from uuid import uuid4

from distributed import Worker

from . import dask_settings
from .codec import facts_from_json
from .process_life import die_with_parent
from .records import WorkerFacts
from .resources import dask_resources
from .slot_keeper import SlotKeeper

# A worker that cannot find its scheduler for so long ends; its launcher decides what comes next.
LONGEST_ABSENCE_SECONDS = 60


async def _serve(scheduler: str, facts: WorkerFacts, scratch: Path, host: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keeper = SlotKeeper(facts=facts, scratch=scratch)
    worker = Worker(
        scheduler,
        name=facts.name,
        nthreads=facts.slots,
        resources=dask_resources(facts),
        memory_limit=0,
        host=host,
        dashboard=False,
        local_directory=str(scratch),
        death_timeout=LONGEST_ABSENCE_SECONDS,
        plugins=(keeper,),
    )
    try:
        await worker
        finished = asyncio.ensure_future(worker.finished())
        asked = asyncio.ensure_future(stop.wait())
        await asyncio.wait({finished, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        keeper.close()
        await worker.close(timeout=2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold one Dask worker for Proctor.")
    parser.add_argument("--scheduler", help="address of the Dask scheduler")
    parser.add_argument("--scheduler-file", type=Path, help="file its host writes the address to")
    parser.add_argument("--facts", required=True, help="what this worker offers, as JSON")
    parser.add_argument("--scratch", type=Path, required=True, help="directory for its files")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--parent", type=int, default=0, help="end when this process ends")
    arguments = parser.parse_args()
    if arguments.parent:
        die_with_parent(arguments.parent)
    dask_settings.apply()
    asyncio.run(_start(arguments))


async def _start(arguments: argparse.Namespace) -> None:
    given = json.loads(arguments.facts)
    given.update(incarnation=f"{os.getpid()}-{uuid4().hex[:8]}", host=socket.gethostname())
    facts = facts_from_json(given)
    address = arguments.scheduler or await _address(arguments.scheduler_file)
    await _serve(address, facts, arguments.scratch, arguments.host)


async def _address(ready: Path) -> str:
    """The scheduler and its workers start side by side: wait for the file it writes."""
    async with asyncio.timeout(LONGEST_ABSENCE_SECONDS):
        while not await asyncio.to_thread(ready.exists):
            await asyncio.sleep(0.02)
    return json.loads(await asyncio.to_thread(ready.read_text))["address"]


if __name__ == "__main__":
    main()
