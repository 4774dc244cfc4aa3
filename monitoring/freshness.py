"""What is new in the journals is taken in before a question, if that is quick; else it is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ..infra.errors import ProctorError
from ..infra.ledgers.campaigns import campaigns_directory
from ..infra.ledgers.epochs import accepted_bytes, complete_bytes, epochs_of, ledger_path
from .ingest import RECORDERS, Ingest, Ingested
from .ingest_knowledge import Knowledge, knowledge_of
from .reports.wording import counted, size
from .store import Store, StoreBusy, Waiting

# Whoever asks waits for no more than that, however much is new and whoever has the store.
SECONDS = 1.0
PATIENCE_SECONDS = 0.25
# Little enough that a transaction in between ends soon after the time is up.
LINES_AT_ONCE = 10_000
BYTES_AT_ONCE = 4 << 20
# Of more than so much, the lines are not counted.
COUNTED_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What the store does not know yet."""

    bytes: int = 0
    # 0 where they were too many to count.
    lines: int = 0
    why: str = ""
    # Whether anything lacks could not be found out.
    is_unknown: bool = False

    @property
    def text(self) -> str:
        """In one line; empty where nothing lacks."""
        if self.is_unknown:
            return f"the journals may say more than the answer: {self.why}"
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
    first_seconds: float = 0.0,
    now: Callable[[], float] = time.time,
) -> str:
    """Take in what is new, for a moment; why not all of it, if so.

    Where there is no store yet, one is made if `first_seconds` are given: all journals take longer
    than their news. `flags` is what a command that is proposed needs to find the store, such as
    " --state DIR".
    """
    store = _store(state)
    if not store.exists:
        if not first_seconds or not any(campaigns_directory(state).glob("*")):
            return ""
        # There is nothing yet that could be asked instead of waiting.
        seconds, store = first_seconds, Store(state, waiting=Waiting(patience=first_seconds))
    try:
        with store.writing() as connection:
            work = Ingest(
                connection,
                state,
                done=Ingested(),
                clock=now,
                lines_at_once=LINES_AT_ONCE,
                bytes_at_once=BYTES_AT_ONCE,
            )
            if work.run(until=time.monotonic() + seconds):
                return _first(work.passed_over)
    except StoreBusy:
        return "another program had the store open; ask again when it is done"
    except ProctorError as problem:
        # It may be somebody else's, or on a disk that is full: it can still be asked.
        return problem.message
    except Exception as problem:  # noqa: BLE001 - what is there can be asked, whatever is wrong.
        told = " ".join(str(problem).split())
        return f"taking it in failed ({type(problem).__name__}: {told})"
    return f"`proctor store ingest{flags}` takes in all of it"


def lag_of(state: Path, why: str) -> Lag:
    """How much the store does not know, for the reason that `freshen` gave."""
    try:
        with _store(state).reading() as connection:
            known = knowledge_of(connection)
    except (ProctorError, OSError, duckdb.Error):
        # Taken again since it answered, perhaps; that answer stands.
        return Lag(why=why, is_unknown=True)
    total = lines = 0
    is_countable = True
    for path, end in _ends(state, known):
        new = end - known.offset(path.relative_to(state).as_posix())
        if new <= 0:
            continue
        total += new
        is_countable = is_countable and total <= COUNTED_BYTES
        try:
            lines += _lines(path, end - new, new) if is_countable else 0
        except OSError:
            is_countable = False
    return Lag(bytes=total, lines=lines if is_countable else 0, why=why)


def _store(state: Path) -> Store:
    return Store(state, waiting=Waiting(patience=PATIENCE_SECONDS, longer=0.0))


def _first(reasons: list[str]) -> str:
    """In one line."""
    more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return reasons[0] + more if reasons else ""


def _ends(state: Path, known: Knowledge) -> Iterator[tuple[Path, int]]:
    """The journals, and up to where what they say counts."""
    pruned = {name for name, each in known.campaigns.items() if each.pruned}
    for directory in sorted(campaigns_directory(state).glob("*")):
        if directory.name in pruned:
            continue
        epochs = epochs_of(directory)
        paths = [ledger_path(directory, epoch) for epoch in epochs]
        if all(_size(path) <= known.offset(path.relative_to(state).as_posix()) for path in paths):
            continue
        try:
            accepted = accepted_bytes(directory)
        except OSError:
            # As if all counted.
            accepted = dict.fromkeys(epochs)
        for epoch, stop in accepted.items():
            path = ledger_path(directory, epoch)
            end = _end(path)
            yield path, end if stop is None else min(end, stop)
    for path in sorted((state / RECORDERS).glob("**/*.jsonl")):
        yield path, _end(path)


def _end(path: Path) -> int:
    """Of its complete lines; of the file, where only its size is to be seen."""
    try:
        return complete_bytes(path)
    except OSError:
        return _size(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # Removed while we looked, or out of reach.
        return 0


def _lines(path: Path, start: int, much: int) -> int:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(much).count(b"\n")
