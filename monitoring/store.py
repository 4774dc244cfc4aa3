"""The store: one DuckDB file that remembers every campaign; nobody holds it open.

DuckDB lets one process write and shuts all others out meanwhile. So whoever needs the file opens
it, works and closes it, and waits for its turn with a deadline that names the one who has it.

    InfrastructureProblem
    ├── StoreBusy      another program has the file open (exit 6)
    └── StoreDamaged   the file is no store, or cannot be read (exit 6)
    UsageProblem
    ├── NoStore        nothing was ever taken in (exit 4)
    └── StoreTooNew    a later version of Proctor wrote it (exit 4)
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import psutil

from ..infra.errors import UsageProblem
from .named_sql import load_sql
from .store_schema import VERSION, migrate, version_of
from .store_waiting import (
    DISK_PROBLEMS,
    StoreBusy,
    StoreDamaged,
    Waiting,
    cannot_write,
    plain_problems,
    wait_for,
)

__all__ = [
    "FILE",
    "Connection",
    "NoStore",
    "Store",
    "StoreBusy",
    "StoreDamaged",
    "StoreTooNew",
    "Waiting",
    "cannot_write",
]

FILE = "proctor.duckdb"

# One answer for every connection: the file, and nothing fetched or guessed from outside.
_CONFIG = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    # The default of 16 MB has a large ingest write everything over again and again.
    "checkpoint_threshold": "256MB",
    # By default DuckDB takes four fifths of the machine, where tests are to run.
    "memory_limit": "1GB",
}
_DAMAGED = ".damaged-"
_UNFINISHED = re.compile(r"\.(new|rebuild)-(?P<pid>\d+)(\.wal)?$")
# DuckDB cannot lock within one process: two writers there would share one database.
_TURNS: dict[Path, threading.Lock] = {}
_TURNS_GUARD = threading.Lock()

Connection = duckdb.DuckDBPyConnection


class NoStore(UsageProblem):
    """Nothing was ever taken in."""


class StoreTooNew(UsageProblem):
    """A later version of Proctor wrote it."""


class Store:
    """The store of a state directory."""

    def __init__(self, state: Path, *, waiting: Waiting | None = None) -> None:
        self.state = state
        self.path = state / FILE
        self._waiting = waiting or Waiting()

    @property
    def exists(self) -> bool:
        return self.path.exists()

    @contextmanager
    def reading(self, *, sealed: bool = False) -> Generator[Connection]:
        """A connection that only reads; sealed, it cannot touch any other file either."""
        if not self.exists:
            raise self._missing()
        config = dict(_CONFIG)
        if sealed:
            config |= {"enable_external_access": "false", "lock_configuration": "true"}
        connection = self._open(config, read_only=True)
        try:
            version = version_of(connection)
            self._refuse_newer(version)
            if version < VERSION:
                connection.close()
                # Opened for writing, it is brought up to date.
                with self.writing():
                    pass
                connection = self._open(config, read_only=True)
            with plain_problems(self.path):
                yield connection
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """The one connection that writes; makes the file where there is none."""
        with self._turn():
            self._ensure()
            connection = self._open(_CONFIG, read_only=False)
            try:
                with plain_problems(self.path):
                    self._refuse_newer(version_of(connection))
                    migrate(connection)
                    yield connection
            except DISK_PROBLEMS as problem:
                raise cannot_write(self.path, problem) from problem
            finally:
                connection.close()

    @contextmanager
    def replacing(self, fresh: Path) -> Generator[tuple[Connection, bool]]:
        """A connection to a fresh file that takes the store's place in the end.

        The old one is attached as `old` and locked all the while, if there is one that can be
        read: that is the second value. One that cannot be read is kept beside.
        """
        with self._turn():
            connection = self._make(fresh)
            try:
                with plain_problems(self.path):
                    has_old = self.exists and self._attach_old(connection)
                    yield connection, has_old
                connection.execute("CHECKPOINT").fetchall()
                # What is left of the old one's log must not be replayed into the new one.
                wal_of(self.path).unlink(missing_ok=True)
                fresh.replace(self.path)
            except DISK_PROBLEMS as problem:
                raise cannot_write(fresh, problem) from problem
            finally:
                connection.close()
                _remove(fresh)

    @contextmanager
    def beside(self, file: Path) -> Generator[Connection]:
        """A connection to a fresh file of the same shape, the store attached as `old`."""
        if not self.exists:
            raise self._missing()
        connection = self._make(file)
        try:
            wait_for(self.path, lambda: self._attach(connection), self._waiting)
            with plain_problems(self.path):
                self._refuse_newer(version_of(connection, "old"))
                yield connection
            connection.execute("CHECKPOINT").fetchall()
        finally:
            connection.close()

    def _attach_old(self, connection: Connection) -> bool:
        try:
            wait_for(self.path, lambda: self._attach(connection), self._waiting)
        except StoreDamaged:
            self.set_aside()
            return False
        version = version_of(connection, "old")
        self._refuse_newer(version)
        return version > 0

    def _open(self, config: Mapping[str, str], *, read_only: bool) -> Connection:
        return wait_for(
            self.path, lambda: _connect(self.path, config, read_only=read_only), self._waiting
        )

    def _attach(self, connection: Connection) -> None:
        # Read only: it must not tidy up its log after a new one has taken its place.
        path = str(self.path).replace("'", "''")
        connection.execute(load_sql("store.sql")["attach-old"].format(path=path)).fetchall()

    def _missing(self) -> NoStore:
        return NoStore(
            f"there is no store in {self.state} yet",
            remedy="`proctor store ingest` makes it from the campaigns there",
        )

    def damaged_ones(self) -> list[Path]:
        """Files that could not be read and were kept when the store was made anew."""
        return sorted(self.state.glob(f"{FILE}{_DAMAGED}*"))

    def set_aside(self) -> None:
        """Keep a file that cannot be read beside, so that a new one can take its place."""
        aside = self.path.with_name(f"{self.path.name}{_DAMAGED}{int(time.time())}")
        wal_of(self.path).unlink(missing_ok=True)
        self.path.replace(aside)

    def _ensure(self) -> None:
        """Make the file whole before anyone can see it."""
        if self.exists:
            return
        fresh = self.path.with_name(f"{self.path.name}.new-{os.getpid()}")
        try:
            self._make(fresh).close()
            # Unlike a rename, a link does not push aside what another process made meanwhile.
            with suppress(FileExistsError):
                os.link(fresh, self.path)
        except OSError as problem:
            raise cannot_write(self.path, problem) from problem
        finally:
            with suppress(OSError):
                _remove(fresh)

    def _make(self, path: Path) -> Connection:
        """An empty store, whole in its file."""
        try:
            self._sweep()
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove(path)
            connection = _connect(path, _CONFIG, read_only=False)
            migrate(connection)
        except (OSError, *DISK_PROBLEMS) as problem:
            raise cannot_write(path, problem) from problem
        return connection

    def _sweep(self) -> None:
        """Remove what processes left behind that were killed while they made a file."""
        for path in self.state.glob(f"{FILE}.*-*"):
            made = _UNFINISHED.search(path.name)
            if made is not None and not psutil.pid_exists(int(made["pid"])):
                path.unlink(missing_ok=True)

    def _refuse_newer(self, version: int) -> None:
        if version > VERSION:
            raise StoreTooNew(
                f"the store {self.path} has schema {version}, and this Proctor knows up to "
                f"{VERSION}",
                remedy="use the version of Proctor that wrote it, or another state directory",
            )

    @contextmanager
    def _turn(self) -> Generator[None]:
        with _TURNS_GUARD:
            turn = _TURNS.setdefault(self.path.absolute(), threading.Lock())
        if not turn.acquire(timeout=self._waiting.patience):
            raise StoreBusy(
                self.path,
                seconds=self._waiting.patience,
                holder="another thread of this process",
                pid=os.getpid(),
            )
        try:
            yield
        finally:
            turn.release()


def wal_of(path: Path) -> Path:
    """The log that DuckDB keeps beside a file between checkpoints."""
    return path.with_name(f"{path.name}.wal")


def _connect(path: Path, config: Mapping[str, str], *, read_only: bool) -> Connection:
    # Threads that open one file at once share a database which one of them is still setting up:
    # 50 of 24,000 openings found no function to read frames with.
    with _TURNS_GUARD:
        return duckdb.connect(str(path), read_only=read_only, config=dict(config))


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    wal_of(path).unlink(missing_ok=True)
