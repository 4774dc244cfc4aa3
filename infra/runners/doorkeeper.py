"""A worker's end of its door: greets who knocks, and starts the sessions that they ask for."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from ... import __version__
from ..codec import facts_to_json
from .doors import MOST_BYTES, door_prefix, is_ours, orders_from_json
from .orders import SlotOrder
from .slot_keeper import SlotKeeper

logger = logging.getLogger(__name__)

# Who knocks says at once what for.
WORD_SECONDS = 10.0


async def open_door(keeper: SlotKeeper, scheduler: str) -> asyncio.Server | None:
    """Listen for campaigns of this machine that are on their way to that scheduler.

    None where certificates are asked for: who stands at a door has shown none.
    """
    if scheduler.startswith("tls://"):
        return None
    name = f"{door_prefix(scheduler)}{os.getpid()}"
    try:
        return await asyncio.start_unix_server(
            partial(_answer, keeper), path=f"\0{name}", limit=MOST_BYTES
        )
    except OSError as problem:
        # All that a door does comes by Dask as well, only later.
        logger.info("no door for campaigns of this machine: %s", problem)
        return None


async def _answer(
    keeper: SlotKeeper, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        if not is_ours(writer.get_extra_info("socket")):
            return
        greeting = {"version": __version__, "facts": facts_to_json(keeper.facts)}
        writer.write(json.dumps(greeting).encode() + b"\n")
        async with asyncio.timeout(WORD_SECONDS):
            orders = _orders(await reader.readline(), slots=keeper.facts.slots)
        await _serve(keeper, orders, reader)
    except (OSError, TimeoutError, ValueError) as problem:
        logger.info("who knocked at the door is not understood: %s", problem)
    finally:
        writer.close()


def _orders(line: bytes, *, slots: int) -> list[SlotOrder]:
    if not line:
        # Somebody who only looked.
        return []
    try:
        return orders_from_json(line)[:slots]
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"{type(problem).__name__}: {problem}") from problem


async def _serve(keeper: SlotKeeper, orders: list[SlotOrder], reader: asyncio.StreamReader) -> None:
    """Start what is asked for, and end it again should its campaign go without having used it."""
    if not orders:
        return
    loop = asyncio.get_running_loop()
    # Of its own: Dask finds addresses in the few threads that all others share, and a conftest.py
    # may hold each of these as long as it likes.
    threads = ThreadPoolExecutor(len(orders), thread_name_prefix="door")
    try:
        await asyncio.gather(
            *(loop.run_in_executor(threads, keeper.start_early, order) for order in orders)
        )
        # However it goes, its end of the line closes.
        with suppress(OSError):
            await reader.read()
        await asyncio.gather(
            *(loop.run_in_executor(threads, keeper.end_unclaimed, order) for order in orders)
        )
    finally:
        threads.shutdown(wait=False)
