"""How long Prefect's run history takes to come into the store, from a real server of our own.

python tests/bench/history_speed.py --runs 5000        # making them takes five minutes
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

# Every fifth run is a campaign's, with its phases as task runs.
_PHASES = ("collect", "run", "report")
_TRIES = 50


class Server:
    """Makes runs that began and ended some hours ago, through the doors of the resident server."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        for _ in range(_TRIES):
            answer = await self._client.post(path, json=body)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            # SQLite is busy.
            await asyncio.sleep(0.2)
        answer.raise_for_status()
        return answer.json()

    async def make(self, first: int, count: int) -> None:
        flow = (await self.post("/flows/", {"name": "bench"}))["id"]
        turns = asyncio.Semaphore(2)

        async def one(number: int) -> None:
            async with turns:
                await self._run(flow, number)

        await asyncio.gather(*(one(number) for number in range(first, first + count)))

    async def _run(self, flow: str, number: int) -> None:
        began = datetime.now(UTC) - timedelta(hours=5) + timedelta(seconds=number)
        campaign = number % 5 == 0
        run = await self.post(
            "/proctor/flow-runs",
            {
                "flow_id": flow,
                "name": f"run {number}",
                "idempotency_key": f"run-{number}",
                "tags": ["proctor", f"campaign:c{number}"] if campaign else [],
                "state": _state("RUNNING", "Running", began),
            },
        )
        ended = _state("COMPLETED", "Completed", began + timedelta(seconds=2))
        await self.post(f"/proctor/flow-runs/{run['id']}/states", {"states": [ended]})
        for phase in _PHASES if campaign else ():
            body = {"flow_run_id": run["id"], "task_key": phase, "dynamic_key": "0"}
            done = {"type": "COMPLETED", "name": "Completed"}
            await self.post("/task_runs/", body | {"name": phase, "state": done})


def _state(kind: str, name: str, at: datetime) -> dict[str, str]:
    return {"type": kind, "name": name, "timestamp": at.isoformat()}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="proctor-history-") as place:
        # Prefect reads it when it is imported.
        os.environ["PREFECT_HOME"] = f"{place}/home"
        from proctor.flows.history import bring_in
        from proctor.flows.server.prefect_server import ResidentServer

        state = Path(place) / "state"
        state.mkdir()
        server = ResidentServer(state)
        try:
            url = server.ensure().api_url

            async def measure() -> dict[str, Any]:
                async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                    maker = Server(client)
                    await maker.make(0, told.runs)
                    first = await bring_in(state, url=url)
                    await maker.make(told.runs, 10)
                    news = await bring_in(state, url=url)
                    nothing = await bring_in(state, url=url)
                return {"all": asdict(first), "ten more": asdict(news), "again": asdict(nothing)}

            measured = asyncio.run(measure())
        finally:
            server.stop()
    if told.json:
        print(json.dumps(measured, indent=1))
    else:
        for name, done in measured.items():
            print(
                f"{name}: {done['flow_runs']:,} flow runs, {done['task_runs']:,} task runs, "
                f"{done['states']:,} states in {done['seconds']:.2f} s"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
