"""Prefect's run history in the store: what is known of it, and what came new."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from .frames import Columns, Frame, Kind, Row, frame_of, registered
from .ingest_lines import json_text
from .named_sql import load_sql
from .store import Connection
from .store_schema import transaction

_W, _N, _T, _AT, _F = Kind.WHOLE, Kind.NUMBER, Kind.TEXT, Kind.TIME, Kind.FLAG
_FLOW_RUNS: Columns = {
    "server": _T, "flow_run_id": _T, "campaign": _T, "flow": _T, "name": _T,
    "deployment_id": _T, "work_pool": _T, "parent_task_run_id": _T, "tags": _T, "state_type": _T,
    "state_name": _T, "created_at": _AT, "expected_start_at": _AT, "started_at": _AT,
    "ended_at": _AT, "run_seconds": _N, "run_count": _W, "has_states": _F,
}  # fmt: skip
_TASK_RUNS: Columns = {
    "task_run_id": _T, "flow_run_id": _T, "name": _T, "task_key": _T, "state_type": _T,
    "state_name": _T, "created_at": _AT, "started_at": _AT, "ended_at": _AT, "run_seconds": _N,
    "run_count": _W,
}  # fmt: skip
_STATES: Columns = {
    "state_id": _T, "flow_run_id": _T, "task_run_id": _T, "happened_at": _AT, "type": _T,
    "name": _T, "message": _T,
}  # fmt: skip
_IDS: Columns = {"server": _T, "flow_run_id": _T}
_CURSOR: Columns = {"server": _T, "until": _AT, "synced_at": _AT}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRunFacts:
    """A flow run as the server tells it; times in seconds since 1970."""

    id: str
    flow: str
    name: str
    state_type: str
    state_name: str
    created: float
    expected_start: float | None = None
    started: float | None = None
    ended: float | None = None
    run_seconds: float = 0.0
    run_count: int = 0
    tags: tuple[str, ...] = ()
    deployment: str = ""
    work_pool: str = ""
    parent_task_run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRunFacts:
    """A task run as the server tells it."""

    id: str
    flow_run: str
    name: str
    task_key: str
    state_type: str
    state_name: str
    created: float
    started: float | None = None
    ended: float | None = None
    run_seconds: float = 0.0
    run_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStateFacts:
    """A state that a run was in."""

    id: str
    flow_run: str
    at: float
    type: str
    name: str
    message: str = ""
    task_run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHistory:
    """What the store has of one server."""

    # The newest end of a flow run, if any was seen.
    until: float | None
    open_runs: frozenset[str]
    count: int


class RunHistoryTable:
    """The run history of one server, over an open connection."""

    def __init__(self, connection: Connection, server: str) -> None:
        self._connection = connection
        self._server = server
        self._sql = load_sql("run_history.sql")

    def known(self) -> KnownHistory:
        until = self._ask("cursor", [self._server])
        return KnownHistory(
            until=until[0][0] if until else None,
            open_runs=frozenset(each[0] for each in self._ask("open-runs", [self._server])),
            count=self._ask("count-runs", [self._server])[0][0],
        )

    def all_runs(self) -> set[str]:
        return {each[0] for each in self._ask("all-runs", [self._server])}

    def runs_without_states(self, most: int) -> list[str]:
        return [each[0] for each in self._ask("runs-without-states", [self._server, most])]

    def unchanged(self, runs: Sequence[FlowRunFacts]) -> frozenset[str]:
        """Those that ended and are known just so."""
        told = self._flow_runs(runs, {})
        return frozenset(each[0] for each in self._ask("same-runs", told=told))

    def put(
        self,
        *,
        flow_runs: Sequence[FlowRunFacts] = (),
        campaigns: dict[str, str] | None = None,
        task_runs: Iterable[TaskRunFacts] = (),
        states: Iterable[RunStateFacts] = (),
        with_states: Collection[str] = (),
        deleted: Collection[str] = (),
        cursor: tuple[float, float] | None = None,
    ) -> None:
        """All of it in one transaction; what was known of the same runs is replaced."""
        tasks = [_task_row(each) for each in {each.id: each for each in task_runs}.values()]
        rows = [_state_row(each) for each in {each.id: each for each in states}.values()]
        with transaction(self._connection):
            if flow_runs:
                self._ask("put-flow-runs", told=self._flow_runs(flow_runs, campaigns or {}))
            if tasks:
                self._ask("put-task-runs", told=frame_of(tasks, _TASK_RUNS)[0])
            if rows:
                self._ask("put-states", told=frame_of(rows, _STATES)[0])
            if with_states:
                self._ask("mark-states", told=self._ids(with_states))
            if deleted:
                self._ask("mark-deleted", told=self._ids(deleted))
            if cursor is not None:
                self._ask("put-cursor", told=frame_of([(self._server, *cursor)], _CURSOR)[0])

    def _flow_runs(self, runs: Sequence[FlowRunFacts], campaigns: dict[str, str]) -> Frame:
        once = {each.id: each for each in runs}
        rows = [_flow_row(self._server, campaigns.get(key, ""), run) for key, run in once.items()]
        return frame_of(rows, _FLOW_RUNS)[0]

    def _ids(self, runs: Collection[str]) -> Frame:
        return frame_of([(self._server, each) for each in runs], _IDS)[0]

    def _ask(self, name: str, parameters: Sequence[object] = (), **frames: Frame) -> list[Row]:
        with registered(self._connection, **frames):
            return self._connection.execute(self._sql[name], parameters).fetchall()


def _flow_row(server: str, campaign: str, run: FlowRunFacts) -> Row:
    return (
        server, run.id, campaign, run.flow, run.name, run.deployment, run.work_pool,
        run.parent_task_run, json_text(run.tags), run.state_type, run.state_name, run.created,
        run.expected_start, run.started, run.ended, run.run_seconds, run.run_count, False,
    )  # fmt: skip


def _task_row(run: TaskRunFacts) -> Row:
    return (
        run.id, run.flow_run, run.name, run.task_key, run.state_type, run.state_name, run.created,
        run.started, run.ended, run.run_seconds, run.run_count,
    )  # fmt: skip


def _state_row(state: RunStateFacts) -> Row:
    return (
        state.id, state.flow_run, state.task_run, state.at, state.type, state.name, state.message,
    )  # fmt: skip
