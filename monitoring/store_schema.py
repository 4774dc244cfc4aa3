"""Versions of the store's schema, and how a file gets from one to the next."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress

import duckdb

from .. import __version__
from .named_sql import load_sql, read_sql

# Each version is one file of changes; views are made anew with every version.
MIGRATIONS = (
    "schema_0001.sql",
    "schema_0002.sql",
    "schema_0003.sql",
    "schema_0004.sql",
    "schema_0005.sql",
)
VERSION = len(MIGRATIONS)
_VIEWS = "views.sql"

Connection = duckdb.DuckDBPyConnection


def version_of(connection: Connection, catalog: str = "") -> int:
    """The version a file has; 0 for an empty one."""
    name = "version-of-old" if catalog == "old" else "version"
    try:
        return int(connection.execute(load_sql("store.sql")[name]).fetchall()[0][0] or 0)
    except duckdb.CatalogException:
        # Asking the catalog first would cost every opening 8 ms.
        return 0


def migrate(connection: Connection) -> None:
    """Bring the file up to the version we know; each step whole or not at all."""
    before = version_of(connection)
    if before >= VERSION:
        return
    note = load_sql("store.sql")["note-migration"]
    with transaction(connection):
        for number in range(before + 1, VERSION + 1):
            connection.execute(read_sql(MIGRATIONS[number - 1])).fetchall()
            connection.execute(note, [number, __version__]).fetchall()
        connection.execute(read_sql(_VIEWS)).fetchall()
    # DuckDB has had mistakes in replaying definitions: none stays in the log.
    connection.execute("CHECKPOINT").fetchall()


@contextmanager
def transaction(connection: Connection) -> Generator[None]:
    """All of it, or nothing."""
    connection.execute("BEGIN").fetchall()
    try:
        yield
    except BaseException:
        # A full disk may have ended it already; what went wrong first is what counts.
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK").fetchall()
        raise
    connection.execute("COMMIT").fetchall()
