"""Reads blocks from a Prefect server, from anywhere and within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpx

from ...infra.setting_readers import without_credentials
from .prefect_server import PrefectUnavailable

# Blocks are a few rows: a server that answers at all has them by then.
READ_SECONDS = 60.0

T = TypeVar("T")


def read_blocks(read: Callable[[], Awaitable[T]], *, url: str, named: str) -> T:
    """What `read` finds on that server; `named` is what a person asked for."""

    async def ask() -> T:
        from .connection import speaking_to

        with speaking_to(url):
            async with asyncio.timeout(READ_SECONDS):
                return await read()

    try:
        # A thread of its own: flows ask too, and they have a loop that runs.
        with ThreadPoolExecutor(1, thread_name_prefix="blocks") as pool:
            return pool.submit(asyncio.run, ask()).result()
    except (TimeoutError, OSError, httpx.HTTPError) as problem:
        raise PrefectUnavailable(
            f"the Prefect server at {without_credentials(url)} did not say what {named} is"
            f" ({type(problem).__name__})",
            remedy="look at `proctor server status`",
        ) from problem
