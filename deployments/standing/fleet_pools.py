"""The pools of a resident fleet: what its supervisor gives a pool provider."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence

from ...flows.server.prefect_server import ResidentServer
from ...infra.fleet.files import FleetFiles, Wanted
from ...infra.fleet.roster import Roster
from ...infra.runners.capabilities import Gpu
from ..pools.pool_lives import PoolPlace
from ..pools.pool_provider import PoolProvider
from ..pools.pool_server import hasten
from ..pools.pool_workers import PoolWorkers


def pools_of(
    files: FleetFiles,
    wanted: Wanted,
    *,
    api: Callable[[], str],
    roster: Callable[[], Roster],
    gpus: Sequence[Gpu],
    environment: Mapping[str, str],
) -> PoolProvider:
    """Workers in Prefect's pools, for the server that this fleet has."""
    # A line for each of two requests a second would fill the supervisor's log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Prefect asks every 10 s by default: half of the time in which a case should run.
    own = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    if wanted.prefect == "resident":
        # The person's profile is about other servers.
        own["PREFECT_HOME"] = str(files.directory / "prefect-client")

    def prompt() -> None:
        if wanted.prefect == "resident":
            hasten(ResidentServer(files.state), os.nice(0))

    fleet = f"fleet-{hashlib.sha256(str(files.directory).encode()).hexdigest()[:12]}"
    return PoolProvider(
        PoolPlace(
            api=api,
            hasten=prompt,
            scheduler=lambda: wanted.reach.address(wanted.port),
            fleet=fleet,
            scratch=files.scratch,
            drain_seconds=wanted.drain_seconds,
            certs=wanted.reach.certs,
        ),
        workers=PoolWorkers(queue=fleet, logs=files.logs, environment={**environment, **own}),
        roster=roster,
        gpus=gpus,
    )
