"""A fleet that somebody configured on Prefect's page: `--fleet block:NAME`."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from ..blocks.fleet import ConfiguredFleet, aread_fleet
from ..infra.capabilities import measure
from ..infra.errors import UsageProblem
from ..infra.setting_readers import FLEET_BLOCK
from ..infra.worker_classes import common_classes, shared
from .fleet_choice import FleetChoice, with_devices
from .prefect_server import PrefectUnavailable, usable_url

# Blocks are a few rows: a server that answers at all has them by then.
READ_SECONDS = 60.0


def configured_fleet(named: str, *, state: Path, prefect: str) -> ConfiguredFleet:
    """The fleet of a block that is named as in `block:NAME`, with everything it names."""
    url = _server(named, state=state, prefect=prefect)
    common = common_classes(gpus=len(measure(os.environ).gpus))

    async def read() -> ConfiguredFleet:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: url}):
            async with asyncio.timeout(READ_SECONDS):
                return await aread_fleet(named.removeprefix(FLEET_BLOCK), common=common)

    try:
        # A thread of its own: flows ask too, and they have a loop that runs.
        with ThreadPoolExecutor(1, thread_name_prefix="fleet-block") as pool:
            return pool.submit(asyncio.run, read()).result()
    except (TimeoutError, OSError, httpx.HTTPError) as problem:
        raise PrefectUnavailable(
            f"the Prefect server at {url} did not say what {named} is ({type(problem).__name__})",
            remedy="look at `proctor server status`",
        ) from problem


def own_fleet(named: str, *, state: Path, prefect: str, cores: int) -> FleetChoice:
    """A campaign's own fleet, as a block says it."""
    fleet = configured_fleet(named, state=state, prefect=prefect)
    away = [
        name
        for name, each in fleet.classes.items()
        if (each.provider or fleet.provider) == "work-pool"
    ]
    if away or fleet.auto:
        why = f"class {away[0]} comes from a work pool" if away else "it sizes itself"
        raise UsageProblem(
            f"{named} is no fleet for a single campaign: {why}",
            remedy=f"start it with `proctor up --fleet {named}`, and campaigns run on it",
        )
    classes = shared(fleet.classes, fleet.counts, cores=cores)
    workers = [
        classes[name].facts(number)
        for name, count in fleet.counts.items()
        for number in range(1, count + 1)
    ]
    if not workers:
        raise UsageProblem(f"{named} has no workers", remedy="give a class of it one or more")
    return FleetChoice(workers=with_devices(workers), origin=f"a fleet of its own, as {named} says")


def _server(named: str, *, state: Path, prefect: str) -> str:
    """A server that answers: the configured one, or the resident one, started if need be."""
    if prefect == "off":
        raise UsageProblem(
            f"{named} is kept by Prefect, and Prefect is switched off",
            remedy="leave out --prefect off, or say yourself which workers there are",
        )
    return usable_url(prefect, state, purpose=f", and {named} is kept there")
