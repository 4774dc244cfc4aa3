"""Keeps the store in step while a fleet is up: campaigns as they end, and Prefect's run history.

What the next campaigns are planned by is made of it.

    python -m proctor.flows.remembering.remember_follow STATE --prefect URL --parent PID

A process of its own at the lowest priority: neither tests nor the fleet's supervisor wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from pathlib import Path

from ...infra.discreet_log import log_discreetly
from ...infra.errors import ProctorError
from ..campaigns.predictions import refresh
from ..server.detached import yield_to_others
from ..server.named_server import from_process
from .remember import remember

logger = logging.getLogger(__name__)

# Campaigns take themselves in when they end; this finds those whose process was killed.
INGEST_SECONDS = 60.0
_LOOK_SECONDS = 1.0


async def follow(
    state: Path, *, url: str, parent: int, until: asyncio.Event, every: float = INGEST_SECONDS
) -> None:
    """Until told to stop, or until the one that started this is gone."""
    tasks = [asyncio.create_task(_ingest(state, until, every))]
    if url:
        # Prefect takes a second and 100 MB: not where there is no server.
        from .history_follow import follow_history

        tasks.append(asyncio.create_task(follow_history(state, url=url, until=until)))
    stopping = asyncio.create_task(until.wait())
    try:
        while not until.is_set():
            if parent and os.getppid() != parent:
                return
            done, _ = await asyncio.wait(
                {*tasks, stopping}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {stopping}:
                # Neither ends by itself: whoever keeps this process starts it again.
                task.result()
                return
    finally:
        until.set()
        stopping.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait({stopping})


async def _ingest(state: Path, until: asyncio.Event, every: float) -> None:
    # Who was killed after its campaign may have left none.
    due = True
    while not until.is_set():
        try:
            due |= await asyncio.to_thread(remember, state) > 0
            if due:
                await asyncio.to_thread(refresh, state)
                due = False
        except ProctorError as problem:
            # A store that is busy, or a full disk: the next time.
            logger.warning("nothing was taken in, or foreseen: %s", problem)
        try:
            await asyncio.wait_for(until.wait(), every)
        except TimeoutError:
            continue


async def _main(state: Path, url: str, parent: int) -> None:
    until = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, until.set)
    await follow(state, url=url, parent=parent, until=until)


def main() -> int:
    """As a process of its own."""
    parser = argparse.ArgumentParser(description="Keep the store of a state directory in step.")
    parser.add_argument("state", type=Path)
    parser.add_argument("--prefect", default="", metavar="URL")
    parser.add_argument("--parent", type=int, default=0)
    arguments = parser.parse_args()
    log_discreetly("%(asctime)s %(message)s")
    yield_to_others()
    url = from_process(arguments.prefect, os.environ)
    asyncio.run(_main(arguments.state, url, arguments.parent))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
