"""A fleet that somebody configured on Prefect's page: `--fleet block:NAME`."""

from __future__ import annotations

import os
from pathlib import Path

from ...blocks.fleet import ConfiguredFleet, aread_fleet
from ...infra.errors import UsageProblem
from ...infra.runners.capabilities import measure
from ...infra.setting_readers import FLEET_BLOCK
from ...infra.worker_classes import common_classes, shared
from ..server.block_reader import read_blocks
from ..server.prefect_server import usable_url
from .fleet_choice import FleetChoice, with_devices


def configured_fleet(named: str, *, state: Path, prefect: str) -> ConfiguredFleet:
    """The fleet of a block that is named as in `block:NAME`, with everything it names."""
    url = _server(named, state=state, prefect=prefect)
    common = common_classes(gpus=len(measure(os.environ).gpus))

    return read_blocks(
        lambda: aread_fleet(named.removeprefix(FLEET_BLOCK), common=common), url=url, named=named
    )


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
