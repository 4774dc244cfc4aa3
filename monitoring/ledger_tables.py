"""The lines of one campaign as SQL tables, read by nothing that invariants are to judge.

Whole files are read, fenced bytes and all: which of them count is worked out in SQL from what the
writers said, so that a mistake in the product's own reading cannot hide from the check.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import duckdb
import orjson

from ..infra.errors import LedgerDamaged, UnknownCampaign
from ..infra.ledgers.epochs import epochs_of, ledger_path
from ..infra.ledgers.journal import decode, located
from .frames import Columns, Kind, Row, frame_of, registered
from .named_sql import load_sql

Connection = duckdb.DuckDBPyConnection

_LINES: Columns = {
    "epoch": Kind.WHOLE,
    "place": Kind.WHOLE,
    "stop": Kind.WHOLE,
    "kind": Kind.TEXT,
    "happened": Kind.NUMBER,
    "text": Kind.TEXT,
}
_JOURNALS: Columns = {"epoch": Kind.WHOLE, "size": Kind.WHOLE}
_DAMAGES: Columns = {
    "epoch": Kind.WHOLE,
    "stop": Kind.WHOLE,
    "file": Kind.TEXT,
    "problem": Kind.TEXT,
}
_TOLD: Columns = {"kind": Kind.TEXT, "happened": Kind.NUMBER, "text": Kind.TEXT}
# Faults, and what workers were seen to use.
_RECORDED = {"fault", "usage"}


@contextmanager
def ledger_tables(directory: Path, *, recorders: Path | None = None) -> Generator[Connection]:
    """A database in memory that holds one campaign, and what was recorded beside it."""
    lines: list[Row] = []
    damages: list[Row] = []
    journals: list[Row] = []
    for epoch in epochs_of(directory):
        path = ledger_path(directory, epoch)
        journals.append((epoch, path.stat().st_size))
        for place, stop, found in _lines(path):
            if isinstance(found, LedgerDamaged):
                damages.append((epoch, stop, path.name, str(found)))
            else:
                lines.append((epoch, place, stop, *found))
    if not journals:
        raise UnknownCampaign(
            f"{directory} holds no campaign", remedy="`proctor list` shows those there are"
        )
    with _database() as connection:
        tables = {
            "lines": (lines, _LINES),
            "journals": (journals, _JOURNALS),
            "damages": (damages, _DAMAGES),
            "told": (_told(recorders), _TOLD),
        }
        for name, (rows, columns) in tables.items():
            frame, _ = frame_of(rows, columns)
            with registered(connection, given=frame):
                # A column of texts without a row has no type of its own.
                texts = ", ".join(
                    f"CAST({column} AS VARCHAR) AS {column}"
                    for column, kind in columns.items()
                    if kind is Kind.TEXT
                )
                replaced = f"SELECT * REPLACE ({texts})" if texts else ""
                connection.execute(f"CREATE TEMP TABLE {name} AS {replaced} FROM given")
        connection.execute(load_sql("ledger_tables.sql")["evidence"])
        yield connection


@contextmanager
def _database() -> Generator[Connection]:
    connection = duckdb.connect(":memory:", config={"autoload_known_extensions": "false"})
    try:
        yield connection
    finally:
        connection.close()


def _told(recorders: Path | None) -> list[Row]:
    """What recorders wrote; a line that cannot be read is for the store to report."""
    if recorders is None:
        return []
    return [
        found
        for path in sorted(recorders.glob("**/*.jsonl"))
        for _, _, found in _lines(path)
        if not isinstance(found, LedgerDamaged) and found[0] in _RECORDED
    ]


def _lines(path: Path) -> Iterator[tuple[int, int, tuple[str, float, str] | LedgerDamaged]]:
    """Every complete line: where it begins and ends, and what it is."""
    place = 0
    with path.open("rb") as file:
        for raw in file:
            stop = place + len(raw)
            if not raw.endswith(b"\n"):
                return
            try:
                yield place, stop, _line(raw)
            except LedgerDamaged as damage:
                yield place, stop, located(damage, path, place)
            place = stop


def _line(raw: bytes) -> tuple[str, float, str]:
    line: Any
    try:
        line, text = orjson.loads(raw), raw.decode()
    except ValueError:
        # What strict JSON cannot say, such as half a surrogate pair in a test's name.
        line = decode(raw)
        text = json.dumps(_sayable(line))
    if not isinstance(line, dict):
        raise LedgerDamaged("it is no JSON object")
    told = cast("dict[str, Any]", line)
    kind, at = told.get("k"), told.get("t")
    if not isinstance(kind, str) or not isinstance(at, int | float):
        raise LedgerDamaged("it lacks 'k' or 't'")
    return kind, float(at), text


def _sayable(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return {str(_sayable(key)): _sayable(each) for key, each in pairs}
        case list():
            return [_sayable(each) for each in cast("list[object]", value)]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
