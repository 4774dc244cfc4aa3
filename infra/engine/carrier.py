"""Brings a campaign's project to the workers that ask for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from typing import Any

from distributed import Client

from ..errors import ProctorError
from ..runners.project_copies import ARRIVAL_SECONDS
from . import on_workers
from .shipment import Shipment

logger = logging.getLogger(__name__)

# Projects that are on their way at the same time: each is packed anew for it.
WAYS = 2


class Carrier:
    """Goes over one connection; what was on its way when that was lost is asked for again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ways = asyncio.Semaphore(WAYS)
        # By the worker's address.
        self._bringing: dict[str, concurrent.futures.Future[None]] = {}

    def bring(self, address: str, user: str, shipment: Shipment) -> None:
        """Send the files to a worker, unless they are on their way; it asks until it has them."""
        under_way = self._bringing.get(address)
        if under_way is not None and not under_way.done():
            return
        # Tornado's loop around asyncio's, which its types do not tell.
        loop: Any = self._client.loop
        self._bringing[address] = asyncio.run_coroutine_threadsafe(
            self._bring(address, user, shipment), loop.asyncio_loop
        )

    def close(self) -> None:
        """Give up what is on its way."""
        for each in self._bringing.values():
            each.cancel()

    async def _bring(self, address: str, user: str, shipment: Shipment) -> None:
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS), self._ways:
                try:
                    snapshot = await asyncio.to_thread(shipment.snapshot)
                except (ProctorError, OSError, ValueError) as problem:
                    await self._ask(address, on_workers.refuse_files, user, str(problem))
                    return
                if not await self._ask(address, on_workers.has_files, user, snapshot.digest):
                    packed = snapshot.digest, snapshot.archive
                    await self._ask(address, on_workers.take_files, user, *packed)
        except (OSError, TimeoutError) as error:
            logger.info("files could not be brought to %s: %s", address, error or "no answer")

    async def _ask(self, address: str, function: Any, *arguments: object) -> Any:
        answers: Any = await self._client._run(  # pyright: ignore[reportPrivateUsage]
            function, *arguments, workers=[address], on_error="ignore"
        )
        return (answers or {}).get(address)
