"""What a campaign has Dask run on its workers: each function finds the worker's own keeper."""

from __future__ import annotations

import asyncio
import pickle

from distributed import Worker, get_worker

from ..runners.orders import SlotOrder
from ..runners.outbox import Outbox, read_outbox
from ..runners.slot_keeper import keeper_of


def perform(packed: bytes) -> None:
    # As trustworthy as this call itself, which came pickled too.
    order: SlotOrder = pickle.loads(packed)  # noqa: S301
    keeper_of(get_worker()).perform(order)


def describe(dask_worker: Worker) -> dict[str, object]:
    return keeper_of(dask_worker).describe()


def fence(campaign: str, epoch: int, dask_worker: Worker) -> int:
    return keeper_of(dask_worker).fence(campaign, epoch)


def outbox(campaign: str, dask_worker: Worker) -> list[dict[str, object]]:
    return list(read_outbox(keeper_of(dask_worker).scratch, campaign))


# Coroutines, for nobody waits for these: of plain functions Dask refuses `wait=False`, by an
# assertion on the worker that nobody would hear of.


async def stop(campaign: str, batch: str, kill: bool, dask_worker: Worker) -> None:
    keeper_of(dask_worker).stop(campaign, batch, kill=kill)


async def has_files(user: str, digest: str, dask_worker: Worker) -> bool:
    return await asyncio.to_thread(keeper_of(dask_worker).copies.has, user, digest)


async def take_files(user: str, digest: str, archive: bytes, dask_worker: Worker) -> None:
    await asyncio.to_thread(keeper_of(dask_worker).copies.take, user, digest, archive)


async def refuse_files(user: str, why: str, dask_worker: Worker) -> None:
    keeper_of(dask_worker).copies.refuse(user, why)


async def let_go(campaign: str, epoch: int, dask_worker: Worker) -> None:
    keeper_of(dask_worker).let_go(campaign, epoch)


async def discard(campaign: str, dask_worker: Worker) -> None:
    keeper_of(dask_worker).copies.forget(campaign)
    Outbox.discard(keeper_of(dask_worker).scratch, campaign)
