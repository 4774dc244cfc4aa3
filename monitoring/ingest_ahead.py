"""Reading journals in a second process while this one writes, where there is much to read.

Most of an ingest is Python's work, and of that one process does no more than one core can. The
other process reads what this one would have read, with the same code and the same numbers, and
sends it in the same order. It holds nothing that counts: when it dies or hangs, or when another
program wrote to the store meanwhile, it is ended and this process reads on by itself. So it does
where this process has outlived an upgrade: the other one would read with code of another version.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from .. import __version__
from ..infra.cores import core_count
from .ingest_blocks import Gathered
from .ingest_knowledge import Knowledge
from .ingest_walk import unread_bytes

logger = logging.getLogger(__name__)

# Less than so much is read here before a process that starts now has got to work.
FROM_BYTES = 30 << 20
# A portion takes about a second of a core; who says nothing for so long hangs.
PATIENCE_SECONDS = 120.0
# A look at whether something came takes so long at least, however little time is left.
_LEAST_SECONDS = 0.2
# How long a process that was killed may take to be gone.
_END_SECONDS = 10.0
# Nothing is imported from where a person stands.
_COMMAND = (sys.executable, "-P", "-m", "proctor.monitoring.ingest_reader")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the other process is to read."""

    state: Path
    known: Knowledge
    lines_at_once: int
    bytes_at_once: int


class OtherVersion(Exception):
    """The other process has code that this one has not."""


class ReadAhead:
    """The second process, if there is one; it outlives turns, and is begun once at most."""

    def __init__(
        self,
        *,
        from_bytes: int = FROM_BYTES,
        patience: float = PATIENCE_SECONDS,
        cores: int | None = None,
        command: Sequence[str] = _COMMAND,
        version: str = __version__,
    ) -> None:
        self._from_bytes = from_bytes
        self._patience = patience
        self._cores = core_count() if cores is None else cores
        self._command = command
        self._version = version
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        # What the store had when the last turn ended.
        self._left: Knowledge | None = None
        # When it said something, and whether it was silent for too long.
        self._heard_at = 0.0
        self._is_silent = False
        self.has_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def is_reading(self) -> bool:
        return self._process is not None

    def begin(
        self, state: Path, known: Knowledge, *, read: int, lines_at_once: int, bytes_at_once: int
    ) -> bool:
        """Start where that is worth it: when much was read already, and more is left."""
        # What is left is only looked for where some was read: it costs a look at every journal.
        if self.has_begun or self._cores < 2 or 4 * read < self._from_bytes:
            return False
        if unread_bytes(state, known) < self._from_bytes:
            return False
        self.has_begun = True
        task = Task(
            state=state, known=known, lines_at_once=lines_at_once, bytes_at_once=bytes_at_once
        )
        try:
            self._start()
            self._exchange(task)
        except OSError as problem:
            self._give_up(f"cannot be started ({problem})")
        self._heard_at = time.monotonic()
        return self.is_reading

    def portions(self, until: float = float("inf")) -> Iterator[Gathered]:
        """What comes from it by then, until it has read all or cannot go on."""
        while (connection := self._connection) is not None:
            left = self._heard_at + self._patience
            wait = max(_LEAST_SECONDS, min(until, left) - time.monotonic())
            try:
                if not connection.poll(wait):
                    if time.monotonic() < left:
                        # Nobody else is kept from the store meanwhile.
                        return
                    self._silence()
                portion = self._exchange()
                self._heard_at = time.monotonic()
            except Exception as problem:  # noqa: BLE001 - whatever it is, all can be read here.
                self._give_up(f"ended early ({str(problem) or type(problem).__name__})")
                return
            if portion is None:
                self._end()
                return
            yield portion

    def pause(self, left: Knowledge) -> None:
        """The store is closed, and stays as it is unless somebody else writes."""
        self._left = left

    def resume(self, found: Knowledge) -> None:
        """Go on if the store is as it was left: numbers and places were given by that."""
        if found != self._left:
            self._end()

    def _start(self) -> None:
        here, there = Pipe()
        with there:
            self._connection = here
            self._process = subprocess.Popen(
                [*self._command, str(there.fileno()), self._version],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # What goes wrong there goes wrong here again, where it is told.
                stderr=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
            )

    def _exchange(self, task: Task | None = None) -> Gathered | None:
        """Send what there is to do, or receive a portion: None is the end."""
        connection = self._connection
        assert connection is not None
        alarm = threading.Timer(self._patience, self._silence)
        alarm.daemon = True
        alarm.start()
        try:
            if task is not None:
                connection.send(task)
                return None
            told = connection.recv()
            if isinstance(told, str):
                raise OtherVersion(f"it is of version {told}, and this one of {self._version}")
            return told
        finally:
            alarm.cancel()

    def _silence(self) -> None:
        """Who waits for it waits no more: the line is cut, as what hangs in the kernel keeps it."""
        connection, process = self._connection, self._process
        if connection is None or process is None:
            return
        self._is_silent = True
        process.kill()
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def _give_up(self, why: str) -> None:
        if self._is_silent:
            why = f"was ended after {self._patience:g} s without a word"
        self._end()
        logger.warning("the second process that reads journals %s; this one reads on alone", why)

    def _end(self) -> None:
        connection, process = self._connection, self._process
        self._connection = self._process = None
        if connection is not None:
            connection.close()
        if process is None:
            return
        # It holds nothing that it would have to put down.
        process.kill()
        # One that hangs in the kernel ends when that lets it.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
