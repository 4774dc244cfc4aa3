"""A pool provider over a real Prefect server, a real scheduler and real Prefect workers."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from real_prefect import resident_server, resident_state
from waiting import wait_until

from proctor.deployments.pools.pool_lives import PoolPlace
from proctor.deployments.pools.pool_provider import PoolProvider
from proctor.deployments.pools.pool_workers import PoolWorkers
from proctor.infra.fleet.roster import RosterFile
from proctor.infra.host_process import end_all, launch_host


@dataclass
class Scheduler:
    address: str
    roster: Path


@contextlib.contextmanager
def scheduler_in(directory: Path) -> Iterator[Scheduler]:
    ready, roster = directory / "ready.json", directory / "roster.json"
    process = launch_host(
        (
            *(sys.executable, "-m", "proctor.infra.fleet.scheduler_host"),
            *("--ready", str(ready), "--roster", str(roster)),
        ),
        log=directory / "scheduler.log",
        environment=os.environ,
    )
    wait_until(ready.exists, timeout=60, what="the scheduler to listen")
    yield Scheduler(json.loads(ready.read_text())["address"], roster)
    end_all([process], grace=5)


@dataclass
class PoolPlaceInHand:
    provider: PoolProvider
    hand: Callable[[str], None] | None

    def kill(self, name: str) -> None:
        """Its worker's process; the flow that hosts it says so and ends."""
        if self.hand is not None:
            self.hand(name)
            return
        seen = self.provider._roster().workers[name]
        psutil.Process(int(seen.facts.incarnation.partition("-")[0])).kill()


@contextlib.contextmanager
def pool_place(
    scheduler: Scheduler,
    directory: Path,
    *,
    fleet: str,
    kill: Callable[[str], None] | None = None,
) -> Iterator[PoolPlaceInHand]:
    url = resident_server().ensure().api_url
    workers = PoolWorkers(
        queue=fleet,
        logs=directory / "logs",
        environment=os.environ
        | {
            "PREFECT_HOME": str(resident_state() / "client"),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        },
    )
    provider = PoolProvider(
        PoolPlace(
            api=lambda: url,
            scheduler=lambda: scheduler.address,
            fleet=fleet,
            scratch=directory / "scratch",
            drain_seconds=20,
        ),
        workers=workers,
        roster=RosterFile(scheduler.roster).read,
    )
    try:
        yield PoolPlaceInHand(provider, kill)
    finally:
        provider.close(grace=15)
