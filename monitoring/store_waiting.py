"""Waiting for a DuckDB file that somebody else has open, and saying who does."""

from __future__ import annotations

import errno
import os
import random
import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb
import psutil

from ..infra.errors import InfrastructureProblem, StateUnwritable
from ..infra.ledgers.append_file import unwritable

# What DuckDB raises when the disk fails it; a failed commit is a matter of transactions to it.
DISK_PROBLEMS = (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException)
# How long to wait for whoever has the file.
PATIENCE_SECONDS = 10.0
# And by default so much longer where Proctor takes in a campaign in the background: politely, so
# that on a busy machine even a moment's work takes a while.
_OWN_SECONDS = 50.0
_OWN = "proctor.flows.remembering"
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.*?)\(PID (?P<pid>\d+)\)")
_TOLD_BY_DUCKDB = (errno.ENOSPC, errno.EROFS)
_INTERRUPTED = "Query interrupted"
_CORRUPT = "Corrupt database file"
_SAME_PROCESS = ("with a different configuration", "already attached", "Unique file handle")

T = TypeVar("T")


class StoreBusy(InfrastructureProblem):
    """Another program has the store open."""

    def __init__(
        self, path: Path, *, seconds: float, holder: str, pid: int | None, is_own: bool = False
    ) -> None:
        super().__init__(
            f"the store {path} is open in {holder}, and still was after {seconds:.0f} s",
            remedy="close that program or try again; what it writes or reads is not harmed",
        )
        self.pid = pid
        # Proctor's own background work, which gives way by itself.
        self.is_own = is_own


class StoreDamaged(InfrastructureProblem):
    """The file is no store, or cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How to wait for the file; tests bring a clock of their own."""

    patience: float = PATIENCE_SECONDS
    # In addition, where Proctor's own background work has it.
    longer: float = _OWN_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def wait_for(path: Path, act: Callable[[], T], waiting: Waiting) -> T:
    """What the act gives as soon as nobody else has the file."""
    began = waiting.monotonic()
    pause = _FIRST_PAUSE
    while True:
        try:
            return act()
        except (duckdb.IOException, duckdb.ConnectionException, duckdb.BinderException) as problem:
            waited = waiting.monotonic() - began
            busy = _busy(path, str(problem), waited)
            if busy is None:
                raise unusable(path, problem) from problem
            if waited >= waiting.patience + (waiting.longer if busy.is_own else 0.0):
                raise busy from problem
        except duckdb.Error as problem:
            if not is_damage(problem) and not isinstance(problem, duckdb.InternalException):
                raise
            raise unusable(path, problem) from problem
        # Unequal pauses: those who wait together must not come back together.
        waiting.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def cannot_write(path: Path, problem: OSError | duckdb.Error) -> StateUnwritable:
    """The clear sentence, whoever met the limit: we or DuckDB."""
    if isinstance(problem, OSError):
        return unwritable(path, problem)
    for number in _TOLD_BY_DUCKDB:
        if os.strerror(number) in str(problem):
            return unwritable(path, OSError(number, ""))
    return StateUnwritable(
        f"{path} cannot be read or written: {str(problem).splitlines()[0]}",
        remedy="make room or choose another place with `--state DIR`",
    )


def _busy(path: Path, told: str, seconds: float) -> StoreBusy | None:
    """Who has the file, if that is what DuckDB says."""
    held = _HOLDER.search(told)
    if held is not None:
        pid = int(held["pid"])
        command = _command(pid)
        holder = f"process {pid} ({command[:80]})" if command else f"process {pid}"
        return StoreBusy(path, seconds=seconds, holder=holder, pid=pid, is_own=_OWN in command)
    if any(words in told for words in _SAME_PROCESS):
        return StoreBusy(
            path, seconds=seconds, holder="another thread of this process", pid=os.getpid()
        )
    if "Could not set lock" in told:
        # On a shared volume nobody knows who: the lock is another machine's.
        return StoreBusy(path, seconds=seconds, holder="a program elsewhere", pid=None)
    return None


def _command(pid: int) -> str:
    try:
        # A script that was given on the command line has many lines; what is told has one.
        return " ".join(" ".join(psutil.Process(pid).cmdline()).split())
    except psutil.Error:
        return ""


def is_damage(problem: duckdb.Error) -> bool:
    """Whether the file is to blame; of a wrong checksum DuckDB tells in no class of its own."""
    return isinstance(problem, duckdb.SerializationException) or _CORRUPT in str(problem)


@contextmanager
def plain_problems(path: Path) -> Generator[None]:
    """A file may open well, and turn out to be damaged where it is read first; Ctrl-C is Ctrl-C."""
    try:
        yield
    except RuntimeError as problem:
        # What DuckDB makes of Ctrl-C while it works.
        if str(problem) != _INTERRUPTED:
            raise
        raise KeyboardInterrupt from problem
    except duckdb.Error as problem:
        if not is_damage(problem):
            raise
        told = unusable(path, problem)
    else:
        return
    # Not "from problem": its traceback would hold the connection.
    raise told


def unusable(path: Path, problem: duckdb.Error) -> InfrastructureProblem:
    """The clear sentence for a file that cannot be read."""
    told = str(problem).splitlines()[0]
    if "ermission denied" in told or "Cannot open file" in told:
        # Nobody knows whether it is damaged: a disk that is read-only, too many open files.
        return cannot_write(path, problem)
    if _CORRUPT in told:
        # Two checksums tell nobody anything.
        told = "a part of it was overwritten or lost"
    if "newer" in told or "version number" in told:
        return StoreDamaged(
            f"the store {path} was written by another version of DuckDB ({told})",
            remedy="use that version, or make the store anew with `proctor store rebuild`",
        )
    return StoreDamaged(
        f"the store {path} cannot be read: {told}",
        remedy="`proctor store rebuild` makes it anew from the journals",
    )
