"""Prefect's run history in the store: all of it once, then only what is new."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace

import pytest
from campaign_journals import JournalWriter

from proctor.flows.history import Synced, synchronise
from proctor.flows.remembering.history_follow import follow
from proctor.flows.remembering.history_seam import PAGE, Which
from proctor.monitoring.ingest import ingest
from proctor.monitoring.run_history import FlowRunFacts, RunStateFacts, TaskRunFacts
from proctor.monitoring.store import Store

_NOW = 1_800_000_000.0
_SERVER = "http://127.0.0.1:4200/api"


def flow_run(number: int, *, ended: float | None = None, **facts) -> FlowRunFacts:
    return FlowRunFacts(
        id=f"run-{number:05d}",
        flow="submit-tests",
        name=f"run {number}",
        state_type="RUNNING" if ended is None else "COMPLETED",
        state_name="Running" if ended is None else "Completed",
        created=_NOW - 10_000 + number,
        started=_NOW - 10_000 + number,
        ended=ended,
        run_count=1,
        **facts,
    )


@dataclass
class FakeHistory:
    """A server in memory that counts what it is asked."""

    runs: dict[str, FlowRunFacts] = field(default_factory=dict)
    tasks: dict[str, list[str]] = field(default_factory=dict)
    pages: int = 0
    asked_states: list[str] = field(default_factory=list)
    # Runs that appear while pages are being read.
    meanwhile: list[FlowRunFacts] = field(default_factory=list)

    def put(self, *runs: FlowRunFacts) -> None:
        self.runs |= {run.id: run for run in runs}

    async def count_flow_runs(self) -> int:
        return len(self.runs)

    async def flow_runs(self, which: Which, *, offset: int):
        self.pages += 1
        found = [run for run in self.runs.values() if self._fits(run, which)]
        page = sorted(found, key=lambda run: run.id, reverse=True)[offset : offset + PAGE]
        self.put(*self.meanwhile)
        self.meanwhile = []
        return page

    async def task_runs(self, flow_runs, *, offset: int):
        found = [
            (
                TaskRunFacts(
                    id=f"{run}/{name}", flow_run=run, name=name, task_key=name,
                    state_type="COMPLETED", state_name="Completed", created=_NOW, started=_NOW,
                    ended=_NOW + 1, run_seconds=1.0, run_count=1,
                ),
                RunStateFacts(
                    id=f"{run}/{name}/state", flow_run=run, task_run=f"{run}/{name}", at=_NOW,
                    type="COMPLETED", name="Completed",
                ),
            )
            for run in flow_runs
            for name in self.tasks.get(run, ())
        ]  # fmt: skip
        return found[offset : offset + PAGE]

    async def states(self, flow_run: str):
        self.asked_states.append(flow_run)
        return [
            RunStateFacts(
                id=f"{flow_run}/{name}", flow_run=flow_run, at=_NOW, type=name.upper(), name=name
            )
            for name in ("Pending", "Running", "Completed")
        ]

    def _fits(self, run: FlowRunFacts, which: Which) -> bool:
        if which.ids:
            return run.id in which.ids
        if which.unended:
            return run.ended is None
        if which.ended_since is not None:
            return run.ended is not None and run.ended >= which.ended_since
        return True


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def history():
    return FakeHistory()


def sync(history: FakeHistory, store: Store, **more) -> Synced:
    return asyncio.run(synchronise(history, store, _SERVER, clock=lambda: _NOW, **more))


def rows(store: Store, query: str):
    with store.reading() as connection:
        return connection.execute(query).fetchall()


def count(store: Store) -> int:
    return rows(store, "SELECT count(*) FROM prefect_flow_runs WHERE state_type <> 'DELETED'")[0][0]


def test_the_first_time_everything_is_read_by_pages(store, history):
    """Runs, their task runs and their states; each of them once."""
    total = 2 * PAGE + 7
    history.put(*(flow_run(number, ended=_NOW - 5000 + number) for number in range(total)))
    history.tasks = {"run-00003": ["collect", "run"]}
    done = sync(history, store)
    assert (done.flow_runs, done.task_runs, done.whole) == (total, 2, True)
    assert (done.without_states, count(store)) == (0, total)
    assert rows(store, "SELECT count(*), count(DISTINCT state_id) FROM prefect_states") == [
        (3 * total + 2, 3 * total + 2)
    ]
    assert rows(store, "SELECT DISTINCT server FROM prefect_flow_runs") == [(_SERVER,)]


def test_afterwards_only_what_is_new_is_asked_for(store, history):
    """Neither all pages nor the states of runs that are known."""
    history.put(*(flow_run(number, ended=_NOW - 5000 + number) for number in range(3 * PAGE)))
    sync(history, store)
    history.pages, history.asked_states = 0, []
    history.put(flow_run(900, ended=_NOW - 1000))
    done = sync(history, store)
    assert (done.flow_runs, done.whole) == (1, False)
    assert history.asked_states == ["run-00900"]
    assert history.pages <= 3


def test_a_run_that_was_open_is_followed_to_its_end(store, history):
    """Also when it ended at a time that lies before the last look: campaigns are told late."""
    history.put(flow_run(1, ended=_NOW - 1000), flow_run(2))
    sync(history, store)
    assert rows(store, "SELECT state_name FROM prefect_flow_runs ORDER BY name") == [
        ("Completed",), ("Running",),
    ]  # fmt: skip
    history.put(flow_run(2, ended=_NOW - 9000))
    done = sync(history, store)
    assert (done.flow_runs, done.whole) == (1, False)
    assert rows(store, "SELECT state_name FROM prefect_flow_runs WHERE name = 'run 2'") == [
        ("Completed",)
    ]


def test_a_run_that_was_told_with_times_long_past_is_found(store, history):
    """No filter shows it; the counts do."""
    history.put(flow_run(1, ended=_NOW - 1000))
    sync(history, store)
    history.put(flow_run(2, ended=_NOW - 8000))
    done = sync(history, store)
    assert (done.flow_runs, done.whole) == (1, True)
    assert sync(history, store).whole is False


def test_runs_that_were_deleted_are_marked(store, history):
    """One that never started leaves nothing; neither makes every later look a whole one."""
    history.put(
        flow_run(1, ended=_NOW - 1000),
        flow_run(2),
        replace(flow_run(3), started=None, state_type="SCHEDULED", state_name="Scheduled"),
        flow_run(4, ended=_NOW - 5000),
    )
    sync(history, store)
    for name in ("run-00002", "run-00003", "run-00004"):
        del history.runs[name]
    assert sync(history, store).deleted == 3
    assert rows(store, "SELECT name, state_type FROM prefect_flow_runs ORDER BY name") == [
        ("run 1", "COMPLETED"), ("run 2", "DELETED"), ("run 4", "DELETED"),
    ]  # fmt: skip
    again = sync(history, store)
    assert (again.flow_runs, again.deleted, again.whole) == (0, 0, False)


def test_runs_that_come_while_pages_are_read_are_not_lost(store, history):
    """At the latest the next look has them."""
    history.put(*(flow_run(number, ended=_NOW - 5000 + number) for number in range(PAGE + 5)))
    history.meanwhile = [flow_run(999, ended=_NOW - 4000), flow_run(998)]
    sync(history, store)
    sync(history, store)
    assert count(store) == PAGE + 7


def test_task_runs_that_come_late_are_taken_in(store, history):
    """Prefect writes them down a moment after their flow run has ended."""
    history.put(flow_run(1, ended=_NOW - 1))
    sync(history, store)
    history.tasks = {"run-00001": ["report"]}
    sync(history, store)
    assert rows(store, "SELECT name FROM prefect_task_runs") == [("report",)]


def test_states_that_there_was_no_time_for_are_asked_for_later(store, history):
    """Those of campaigns go first."""
    history.put(
        flow_run(1, ended=_NOW - 4000), flow_run(2, ended=_NOW - 5000, tags=("campaign:c2",))
    )
    done = sync(history, store, states_seconds=0.0)
    assert (done.without_states, history.asked_states) == (2, [])
    assert sync(history, store).without_states == 0
    assert history.asked_states == ["run-00002", "run-00001"]


def test_flow_runs_are_joined_with_their_campaigns(store, history):
    """By their tag, or by what the campaign's mirror remembers."""
    for name in ("c1", "c2"):
        JournalWriter(store.state / "campaigns" / name, began=_NOW - 9000).finish()
    told = store.state / "campaigns" / "c2" / "mirror" / "told.json"
    told.parent.mkdir()
    told.write_text(json.dumps({"flow_run": "run-00002"}))
    ingest(store)
    history.put(
        flow_run(1, ended=_NOW - 4000, tags=("proctor", "campaign:c1")),
        flow_run(2, ended=_NOW - 4000),
        flow_run(3, ended=_NOW - 4000),
    )
    sync(history, store)
    assert rows(
        store, "SELECT flow_run_id, campaign, exit_code FROM prefect_campaigns ORDER BY 1"
    ) == [("run-00001", "c1", 1), ("run-00002", "c2", 1)]


def test_two_servers_do_not_mix(store, history):
    """Each has a cursor and a count of its own."""
    history.put(flow_run(1, ended=_NOW - 4000))
    sync(history, store)
    other = FakeHistory()
    other.put(flow_run(7, ended=_NOW - 6000))
    asyncio.run(synchronise(other, store, "http://elsewhere/api", clock=lambda: _NOW))
    assert sync(history, store).deleted == 0
    assert count(store) == 2


class Bell:
    """Wakes when it is rung."""

    def __init__(self) -> None:
        self.rings: asyncio.Queue[None] = asyncio.Queue()

    def __aiter__(self):
        return self

    async def __anext__(self) -> None:
        await self.rings.get()


def test_an_event_wakes_and_many_wake_once():
    """The stream only says that there is something; a burst is one look."""

    async def scenario() -> int:
        bell, until, looks = Bell(), asyncio.Event(), []
        looked = asyncio.Event()

        async def look() -> None:
            looks.append(1)
            looked.set()

        following = asyncio.create_task(
            follow(look, bell, until=until, poll_seconds=3600, settle_seconds=0.01)
        )
        for _ in range(2):
            await asyncio.wait_for(looked.wait(), 60)
            looked.clear()
            for _ in range(50):
                bell.rings.put_nowait(None)
        await asyncio.wait_for(looked.wait(), 60)
        until.set()
        await asyncio.wait_for(following, 60)
        return len(looks)

    assert asyncio.run(scenario()) <= 6


def test_without_events_it_looks_now_and_then():
    """A server whose stream is silent is still followed."""

    async def scenario() -> None:
        until, seen = asyncio.Event(), []

        async def look() -> None:
            seen.append(1)
            if len(seen) == 3:
                until.set()

        await asyncio.wait_for(
            follow(look, Bell(), until=until, poll_seconds=0.01, settle_seconds=0.0), 60
        )

    asyncio.run(scenario())
