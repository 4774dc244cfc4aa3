"""Questions to the store: the named ones of dashboards, and whatever a person types."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from ..infra.errors import DeadlinePassed, UsageProblem
from .named_sql import load_sql
from .store import Connection, Store
from .store_waiting import is_damage

QUERIES = load_sql("queries.sql")
# Most that a question of a dashboard gets back.
ROWS = 1000
DEADLINE_SECONDS = 30.0
# A query whose time is over is told so this often, until it ends.
_AGAIN_SECONDS = 0.05
_PARAMETER = re.compile(r"\$(\w+)")


class BadQuery(UsageProblem):
    """DuckDB will not run it."""


class QueryTooSlow(DeadlinePassed):
    """It was not answered in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows under their names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def mappings(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def column(self, name: str) -> list[Any]:
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def ask(
    store: Store,
    name: str,
    *,
    project: str | None = None,
    since: float | None = None,
    limit: int = ROWS,
    deadline: float = DEADLINE_SECONDS,
    **more: object,
) -> Answer:
    """The answer to a question of queries.sql; `since` in seconds since 1970."""
    with store.reading() as connection:
        return ask_on(
            connection, name, project=project, since=since, limit=limit, deadline=deadline, **more
        )


def ask_on(
    connection: Connection,
    name: str,
    *,
    project: str | None = None,
    since: float | None = None,
    limit: int = ROWS,
    deadline: float = DEADLINE_SECONDS,
    **more: object,
) -> Answer:
    """The same, for several questions over one connection."""
    statement = QUERIES[name]
    moment = None if since is None else datetime.fromtimestamp(since, UTC).replace(tzinfo=None)
    given = {"project": project, "since": moment, "limit": limit, **more}
    with _deadline(connection, deadline):
        return _answer(connection, statement, _named_in(statement, given))


def case_history(
    store: Store,
    case: str,
    *,
    project: str | None = None,
    since: float | None = None,
    limit: int = ROWS,
    question: str = "case-history",
) -> Answer:
    """All attempts of one case, newest first; or its days, with `case-days`."""
    with store.reading() as connection:
        # By its number, so that only its own place in the sorted copy is read.
        numbers = ask_on(connection, "find-case", project=project, case=case).column("case_no")
        answers = [
            ask_on(connection, question, since=since, limit=limit, case_no=number)
            for number in numbers or (-1,)
        ]
    return Answer(
        columns=answers[0].columns, rows=tuple(row for each in answers for row in each.rows)
    )


def run_sql(store: Store, statement: str, *, deadline: float = DEADLINE_SECONDS) -> Answer:
    """What a person typed: it reads the store, and can touch nothing else."""
    with store.reading(sealed=True) as connection:
        try:
            if not connection.extract_statements(statement):
                raise BadQuery("there is no statement to run", remedy="give one in quotes")
            with _deadline(connection, deadline):
                return _answer(connection, statement, {})
        except duckdb.Error as problem:
            if is_damage(problem):
                raise
            said = _in_a_line(problem)
    # Not "from problem": its traceback would hold the connection until the process ends, and
    # DuckDB's bindings tell on stderr of every object that is left then, in some fifty lines.
    raise BadQuery(
        f"the query cannot be run: {said}",
        remedy="the store is only read, and no other file; "
        '`proctor sql "SHOW ALL TABLES"` lists what there is',
    )


def _in_a_line(problem: duckdb.Error) -> str:
    """Without the part that points at the place: its arrow means nothing in one line."""
    return " ".join(str(problem).partition("\n\nLINE ")[0].split())


def _answer(connection: Connection, statement: str, given: Mapping[str, object]) -> Answer:
    result = connection.execute(statement, dict(given) or None)
    columns = tuple(each[0] for each in result.description or ())
    return Answer(columns=columns, rows=tuple(result.fetchall()) if columns else ())


def _named_in(statement: str, given: Mapping[str, object]) -> dict[str, object]:
    """DuckDB takes no parameter that the statement does not name."""
    named = set(_PARAMETER.findall(statement))
    return {name: value for name, value in given.items() if name in named}


@contextmanager
def _deadline(connection: Connection, seconds: float) -> Generator[None]:
    answered = threading.Event()

    def interrupt() -> None:
        pause = seconds
        while not answered.wait(pause):
            connection.interrupt()
            # Again and again: one that comes before the query has begun is forgotten.
            pause = _AGAIN_SECONDS

    watch = threading.Thread(target=interrupt, name="query-deadline", daemon=True)
    watch.start()
    try:
        yield
    except duckdb.InterruptException as problem:
        raise QueryTooSlow(
            f"the query was not answered within {seconds:g} s",
            remedy="ask for less, or give it more time with --timeout",
        ) from problem
    finally:
        answered.set()
        watch.join()
