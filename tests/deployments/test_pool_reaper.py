"""Runs that nobody would ever end are ended in Prefect's books, and no others are."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from proctor.deployments.pools.pool_lives import Life
from proctor.deployments.pools.pool_reaper import (
    LOST_SECONDS,
    PENDING_SECONDS,
    STOP_SECONDS,
    crash,
    why_gone,
)
from proctor.infra.worker_classes import WorkerClass

CPU = WorkerClass(name="cpu", slots=1)
NOW = 1000.0


def life(worker_class: WorkerClass = CPU, **more: object) -> Life:
    given = {"run": uuid4(), "state": "RUNNING", "state_since": NOW, **more}
    return Life(facts=worker_class.facts(1), worker_class=worker_class, key="k", since=0, **given)


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        (life(missed=NOW - LOST_SECONDS - 1), "not been heard of"),
        (life(stop_asked=NOW - STOP_SECONDS - 1), "told to"),
        (life(state="PENDING", state_since=NOW - PENDING_SECONDS - 1), "never started"),
    ],
)
def test_a_run_whose_worker_cannot_be_alive_is_given_up(gone: Life, why: str) -> None:
    """Lost, deaf to its stop, or taken by a Prefect worker that died: each with its reason."""
    assert why in why_gone(gone, NOW)


@pytest.mark.parametrize(
    "there",
    [
        life(missed=NOW - LOST_SECONDS + 1),
        life(joined=True),
        life(stop_asked=NOW - STOP_SECONDS + 1),
        life(state="SCHEDULED", state_since=0.0),
        life(run=None, missed=0.0),
        life(ended=True, missed=0.0),
        # A machine that takes minutes to boot is pending for minutes.
        life(WorkerClass(name="far", slots=1, boot_seconds=200), state="PENDING", state_since=500),
    ],
)
def test_a_run_that_may_still_come_or_go_by_itself_is_left_alone(there: Life) -> None:
    """A run that waits for a place in its pool waits as long as it takes."""
    assert why_gone(there, NOW) == ""


class Books:
    """As much of Prefect's client as ending runs needs."""

    def __init__(self, children: dict[UUID, list[UUID]], tasks: dict[UUID, list[UUID]]) -> None:
        self.children, self.tasks = children, tasks
        self.ended: list[UUID] = []

    async def read_flow_runs(self, *, flow_run_filter):
        (parent,) = flow_run_filter.parent_flow_run_id.any_
        return [SimpleNamespace(id=each) for each in self.children.get(parent, ())]

    async def read_task_runs(self, *, task_run_filter):
        (run,) = task_run_filter.flow_run_id.any_
        return [SimpleNamespace(id=each) for each in self.tasks.get(run, ())]

    async def set_task_run_state(self, run, state, *, force):
        self._end(run, state, force)

    async def set_flow_run_state(self, run, state, *, force):
        self._end(run, state, force)

    def _end(self, run, state, force) -> None:
        assert (state.is_crashed(), state.message, force) == (True, "gone", True)
        self.ended.append(run)


def test_what_a_lost_run_had_started_ends_before_it() -> None:
    """Its children and their tasks would stay Running for ever."""
    run, child, grandchild, task = (uuid4() for _ in range(4))
    books = Books({run: [child], child: [grandchild]}, {child: [task]})

    asyncio.run(crash(books, run, "gone"))  # type: ignore[arg-type]

    assert books.ended == [grandchild, task, child, run]
