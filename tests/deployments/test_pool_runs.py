"""What is asked of a pool provider reaches Prefect, whatever others do there meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import WorkPoolStatus
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES
from prefect.states import Running
from waiting import wait_until

from proctor.deployments.pools import pool_reaper, pool_runs, pool_stalls
from proctor.deployments.pools.pool_lives import PoolPlace
from proctor.deployments.pools.pool_provider import PoolProvider
from proctor.infra.fleet.providers import Phase, ProviderProblem
from proctor.infra.fleet.roster import Roster, Seen
from proctor.infra.worker_classes import WorkerClass

CPU = WorkerClass(name="cpu", slots=1)


class Server:
    """As much of Prefect's client as the thread speaks to; runs start when the test says so."""

    def __init__(self) -> None:
        self.runs: dict[UUID, Any] = {}
        self.keys: dict[str, UUID] = {}
        self.url = "http://127.0.0.1:1/api"
        self.pools: set[str] = set()
        self.deployments: set[UUID] = set()
        self.paused = False
        self.made = 0
        # The places of the pool, and what stands in the way of setting it up.
        self.limit = 0
        self.lacking: list[ProviderProblem] = []
        # Raised when it is next spoken to.
        self.problems: list[Exception] = []
        # How often Prefect's client would try each thing by itself, with longer and longer sleeps.
        self.tries: int | None = None

    @contextlib.asynccontextmanager
    async def client(self):
        self.tries = 1 + PREFECT_CLIENT_MAX_RETRIES.value()
        if self.problems:
            raise self.problems.pop()
        yield self

    async def set_up(self, client, worker_class, *, api_url, certs):
        if self.lacking:
            raise self.lacking.pop()
        self.pools.add(f"proctor-{worker_class.name}")
        self.made += 1
        deployment = uuid4()
        self.deployments.add(deployment)
        return deployment

    async def update_work_pool(self, name, update):
        if name not in self.pools:
            raise ObjectNotFound(Exception("404"))
        if update.concurrency_limit is not None:
            self.limit = update.concurrency_limit

    async def read_work_pool(self, name):
        return SimpleNamespace(name=name, is_paused=self.paused, status=WorkPoolStatus.READY)

    async def request(self, method, path, *, json):
        return SimpleNamespace(json=lambda: len(self.runs))

    async def create_flow_run_from_deployment(self, deployment, *, name, idempotency_key, **more):
        if deployment not in self.deployments:
            # Prefect's client has no word of its own for this one.
            answer = httpx.Response(404, request=httpx.Request("POST", self.url))
            raise PrefectHTTPStatusError("404", request=answer.request, response=answer)
        run = SimpleNamespace(id=uuid4(), name=name, state=more["state"], tags=list(more["tags"]))
        run.work_queue_id = uuid4()
        self.runs[run.id] = run
        self.keys[name] = run.id
        return run

    async def read_flow_runs(self, *, flow_run_filter, limit=None):
        # Those of a former fleet are asked for by their tag: there are none.
        return [] if flow_run_filter.id is None else list(self.runs.values())

    async def read_task_runs(self, *, task_run_filter):
        return []

    async def update_flow_run(self, run, *, tags):
        self.runs[run].tags = tags

    async def set_flow_run_state(self, run, state, *, force):
        self.runs[run].state = state


class Fleet:
    """A provider over that server, and a roster in the test's hand."""

    def __init__(self, directory: Path, server: Server) -> None:
        self.server = server
        self.roster = Roster(at=0.0, workers={})
        place = PoolPlace(
            api=lambda: server.url,
            scheduler=lambda: "tcp://127.0.0.1:1",
            fleet="fleet",
            scratch=directory,
            drain_seconds=60,
        )
        workers: Any = SimpleNamespace(tend=lambda classes, url: None, close=lambda grace: None)
        self.provider = PoolProvider(place, workers=workers, roster=lambda: self.roster)

    def launch(self, number: int) -> str:
        facts = CPU.facts(number)
        self.provider.launch(facts, CPU)
        wait_until(lambda: facts.name in self.server.keys, what=f"the run of {facts.name}")
        return facts.name

    def join(self, name: str) -> None:
        """Its worker registers, under the incarnation that its run was given."""
        (life,) = (each for each in self.provider._copy() if each.facts.name == name)
        facts = self.facts(name, f"77-{life.key}")
        seen = Seen(facts=facts, address="tcp://127.0.0.1:2", last_seen=time.time(), busy=1)
        self.roster = Roster(at=time.time(), workers={**self.roster.workers, name: seen})
        wait_until(lambda: self.phase(name) is Phase.RUNNING, what=f"{name} to run")

    def facts(self, name: str, incarnation: str):
        return replace(CPU.facts(int(name.rpartition("-")[2])), incarnation=incarnation)

    def run(self, name: str) -> Any:
        return self.server.runs[self.server.keys[name]]

    def reason(self, name: str) -> str:
        return next(each.reason for each in self.provider.observe() if each.name == name)

    def phase(self, name: str) -> Phase:
        return next(each.phase for each in self.provider.observe() if each.name == name)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    server = Server()
    monkeypatch.setattr(pool_runs, "get_client", server.client)
    monkeypatch.setattr(pool_runs, "set_up", server.set_up)
    fleet = Fleet(tmp_path, server)
    yield fleet
    fleet.provider.close(grace=0)


def test_a_start_is_as_old_as_its_run(fleet: Fleet) -> None:
    """Scaling would take a server that came up for a minute for what each start takes."""
    there, fleet.server.url = fleet.server.url, ""
    fleet.provider.launch(CPU.facts(1), CPU)
    answered = time.time()
    fleet.server.url = there
    wait_until(lambda: "cpu-1" in fleet.server.keys, what="the run of cpu-1")
    (seen,) = fleet.provider.observe()
    assert seen.since >= answered


def test_a_run_that_somebody_deleted_holds_up_nobody(fleet: Fleet) -> None:
    """It cannot be told to drain; the others still are."""
    gone, there = fleet.launch(1), fleet.launch(2)
    fleet.run(there).state = Running()
    fleet.join(there)
    del fleet.server.runs[fleet.server.keys[gone]]

    fleet.provider.drain(gone)
    fleet.provider.drain(there)

    wait_until(lambda: fleet.phase(gone) is Phase.ENDED, what="the deleted run to end")
    wait_until(lambda: "proctor:drain" in fleet.run(there).tags, what="the other to be told")


def test_a_pool_that_somebody_deleted_is_made_anew(fleet: Fleet) -> None:
    """The thread that speaks to Prefect lives on: nobody else would."""
    fleet.launch(1)
    fleet.server.pools.clear()

    fleet.launch(2)

    wait_until(lambda: fleet.server.made == 2, what="the pool to be made again")
    assert fleet.server.pools == {"proctor-cpu"}


def test_a_deployment_that_somebody_deleted_is_made_anew(fleet: Fleet) -> None:
    """Or a whole database: the server answers, and knows nothing of ours."""
    fleet.launch(1)
    fleet.server.deployments.clear()

    fleet.launch(2)

    assert fleet.server.made == 2


def test_a_server_that_moved_is_followed(fleet: Fleet) -> None:
    """Somebody else's may answer where it was; what it is given says where it is now."""
    fleet.launch(1)

    fleet.server.url = "http://127.0.0.1:2/api"

    wait_until(lambda: fleet.server.made == 2, what="the pool to be set up for the new address")


@pytest.mark.parametrize(
    "problem",
    [RuntimeError("Failed to reach API"), OSError("no route"), ValueError("<html> is no JSON")],
)
def test_a_server_that_is_away_is_asked_again(fleet: Fleet, problem: Exception) -> None:
    """In whichever of its ways Prefect says so; until then nothing else is lost."""
    fleet.server.problems.append(problem)

    fleet.launch(1)

    assert fleet.server.problems == []
    assert fleet.server.tries == 2


def test_what_a_pool_lacked_is_looked_for_again(fleet: Fleet, monkeypatch) -> None:
    """An engine that was slow once does not keep a class out until the fleet is started anew."""
    monkeypatch.setattr(pool_runs, "SET_UP_SECONDS", 0.3)
    fleet.server.lacking.append(ProviderProblem("no Docker engine answers", remedy="start it"))
    facts = CPU.facts(1)
    fleet.provider.launch(facts, CPU)
    wait_until(lambda: fleet.phase(facts.name) is Phase.ENDED, what="the worker to be given up")

    def launched() -> bool:
        try:
            fleet.provider.launch(facts, CPU)
        except ProviderProblem:
            return False
        return True

    wait_until(launched, what="the class to be tried again")
    wait_until(lambda: facts.name in fleet.server.keys, what="its run")


def test_a_place_that_another_fleet_took_back_is_given_again(fleet: Fleet, monkeypatch) -> None:
    """It counted the pool's runs before ours was there, and set its limit after we set ours."""
    monkeypatch.setattr(pool_stalls, "STALL_SECONDS", 0.0)
    fleet.launch(1)
    wait_until(lambda: fleet.server.limit == 1, what="its place")

    fleet.server.limit = 0

    wait_until(lambda: fleet.server.limit == 1, what="its place to be given again")


def test_nobody_is_lost_whom_nobody_looked_for(fleet: Fleet, monkeypatch) -> None:
    """A supervisor that was stopped for a minute finds its workers as they are."""
    monkeypatch.setattr(pool_reaper, "LOST_SECONDS", 0.0)
    name = fleet.launch(1)
    fleet.run(name).state = Running()
    fleet.join(name)

    # Each is a round of the thread that would give the first one up.
    fleet.launch(2)
    fleet.launch(3)

    assert fleet.run(name).state.is_running()
    fleet.roster = Roster(at=time.time(), workers={})
    wait_until(lambda: fleet.phase(name) is Phase.ENDED, what="one that is gone to be given up")


def test_a_worker_that_has_joined_finishes_whatever_prefect_says(fleet: Fleet) -> None:
    """Prefect may be behind: a run it calls pending can be running cases."""
    name = fleet.launch(1)
    fleet.join(name)

    fleet.provider.drain(name)

    wait_until(lambda: "proctor:drain" in fleet.run(name).tags, what="it to be told")
    assert fleet.run(name).state.is_scheduled()


def test_a_run_that_has_no_worker_yet_is_not_started(fleet: Fleet) -> None:
    """There is nothing to finish."""
    name = fleet.launch(1)

    fleet.provider.drain(name)

    wait_until(lambda: fleet.phase(name) is Phase.ENDED, what="it to end")
    assert fleet.run(name).state.is_cancelled()


def test_what_waits_in_a_pool_that_somebody_deleted_ends(fleet: Fleet) -> None:
    """Prefect keeps such a run without a place, where nobody would ever take it."""
    waiting, busy = fleet.launch(1), fleet.launch(2)
    fleet.run(busy).state = Running()
    fleet.join(busy)
    for run in fleet.server.runs.values():
        run.work_queue_id = None

    wait_until(lambda: fleet.phase(waiting) is Phase.ENDED, what="the run without a pool to end")

    assert fleet.run(waiting).state.is_crashed()
    assert fleet.phase(busy) is Phase.RUNNING
    wait_until(lambda: fleet.server.made == 2, what="the pool to be made again")


def test_a_pool_that_somebody_paused_says_so(fleet: Fleet, monkeypatch) -> None:
    """Whoever waits for its workers reads what to type, until the pool is resumed."""
    monkeypatch.setattr(pool_stalls, "STALL_SECONDS", 0.0)
    fleet.server.paused = True
    name = fleet.launch(1)

    wait_until(lambda: "is paused" in fleet.reason(name), what="the pause to be told of")
    assert "`prefect work-pool resume proctor-cpu`" in fleet.reason(name)
    fleet.server.paused = False
    wait_until(lambda: not fleet.reason(name), what="nothing to be told any more")


@pytest.mark.parametrize(
    ("pool", "told"),
    [("", "the Prefect worker of the work pool"), ("kubernetes", "`prefect worker start --pool")],
)
def test_a_pool_that_no_worker_looks_at_says_whose_it_is(pool: str, told: str) -> None:
    """Ours is on its way; that of a cluster is started by people."""
    worker_class = replace(CPU, pool=pool)
    seen: Any = SimpleNamespace(name="p", is_paused=False, status=WorkPoolStatus.NOT_READY)

    assert told in pool_stalls.why_not_taken(seen, worker_class)
