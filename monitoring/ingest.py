"""Takes journals into the store: each line once, whatever dies when.

How far a journal was read is written in the same transaction as the rows of its lines. Bytes that
a later writer of a campaign turned out not to accept are taken back: all of that campaign is
forgotten and read again, in one transaction, so that nobody can tell it from one read late.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..infra.errors import LedgerDamaged
from ..infra.ledgers.campaigns import campaigns_directory
from ..infra.ledgers.epochs import accepted_bytes, epochs_of, ledger_path, read_open
from ..infra.ledgers.journal import decode, located
from ..infra.ledgers.record import state_of
from .frames import as_stored
from .ingest_knowledge import knowledge_of
from .ingest_lines import CampaignLines
from .ingest_reading import Problem, Reading, Written
from .ingest_write import Writer
from .store import Connection, Store

RECORDERS = "recorders"
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
) -> Ingested:
    """Take in all that is new since the last time."""
    began = time.monotonic()
    done = Ingested()
    finished = False
    while not finished:
        with store.writing() as connection:
            work = Ingest(
                connection, store.state, done=done, clock=clock, lines_at_once=lines_at_once
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
    ) -> None:
        self._state = state
        self._done = done
        self._clock = clock
        self._lines_at_once = lines_at_once
        self._bytes_at_once = bytes_at_once or BYTES_AT_ONCE
        # Read and not written yet; and whether anything was read at all.
        self._unwritten = 0
        self._has_read = False
        # What could not be read, with the reason.
        self.passed_over: list[str] = []
        self._known = knowledge_of(connection)
        self._writer = Writer(connection, self._known)
        self._reading = Reading()
        # Writing one part while the next is read: DuckDB lets go of Python's lock.
        self._hand = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._under_way: Future[Written] | None = None

    def run(self, *, until: float = float("inf")) -> bool:
        """Whether everything is taken in; False if the time was up before."""
        # Millions of new rows and not one cycle: looking for cycles takes a tenth of the time.
        collected = gc.isenabled()
        gc.disable()
        try:
            return self._run(until)
        finally:
            # Also when reading failed: nobody may close the file under a transaction.
            self._hand.shutdown()
            if collected:
                gc.enable()

    def _run(self, until: float) -> bool:
        for _ in self._journals():
            if time.monotonic() > until:
                self._flush()
                self._collect()
                return False
        self._stand()
        self._flush()
        self._collect()
        # Another turn, with nothing to read, has the time.
        if self._has_read and time.monotonic() > until:
            return False
        self._writer.sort(SORT_AT)
        return True

    def _journals(self) -> Iterator[None]:
        """Read all that is new; yields, after something was read, where the rest can wait."""
        readings = [(path, self._campaign) for path in self._directories()]
        recorders = sorted((self._state / RECORDERS).glob("**/*.jsonl"))
        for path, read in (*readings, *((path, self._recorder) for path in recorders)):
            try:
                yield from read(path)
            except OSError as problem:
                if not str(problem.filename).startswith(str(path)):
                    raise
                self._pass_over(problem)

    def _directories(self) -> list[Path]:
        try:
            found = [path for path in campaigns_directory(self._state).iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(found)

    def _pass_over(self, problem: OSError) -> None:
        """What was removed while we looked, or is another user's, keeps no other campaign out."""
        told = f"{problem.filename} cannot be read: {problem.strerror}"
        if isinstance(problem, FileNotFoundError):
            return
        self.passed_over.append(told)
        if told not in self._done.problems:
            self._done.problems.append(told)

    # Campaigns ------------------------------------------------------------------------------

    def _campaign(self, directory: Path) -> Iterator[None]:
        """Read what is new of a campaign."""
        epochs = epochs_of(directory)
        sizes = {epoch: ledger_path(directory, epoch).stat().st_size for epoch in epochs}
        known = self._known.campaigns.get(directory.name)
        if known is not None and known.pruned:
            return
        seen = self._seen(directory, sizes)
        if seen == sizes:
            return
        accepted = accepted_bytes(directory)
        if not accepted:
            return
        project = _project_of(directory, accepted)
        if known is not None and (
            known.project != project or self._has_too_much(directory, accepted, sizes)
        ):
            # Whatever else is being read has to be written before: one thing at a time.
            self._flush()
            self._reading.forgotten.append(known.number)
            self._known.forget(known)
            self._done.taken_back.append(directory.name)
        number = self._writer.campaign(self._reading, directory.name, project)
        if directory.name not in self._done.campaigns[-1:]:
            self._done.campaigns.append(directory.name)
        for epoch, stop in accepted.items():
            for _ in self._journal(directory, number, epoch, stop=stop, size=sizes.get(epoch, 0)):
                yield
        if self._unwritten:
            yield

    def _journal(
        self, directory: Path, number: int, epoch: int, *, stop: int | None, size: int
    ) -> Iterator[None]:
        path = ledger_path(directory, epoch)
        file = self._name(path)
        place = self._known.offset(file)
        begin, enough = place, self._enough(place)
        limit = float("inf") if stop is None else stop
        state = state_of(directory, None, self._clock())
        lines = self._lines(number, epoch)
        with path.open("rb") as journal:
            journal.seek(place)
            for raw in journal:
                end = place + len(raw)
                if not raw.endswith(b"\n") or end > limit:
                    break
                try:
                    lines.take(raw, place)
                except LedgerDamaged as damage:
                    told = str(located(damage, path, place))
                    self._reading.problems.append(Problem(number, file, place, "damaged", told))
                place = end
                if lines.count >= self._lines_at_once or place >= enough:
                    # Not all of it was seen yet: the next look must not pass over it.
                    self._note(file, (number, epoch, place, 0))
                    self._reading.standing[number] = state
                    self._flush()
                    lines = self._lines(number, epoch)
                    begin, enough = place, self._enough(place)
                    self._has_read = True
                    yield
        self._note(file, (number, epoch, place, size))
        self._reading.standing[number] = state
        self._count(place - begin)

    def _lines(self, number: int, epoch: int) -> CampaignLines:
        lines = self._reading.lines
        lines.begin(campaign=number, project=self._writer.project_of(number), epoch=epoch)
        return lines

    def _seen(self, directory: Path, sizes: dict[int, int]) -> dict[int, int]:
        files = {epoch: self._name(ledger_path(directory, epoch)) for epoch in sizes}
        journals = self._known.journals
        return {epoch: journals[file][1] for epoch, file in files.items() if file in journals}

    def _has_too_much(
        self, directory: Path, accepted: dict[int, int | None], sizes: dict[int, int]
    ) -> bool:
        """Whether bytes were taken in that do not count, or are not there any more."""
        for epoch, stop in accepted.items():
            offset = self._known.offset(self._name(ledger_path(directory, epoch)))
            if offset > min(sizes.get(epoch, 0), sizes.get(epoch, 0) if stop is None else stop):
                return True
        files = {self._name(ledger_path(directory, epoch)) for epoch in accepted}
        prefix = self._name(directory) + "/"
        return any(file.startswith(prefix) and file not in files for file in self._known.journals)

    def _stand(self) -> None:
        """Campaigns without a last word may have been interrupted since, without a line."""
        for name, known in self._known.campaigns.items():
            directory = campaigns_directory(self._state) / name
            if not known.is_open or known.number in self._reading.standing:
                continue
            state = state_of(directory, None, self._clock()) if directory.is_dir() else known.state
            if state != known.state:
                self._reading.standing[known.number] = state

    # Other recorders ------------------------------------------------------------------------

    def _recorder(self, path: Path) -> Iterator[None]:
        file = self._name(path)
        place, seen = self._known.journals.get(file, (0, -1))
        size = path.stat().st_size
        if seen == size:
            return
        if size < place:
            self._flush()
            self._reading.forgotten_files.append(file)
            self._known.journals.pop(file)
            place = 0
        begin, enough = place, self._enough(place)
        with path.open("rb") as journal:
            journal.seek(place)
            for raw in journal:
                if not raw.endswith(b"\n"):
                    break
                try:
                    self._reading.recorded.take(decode(raw), file, place)
                except LedgerDamaged as damage:
                    told = str(located(damage, path, place))
                    self._reading.problems.append(Problem(None, file, place, "damaged", told))
                place += len(raw)
                if self._reading.recorded.count >= self._lines_at_once or place >= enough:
                    self._note(file, (None, None, place, 0))
                    self._flush()
                    begin, enough = place, self._enough(place)
                    self._has_read = True
                    yield
        self._note(file, (None, None, place, size))
        self._count(place - begin)
        if self._unwritten:
            yield

    # Small things ---------------------------------------------------------------------------

    def _name(self, path: Path) -> str:
        return path.relative_to(self._state).as_posix()

    def _enough(self, place: int) -> int:
        """Where what was read of this and other files is to be written."""
        return place + self._bytes_at_once - self._unwritten

    def _count(self, read: int) -> None:
        self._unwritten += read
        self._has_read = self._has_read or read > 0

    def _note(self, file: str, offset: tuple[int | None, int | None, int, int]) -> None:
        self._reading.offsets[file] = offset
        self._known.journals[file] = offset[2:]

    def _flush(self) -> None:
        """Have what was read written, after what is being written now."""
        reading, self._reading = self._reading, Reading()
        self._unwritten = 0
        self._collect()
        if not reading.is_empty:
            self._done.lines += reading.lines.count + reading.recorded.count
            self._under_way = self._hand.submit(self._writer.write, reading)

    def _collect(self) -> None:
        if self._under_way is None:
            return
        written = self._under_way.result()
        self._under_way = None
        self._done.attempts += written.attempts
        self._done.problems.extend(problem.text for problem in written.problems)


def _project_of(directory: Path, accepted: dict[int, int | None]) -> str:
    """What its first readable writer says; the root, for a project without a name."""
    for epoch in accepted:
        opened = read_open(directory, epoch)
        if opened is not None:
            # As the store gives it back: it is compared with that.
            return as_stored(str(opened.get("project") or opened.get("root") or ""))
    return ""
