"""What is new in the journals is taken in before a question, if that is quick; else it is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..infra.errors import InfrastructureProblem
from ..infra.ledgers.campaigns import campaigns_directory
from .ingest import Ingest, Ingested
from .ingest_write import Writer
from .reports.wording import counted, size
from .store import Store, StoreBusy, Waiting

# Whoever asks waits for no more than that, however much is new and whoever has the store.
SECONDS = 1.0
PATIENCE_SECONDS = 0.25
# Little enough that a transaction in between ends soon after the time is up.
LINES_AT_ONCE = 10_000
# Of more than so much, the lines are not counted.
COUNTED_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What the store does not know yet."""

    bytes: int = 0
    # 0 where they were too many to count.
    lines: int = 0
    why: str = ""

    @property
    def text(self) -> str:
        """In one line; empty where nothing lacks."""
        if not self.bytes:
            return ""
        much = counted(self.lines, "line") if self.lines else size(self.bytes)
        are = "is" if self.lines == 1 else "are"
        return f"{much} of the journals {are} newer than the answer: {self.why}"


def freshen(
    state: Path,
    *,
    flags: str = "",
    seconds: float = SECONDS,
    now: Callable[[], float] = time.time,
) -> str:
    """Take in what is new, for a moment; why not all of it, if so.

    Where there is no store yet, none is made: that takes as long as all journals. `flags` is what
    a command that is proposed needs to find the store, such as " --state DIR".
    """
    store = _store(state)
    if not store.exists:
        return ""
    try:
        with store.writing() as connection:
            work = Ingest(
                connection, state, done=Ingested(), clock=now, lines_at_once=LINES_AT_ONCE
            )
            if work.run(until=time.monotonic() + seconds):
                return ""
    except StoreBusy:
        return "another program had the store open; ask again when it is done"
    except InfrastructureProblem as problem:
        # It may be somebody else's, or on a disk that is full: it can still be asked.
        return problem.message
    return f"`proctor store ingest{flags}` takes in all of it"


def lag_of(state: Path, why: str) -> Lag:
    """How much the store does not know, for the reason that `freshen` gave."""
    try:
        with _store(state).reading() as connection:
            known = Writer(connection).knowledge()
    except StoreBusy:
        # Taken again since it answered; who has it takes in what is new, or says so himself.
        return Lag()
    pruned = {name for name, each in known.campaigns.items() if each.pruned}
    total = lines = 0
    for path in _journals(state, pruned):
        try:
            new = path.stat().st_size - known.offset(path.relative_to(state).as_posix())
            if new > 0:
                total += new
                lines += _lines(path, new) if total <= COUNTED_BYTES else 0
        except FileNotFoundError:
            # Removed while we looked: nothing of it is newer.
            continue
    return Lag(bytes=total, lines=lines if total <= COUNTED_BYTES else 0, why=why)


def _store(state: Path) -> Store:
    return Store(state, waiting=Waiting(patience=PATIENCE_SECONDS, longer=0.0))


def _journals(state: Path, pruned: set[str]) -> Iterator[Path]:
    for path in sorted(campaigns_directory(state).glob("*/ledger-??????.jsonl")):
        if path.parent.name not in pruned:
            yield path


def _lines(path: Path, new: int) -> int:
    with path.open("rb") as file:
        file.seek(-new, 2)
        return file.read(new).count(b"\n")
