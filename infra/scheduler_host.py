"""The process that holds the Dask scheduler: `python -m proctor.infra.scheduler_host`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
from pathlib import Path

from distributed import Scheduler

from . import dask_settings
from .process_life import die_with_parent


async def _serve(host: str, port: int, ready: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Scheduler(
        host=host, port=port, dashboard=False, dashboard_address=f"{host}:0"
    ) as scheduler:
        _tell(ready, {"address": scheduler.address, "pid": os.getpid()})
        await stop.wait()


def _tell(ready: Path, facts: dict[str, object]) -> None:
    # Readers see the whole file or none.
    beside = ready.with_suffix(".new")
    beside.write_text(json.dumps(facts))
    beside.replace(ready)


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold a Dask scheduler for Proctor.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ready", type=Path, required=True, help="file to write the address to")
    parser.add_argument("--parent", type=int, default=0, help="end when this process ends")
    arguments = parser.parse_args()
    if arguments.parent:
        die_with_parent(arguments.parent)
    dask_settings.apply()
    asyncio.run(_serve(arguments.host, arguments.port, arguments.ready))


if __name__ == "__main__":
    main()
