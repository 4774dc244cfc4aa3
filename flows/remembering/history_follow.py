"""Keeps the store in step with a Prefect server while both are up.

Prefect's event stream loses events under load, so it only wakes; the pages tell.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from ...infra.errors import InfrastructureProblem
from ...monitoring.store import Store
from ..history import synchronise

logger = logging.getLogger(__name__)

# The event stream is only a wake-up call, and one call wakes for all that follows shortly.
SETTLE_SECONDS = 1.0
POLL_SECONDS = 30.0
# A server that is away, or a store that is busy, is tried again after so long.
AWAY_SECONDS = 10.0


class Wakes(Protocol):
    """Says when something may have happened."""

    def __aiter__(self) -> AsyncIterator[None]: ...


async def follow_history(state: Path, *, url: str | None = None, until: asyncio.Event) -> None:
    """Synchronise with a server until told to stop; one that is away is tried again."""
    from .history_prefect import EventWakes, connected_history

    store = Store(state)
    while not until.is_set():
        try:
            async with connected_history(url) as (history, server):
                await follow(
                    partial(synchronise, history, store, server), EventWakes(), until=until
                )
        except InfrastructureProblem as problem:
            logger.warning("history not synchronised: %s", problem)
            with suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), AWAY_SECONDS)


async def follow(
    synchronise_once: Callable[[], Awaitable[object]],
    wakes: Wakes,
    *,
    until: asyncio.Event,
    poll_seconds: float = POLL_SECONDS,
    settle_seconds: float = SETTLE_SECONDS,
) -> None:
    """Synchronise whenever the server says that something happened, and now and then anyway.

    Prefect's event stream loses events under load, so it only wakes; the pages tell.
    """
    woken = asyncio.Event()
    listening = asyncio.create_task(_listen(wakes, woken))
    stopping = asyncio.create_task(until.wait())
    try:
        while not until.is_set():
            woken.clear()
            await synchronise_once()
            waking = asyncio.create_task(woken.wait())
            await asyncio.wait(
                {waking, stopping}, timeout=poll_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            waking.cancel()
            if woken.is_set() and not until.is_set():
                await asyncio.wait({stopping}, timeout=settle_seconds)
    finally:
        listening.cancel()
        stopping.cancel()
        await asyncio.gather(listening, stopping, return_exceptions=True)


async def _listen(wakes: Wakes, woken: asyncio.Event) -> None:
    async for _ in wakes:
        woken.set()
