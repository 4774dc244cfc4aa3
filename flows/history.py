"""Prefect's run history in the store, so that dashboards and trends see it beside the campaigns.

The API has no filter by time of change. So each synchronisation asks for what ended since the
last one, for what has not ended, and for what had not ended when we last looked; and counts. If
the counts differ (a campaign was told late, with its own times; somebody deleted runs), it reads
all pages once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ..infra.errors import InfrastructureProblem
from ..infra.ledgers.campaigns import campaigns_directory
from ..monitoring.run_history import (
    FlowRunFacts,
    KnownHistory,
    RunHistoryTable,
    RunStateFacts,
    TaskRunFacts,
)
from ..monitoring.store import Store
from .remembering.history_seam import PAGE, RunHistory, Which
from .server.called_flow import CalledFlow

# What ended or was told so lately is looked at again: task runs and late states follow.
OVERLAP_SECONDS = 60.0
# States have to be asked for run by run: so many at a time, and for so long each time.
_AT_ONCE = 4
STATES_SECONDS = 30.0
# A campaign's runs carry a tag of this form.
_CAMPAIGN_TAG = "campaign:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What was new or had changed."""

    flow_runs: int
    task_runs: int
    states: int
    deleted: int
    # Ended runs whose states were not asked for yet: the next time goes on with them.
    without_states: int
    whole: bool
    seconds: float


class HistoryTooSlow(InfrastructureProblem):
    """Prefect's history could not be read in time."""


@partial(CalledFlow, name="sync-history", persist_result=False)
async def sync_history(
    state: Annotated[str, Field(description="The state directory; empty for the usual one.")] = "",
    deadline_seconds: Annotated[float, Field(gt=0, le=86400)] = 300.0,
) -> dict[str, Any]:
    """Bring Prefect's flow runs, task runs and states into the store.

    Args:
        state: The directory that holds campaigns and the store.
        deadline_seconds: Give up after so many seconds; what was read until then stays.

    """
    from dataclasses import asdict

    return asdict(await bring_in(_state_directory(state), deadline=deadline_seconds))


async def bring_in(state: Path, *, url: str | None = None, deadline: float = 300.0) -> Synced:
    """Synchronise once with a server: the one given, or the one that Prefect's settings name."""
    from .remembering.history_prefect import connected_history

    async with connected_history(url) as (history, server):
        try:
            async with asyncio.timeout(deadline):
                return await synchronise(history, Store(state), server)
        except TimeoutError as problem:
            raise HistoryTooSlow(
                f"the history of the Prefect server {server} was not read within {deadline:g} s",
                remedy="try again with more time: what was read is kept",
            ) from problem


async def synchronise(
    history: RunHistory,
    store: Store,
    server: str,
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    states_seconds: float = STATES_SECONDS,
) -> Synced:
    """Take in what is new; the store is open only while it is written."""
    began = monotonic()
    known = await asyncio.to_thread(_known, store, server)
    found, gone = await _recent(history, known)
    alive = len(known.open_runs - gone) + (known.count - len(known.open_runs))
    new = await asyncio.to_thread(_new_among, store, server, found)
    whole = known.until is None or alive + len(new) != await history.count_flow_runs()
    if whole:
        found = [run async for page in _pages(history, Which()) for run in page]
        before = await asyncio.to_thread(_all_runs, store, server)
        gone = frozenset(before - {run.id for run in found})
    changed = await asyncio.to_thread(
        _changed, store, server, found, since=clock() - OVERLAP_SECONDS
    )
    tasks, task_states = await _tasks_of(history, [run.id for run in changed])
    until = max((run.ended for run in found if run.ended is not None), default=known.until)
    told = await asyncio.to_thread(_campaigns_told, store.state)
    campaigns = {run.id: _campaign_of(run, told) for run in changed}

    def write(table: RunHistoryTable) -> None:
        table.put(
            flow_runs=changed,
            campaigns=campaigns,
            task_runs=tasks,
            states=task_states,
            deleted=gone,
            cursor=None if until is None else (max(until, known.until or until), clock()),
        )

    await asyncio.to_thread(_write, store, server, write)
    states, left = await _states(
        history, store, server, until=monotonic() + states_seconds, monotonic=monotonic
    )
    return Synced(
        flow_runs=len(changed),
        task_runs=len(tasks),
        states=len(task_states) + states,
        deleted=len(gone),
        without_states=left,
        whole=whole,
        seconds=monotonic() - began,
    )


# What to ask for ----------------------------------------------------------------------------


async def _recent(
    history: RunHistory, known: KnownHistory
) -> tuple[list[FlowRunFacts], frozenset[str]]:
    """What may have changed since, and what was open and is no longer there."""
    if known.until is None:
        return [], frozenset()
    found: dict[str, FlowRunFacts] = {}
    for which in (Which(ended_since=known.until - OVERLAP_SECONDS), Which(unended=True)):
        async for page in _pages(history, which):
            found |= {run.id: run for run in page}
    missing = sorted(known.open_runs - found.keys())
    for start in range(0, len(missing), PAGE):
        which = Which(ids=tuple(missing[start : start + PAGE]))
        async for page in _pages(history, which):
            found |= {run.id: run for run in page}
    return list(found.values()), known.open_runs - found.keys()


async def _pages(history: RunHistory, which: Which) -> AsyncIterator[Sequence[FlowRunFacts]]:
    offset = 0
    while page := await history.flow_runs(which, offset=offset):
        yield page
        offset += len(page)
        if len(page) < PAGE:
            return


async def _tasks_of(
    history: RunHistory, runs: Sequence[str]
) -> tuple[list[TaskRunFacts], list[RunStateFacts]]:
    tasks: list[TaskRunFacts] = []
    states: list[RunStateFacts] = []
    for start in range(0, len(runs), PAGE):
        offset = 0
        while page := await history.task_runs(runs[start : start + PAGE], offset=offset):
            tasks.extend(task for task, _ in page)
            states.extend(state for _, state in page if state is not None)
            offset += len(page)
            if len(page) < PAGE:
                break
    return tasks, states


async def _states(
    history: RunHistory,
    store: Store,
    server: str,
    *,
    until: float,
    monotonic: Callable[[], float],
) -> tuple[int, int]:
    """States of ended runs, for as long as there is time; how many, and how many runs are left."""
    waiting = await asyncio.to_thread(_without_states, store, server)
    count = 0
    while waiting and monotonic() < until:
        some, waiting = waiting[:PAGE], waiting[PAGE:]
        answers: list[Sequence[RunStateFacts]] = []
        for start in range(0, len(some), _AT_ONCE):
            asked = some[start : start + _AT_ONCE]
            answers += await asyncio.gather(*(history.states(run) for run in asked))
        states = [state for answer in answers for state in answer]
        count += len(states)

        def write(
            table: RunHistoryTable,
            states: list[RunStateFacts] = states,
            some: list[str] = some,
        ) -> None:
            table.put(states=states, with_states=some)

        await asyncio.to_thread(_write, store, server, write)
    return count, len(waiting)


# The store ----------------------------------------------------------------------------------


def _known(store: Store, server: str) -> KnownHistory:
    with store.writing() as connection:
        return RunHistoryTable(connection, server).known()


def _all_runs(store: Store, server: str) -> set[str]:
    with store.reading() as connection:
        return RunHistoryTable(connection, server).all_runs()


def _new_among(store: Store, server: str, found: Sequence[FlowRunFacts]) -> set[str]:
    return {run.id for run in found} - _all_runs(store, server)


def _changed(
    store: Store, server: str, found: Sequence[FlowRunFacts], *, since: float
) -> list[FlowRunFacts]:
    """Without those that are known just so, unless they ended or were told only now."""
    with store.reading() as connection:
        same = RunHistoryTable(connection, server).unchanged(found)
    return [
        run for run in found if run.id not in same or max(run.ended or 0.0, run.created) > since
    ]


def _without_states(store: Store, server: str) -> list[str]:
    with store.reading() as connection:
        return RunHistoryTable(connection, server).runs_without_states(10**6)


def _write(store: Store, server: str, act: Callable[[RunHistoryTable], None]) -> None:
    with store.writing() as connection:
        act(RunHistoryTable(connection, server))


def _campaign_of(run: FlowRunFacts, told: dict[str, str]) -> str:
    tagged = [tag for tag in run.tags if tag.startswith(_CAMPAIGN_TAG)]
    return tagged[0].removeprefix(_CAMPAIGN_TAG) if tagged else told.get(run.id, "")


def _campaigns_told(state: Path) -> dict[str, str]:
    """Flow run to campaign, as the mirrors remember it: tags can be edited."""
    found: dict[str, str] = {}
    for path in campaigns_directory(state).glob("*/mirror/told.json"):
        try:
            flow_run = json.loads(path.read_text()).get("flow_run", "")
        except (OSError, ValueError):
            # The mirror replaces it in one step; one that cannot be read tells nothing.
            continue
        if flow_run:
            found[flow_run] = path.parent.parent.name
    return found


def _state_directory(state: str) -> Path:
    import os

    from ..infra.settings import load_settings

    return load_settings(Path.cwd(), os.environ, {"state": state or None}).state
