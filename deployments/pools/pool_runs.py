"""Brings Prefect's runs to what a provider's lives say, and says of them what Prefect knows.

One thread with a loop of its own. It also reaps (`pool_reaper`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Scheduled

from ...flows.server.host_worker import AWAY, DRAIN_TAG, IMPATIENT, STOP_TAG
from ...infra.codec import facts_to_json
from ...infra.errors import ProctorError
from ...infra.fleet.providers import ProviderProblem
from ...infra.worker_classes import WorkerClass
from .pool_lives import Life, PoolPlace
from .pool_reaper import OPEN, crash, open_runs, runs_that, why_gone
from .pool_stalls import is_stalled, why_not_taken
from .pool_workers import PoolWorkers
from .pools import needs_our_worker, pool_name, pool_type, set_up

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

logger = logging.getLogger(__name__)

ROUND_SECONDS = 0.5
# A server that is away is asked again after this.
AWAY_SECONDS = 1.0
# A round that takes longer is told of: workers come and go late for it.
SLOW_SECONDS = 5.0
# A pool that could not be set up is looked at again after this.
SET_UP_SECONDS = 15.0


class PoolRuns:
    """The thread that speaks to Prefect for one fleet."""

    def __init__(
        self, place: PoolPlace, *, workers: PoolWorkers, lives: Callable[[], Sequence[Life]]
    ) -> None:
        self._place = place
        self._workers = workers
        self._lives = lives
        self._deployments: dict[str, UUID] = {}
        self._refusals: dict[str, tuple[ProctorError, float]] = {}
        self._limits: dict[str, int] = {}
        self._url = ""
        self._cleared = False
        self._woken = threading.Event()
        self._ending = threading.Event()
        self._end_by = float("inf")
        self._thread = threading.Thread(target=self._run, name="pools", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def refused(self, class_name: str) -> ProctorError | None:
        """Why workers of this class cannot be had at present."""
        problem, due = self._refusals.get(class_name, (None, 0.0))
        # Then the next one that is launched has the pool looked at again: nobody else would.
        return problem if time.monotonic() < due else None

    def close(self, *, grace: float) -> None:
        """Wait until all that was stopped has ended; give up what has not."""
        self._end_by = time.monotonic() + grace
        self._ending.set()
        self.wake()
        self._thread.join(grace + 10)
        self._workers.close(grace=2)

    def _run(self) -> None:
        while not self._over():
            url = self._place.api()
            try:
                if url:
                    self._turn_to(url)
                    asyncio.run(self._serve(url))
            except (*AWAY, ObjectNotFound, ProctorError) as problem:
                if _is_gone(problem):
                    # Somebody deleted a pool or a deployment of ours: they are made anew.
                    logger.warning("something is gone in Prefect: %s", problem)
                    self._forget_pools()
                else:
                    # Workers run on; what is asked meanwhile is done when it answers again.
                    logger.warning("Prefect does not answer: %s", problem)
            if not self._over():
                self._woken.wait(AWAY_SECONDS if url else ROUND_SECONDS)
                self._woken.clear()

    def _turn_to(self, url: str) -> None:
        """Speak to the server there; it may not be where it was, nor as quick."""
        if url != self._url:
            self._forget_pools()
            self._url = url
        self._place.hasten()

    def _forget_pools(self) -> None:
        self._deployments.clear()
        self._limits.clear()

    def _over(self) -> bool:
        if not self._ending.is_set():
            return False
        return time.monotonic() > self._end_by or all(life.ended for life in self._lives())

    async def _serve(self, url: str) -> None:
        with temporary_settings({PREFECT_API_URL: url, **IMPATIENT}):
            async with get_client() as client:
                while not self._over() and self._place.api() in {url, ""}:
                    began = time.monotonic()
                    await self._round(client, url)
                    took = time.monotonic() - began
                    if took > SLOW_SECONDS:
                        # Nobody else starts or ends workers in the meantime.
                        logger.warning("Prefect took %.1f s to hear of the workers", took)
                    await asyncio.to_thread(self._woken.wait, ROUND_SECONDS)
                    self._woken.clear()
                if self._ending.is_set():
                    await self._leave(client)

    async def _round(self, client: PrefectClient, url: str) -> None:
        if not self._cleared:
            await self._clear(client)
            self._cleared = True
        lives = [life for life in self._lives() if not life.ended]
        classes = {life.worker_class.name: life.worker_class for life in lives}
        for each in classes.values():
            await self._set_up(client, each, url)
        ready = [each for each in classes.values() if each.name in self._deployments]
        self._tend_workers(filter(needs_our_worker, ready), url)
        for life in lives:
            if life.run is None:
                await self._begin(client, life)
        for each in ready:
            await self._limit(client, each)
        # Before they are told anything: one that somebody deleted can be told nothing.
        await self._look(client, [life for life in lives if life.run is not None])
        for each in ready:
            await self._explain(client, each, lives)
        for life in lives:
            await self._tell(client, life)
        for life in lives:
            await self._reap(client, life)

    # Pools --------------------------------------------------------------------------------------

    async def _set_up(self, client: PrefectClient, worker_class: WorkerClass, url: str) -> None:
        name = worker_class.name
        if name in self._deployments:
            return
        _, due = self._refusals.get(name, (None, 0.0))
        if time.monotonic() < due:
            return
        try:
            self._deployments[name] = await set_up(
                client, worker_class, api_url=url, certs=self._place.certs
            )
            await client.update_work_pool(pool_name(worker_class), WorkPoolUpdate(is_paused=False))
            self._refusals.pop(name, None)
        except ProctorError as problem:
            self._refusals[name] = (problem, time.monotonic() + SET_UP_SECONDS)
            for life in self._lives():
                if life.worker_class.name == name and life.run is None:
                    life.end(str(problem))

    def _tend_workers(self, classes: Iterable[WorkerClass], url: str) -> None:
        try:
            self._workers.tend(classes, url)
        except ProviderProblem as problem:
            logger.warning("%s", problem)

    async def _limit(self, client: PrefectClient, worker_class: WorkerClass) -> None:
        """As many places as there are runs, those of other fleets included."""
        name = pool_name(worker_class)
        mine = [life for life in self._lives() if life.worker_class.name == worker_class.name]
        stamp = hash(tuple((life.key, life.ended) for life in mine if life.run is not None))
        if self._limits.get(name) == stamp:
            return
        there = await open_runs(client, name)
        await client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=there))
        self._limits[name] = stamp

    # Runs ---------------------------------------------------------------------------------------

    async def _begin(self, client: PrefectClient, life: Life) -> None:
        if life.stop_asked is not None or life.drain_asked is not None:
            life.end("it was not started")
            return
        deployment = self._deployments.get(life.worker_class.name)
        if deployment is None:
            return
        scratch = str(self._place.scratch) if pool_type(life.worker_class) == "process" else ""
        # Until now it waited for a server to start, say, which no later start of its class does.
        life.since = time.time()
        run = await client.create_flow_run_from_deployment(
            deployment,
            parameters={
                "scheduler": self._place.scheduler(),
                "facts": facts_to_json(life.facts),
                "drain_seconds": self._place.drain_seconds,
                "scratch": scratch,
                "launched": life.since,
            },
            name=life.facts.name,
            tags=["proctor", self._tag],
            idempotency_key=life.key,
            work_queue_name=self._place.fleet,
            # Without it the run would wait for the server's own idea of now.
            state=Scheduled(),
        )
        life.state, life.state_since = "SCHEDULED", time.monotonic()
        life.run = run.id

    async def _tell(self, client: PrefectClient, life: Life) -> None:
        wanted = {DRAIN_TAG: life.drain_asked, STOP_TAG: life.stop_asked}
        tags = frozenset(tag for tag, asked in wanted.items() if asked is not None)
        if life.run is None or life.ended or not tags - life.told:
            return
        await client.update_flow_run(life.run, tags=["proctor", self._tag, *sorted(tags)])
        life.told = tags
        if not life.joined and life.state in {"SCHEDULED", "PENDING"}:
            # It has no worker that could finish anything. One that starts at this very moment
            # finds that its run is over, and ends.
            await client.set_flow_run_state(
                life.run, Cancelled(message="it was not started"), force=True
            )

    async def _look(self, client: PrefectClient, lives: Sequence[Life]) -> None:
        if not lives:
            return
        ids = [life.run for life in lives if life.run is not None]
        found: dict[UUID, FlowRun] = {}
        for start in range(0, len(ids), 200):
            some = runs_that(id={"any_": ids[start : start + 200]})
            runs = await client.read_flow_runs(flow_run_filter=some, limit=200)
            found |= {run.id: run for run in runs}
        for life in lives:
            run = found.get(life.run) if life.run is not None else None
            if run is None:
                life.end("its run was deleted")
            elif run.state is not None:
                kind = run.state.type.value
                if run.work_queue_id is None and not life.astray:
                    await self._lost_its_pool(client, life, kind)
                if kind != life.state:
                    life.state, life.state_since = kind, time.monotonic()
                if run.state.is_final():
                    life.end(run.state.message or f"its run is {run.state.name}")

    async def _lost_its_pool(self, client: PrefectClient, life: Life, kind: str) -> None:
        """Somebody deleted the pool: what runs goes on, what waits would wait for ever."""
        life.astray = True
        self._deployments.pop(life.worker_class.name, None)
        self._limits.pop(pool_name(life.worker_class), None)
        if kind == "SCHEDULED" and life.run is not None:
            reason = f"its work pool {pool_name(life.worker_class)} was deleted"
            await crash(client, life.run, reason)
            life.end(reason)

    async def _explain(
        self, client: PrefectClient, worker_class: WorkerClass, lives: Sequence[Life]
    ) -> None:
        mine = [life for life in lives if life.worker_class.name == worker_class.name]
        stalled = [life for life in mine if is_stalled(life, time.monotonic())]
        reason = ""
        if stalled:
            pool = await client.read_work_pool(pool_name(worker_class))
            reason = why_not_taken(pool, worker_class)
            # Another fleet may have counted before this one's run was there, and said so after it.
            self._limits.pop(pool.name, None)
        for life in mine:
            life.stalled = reason if life in stalled else ""

    async def _reap(self, client: PrefectClient, life: Life) -> None:
        reason = why_gone(life, time.monotonic())
        if reason:
            assert life.run is not None, "only a life with a run is found gone"
            await crash(client, life.run, reason)
            life.end(reason)

    # Ends ---------------------------------------------------------------------------------------

    @property
    def _tag(self) -> str:
        return f"proctor:{self._place.fleet}"

    async def _clear(self, client: PrefectClient) -> None:
        """Mark what a killed supervisor left: those workers ended with its scheduler."""
        left = runs_that(tags={"all_": [self._tag]}, state={"type": {"any_": OPEN}})
        for run in await client.read_flow_runs(flow_run_filter=left, limit=200):
            logger.warning("run %s of a former fleet is marked crashed", run.name)
            await crash(client, run.id, "its fleet ended without it")

    async def _leave(self, client: PrefectClient) -> None:
        """Nothing may be started or stay running in the books after this."""
        for life in self._lives():
            if life.run is not None and not life.ended:
                await crash(client, life.run, "its fleet was taken down")
                life.end("its fleet was taken down")
        for name in {pool_name(life.worker_class) for life in self._lives()}:
            if not await open_runs(client, name):
                update = WorkPoolUpdate(is_paused=True, concurrency_limit=0)
                await client.update_work_pool(name, update)


def _is_gone(problem: Exception) -> bool:
    """In either of the ways in which Prefect's client says so."""
    status = isinstance(problem, PrefectHTTPStatusError) and problem.response.status_code
    return isinstance(problem, ObjectNotFound) or status == HTTPStatus.NOT_FOUND
