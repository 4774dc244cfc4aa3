"""Takes journals into the store: each line once, whatever dies when.

How far a journal was read is written in the same transaction as the rows of its lines. Bytes that
a later writer of a campaign turned out not to accept are taken back: all of that campaign is
forgotten and read again, in one transaction, so that nobody can tell it from one read late.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .ingest_ahead import ReadAhead
from .ingest_blocks import Gathered, gather
from .ingest_knowledge import Knowledge, knowledge_of
from .ingest_reading import Account, Reading, Written
from .ingest_walk import RECORDERS, Walk
from .ingest_write import Writer
from .store import Connection, Store

__all__ = ["RECORDERS", "Ingest", "Ingested", "ingest"]

# So many lines make one transaction: about 120 MB of rows in memory.
LINES_AT_ONCE = 100_000
# Or so much of the journals, whatever stands there.
BYTES_AT_ONCE = 64 << 20
# One sorted run of so many attempts fills a row group of DuckDB's.
SORT_AT = 120_000
# After so long the file is closed, and whoever waits for it gets a turn.
HOLD_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Ingested:
    """What one ingest did."""

    lines: int = 0
    attempts: int = 0
    # Those with anything new.
    campaigns: list[str] = field(default_factory=list[str])
    # Campaigns that were read again, because of bytes that turned out not to count.
    taken_back: list[str] = field(default_factory=list[str])
    # Lines that cannot be used, each with its file and byte.
    problems: list[str] = field(default_factory=list[str])
    seconds: float = 0.0


def ingest(
    store: Store,
    *,
    clock: Callable[[], float] = time.time,
    lines_at_once: int = LINES_AT_ONCE,
    hold_seconds: float = HOLD_SECONDS,
    ahead: ReadAhead | None = None,
) -> Ingested:
    """Take in all that is new since the last time."""
    began = time.monotonic()
    done = Ingested()
    finished = False
    # It reads on while the file is closed between two turns.
    with ahead or ReadAhead() as reader:
        while not finished:
            with store.writing() as connection:
                work = Ingest(
                    connection,
                    store.state,
                    done=done,
                    clock=clock,
                    lines_at_once=lines_at_once,
                    ahead=reader,
                )
                finished = work.run(until=time.monotonic() + hold_seconds)
    done.seconds = time.monotonic() - began
    return done


class Ingest:
    """One turn at the store."""

    def __init__(
        self,
        connection: Connection,
        state: Path,
        *,
        done: Ingested,
        clock: Callable[[], float] = time.time,
        lines_at_once: int = LINES_AT_ONCE,
        bytes_at_once: int | None = None,
        ahead: ReadAhead | None = None,
    ) -> None:
        self._state = state
        self._done = done
        self._clock = clock
        self._lines_at_once = lines_at_once
        self._bytes_at_once = bytes_at_once or BYTES_AT_ONCE
        self._ahead = ahead
        self._until = float("inf")
        # Whether anything was read at all.
        self._has_read = False
        # What could not be read, with the reason.
        self.passed_over: list[str] = []
        self._connection = connection
        self._known = knowledge_of(connection)
        self._writer = Writer(connection, self._known)
        # Writing one portion while the next is read: DuckDB lets go of Python's lock.
        self._hand = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._under_way: Future[Written] | None = None

    def run(self, *, until: float = float("inf")) -> bool:
        """Whether everything is taken in; False if the time was up before."""
        self._until = until
        # Millions of new rows and not one cycle: looking for cycles takes a tenth of the time.
        collected = gc.isenabled()
        gc.disable()
        try:
            return self._run()
        finally:
            # Also when reading failed: nobody may close the file under a transaction.
            self._hand.shutdown()
            if collected:
                gc.enable()

    def _run(self) -> bool:
        ahead = self._ahead
        if ahead is not None:
            ahead.resume(self._known)
        finished = self._take_all()
        if ahead is not None and ahead.is_reading:
            ahead.pause(knowledge_of(self._connection))
        # Another turn, with nothing to read, has the time.
        if not finished or (self._has_read and self._is_over()):
            return False
        self._writer.sort(SORT_AT)
        return True

    def _take_all(self) -> bool:
        """Have all written that is new; False if the time was up before."""
        ahead = self._ahead
        # Still true unless something is written first.
        known = None if ahead is not None and ahead.is_reading else self._known
        while True:
            if ahead is not None and not self._take(ahead.portions(self._until)):
                return False
            if ahead is not None and ahead.is_reading:
                # What it reads comes in another turn: others may have the file before.
                return False
            # What the other process read is known by now, and what it left is read here.
            walk = self._walk(known or knowledge_of(self._connection))
            known = None
            if not self._take(self._read_here(walk)):
                return False
            if ahead is None or not ahead.is_reading:
                self._note_passed_over(walk)
                return True

    def _walk(self, known: Knowledge) -> Walk:
        return Walk(
            self._state,
            known,
            clock=self._clock,
            lines_at_once=self._lines_at_once,
            bytes_at_once=self._bytes_at_once,
            is_over=self._is_over,
        )

    def _read_here(self, walk: Walk) -> Iterator[Reading]:
        """Read all, or until there is so much that another process had better read the rest."""
        ahead, read = self._ahead, 0
        for reading in walk.readings():
            read += reading.account.read_bytes
            has_begun = ahead is not None and ahead.begin(
                self._state,
                walk.known,
                read=read,
                lines_at_once=self._lines_at_once,
                bytes_at_once=self._bytes_at_once,
            )
            yield reading
            if has_begun:
                return

    def _take(self, portions: Iterable[Reading | Gathered]) -> bool:
        """Have all written; False if the time was up before."""
        for portion in portions:
            self._collect()
            self._account(portion.account)
            self._under_way = self._hand.submit(self._write, portion)
            if self._has_read and self._is_over():
                self._collect()
                return False
        self._collect()
        return True

    def _write(self, portion: Reading | Gathered) -> Written:
        return self._writer.write(gather(portion) if isinstance(portion, Reading) else portion)

    def _collect(self) -> None:
        if self._under_way is None:
            return
        written = self._under_way.result()
        self._under_way = None
        self._done.lines += written.lines
        self._done.attempts += written.attempts
        self._done.problems.extend(problem.text for problem in written.problems)

    def _account(self, account: Account) -> None:
        self._has_read = self._has_read or account.read_bytes > 0
        self._done.taken_back += account.taken_back
        for name, _ in account.campaigns.values():
            if name not in self._done.campaigns[-1:]:
                self._done.campaigns.append(name)

    def _note_passed_over(self, walk: Walk) -> None:
        self.passed_over = walk.passed_over
        for told in walk.passed_over:
            if told not in self._done.problems:
                self._done.problems.append(told)

    def _is_over(self) -> bool:
        return time.monotonic() > self._until
