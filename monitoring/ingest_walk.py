"""Reads all that is new in the journals of a state directory, portion by portion.

It touches no store: it goes by what is known of it, and what it yields is to be written in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ..infra.errors import LedgerDamaged
from ..infra.ledgers.campaigns import campaigns_directory
from ..infra.ledgers.epochs import accepted_bytes, epochs_of, ledger_path, read_open
from ..infra.ledgers.journal import decode, located
from ..infra.ledgers.record import state_of
from .frames import as_stored
from .ingest_knowledge import Knowledge
from .ingest_lines import CampaignLines
from .ingest_reading import Problem, Reading

RECORDERS = "recorders"


class Walk:
    """Once through everything; `known` grows with what was read."""

    def __init__(
        self,
        state: Path,
        known: Knowledge,
        *,
        clock: Callable[[], float],
        lines_at_once: int,
        bytes_at_once: int,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.known = known
        # What could not be read, with the reason.
        self.passed_over: list[str] = []
        self._state = state
        self._clock = clock
        self._lines_at_once = lines_at_once
        self._bytes_at_once = bytes_at_once
        self._is_over = is_over
        self._reading = Reading()

    def readings(self) -> Iterator[Reading]:
        """A portion whenever there is enough for one, or the time is over; then the rest.

        Whoever stops after one goes on later as if nothing else had been read.
        """
        campaigns = [(path, self._campaign) for path in self._directories()]
        recorders = sorted((self._state / RECORDERS).glob("**/*.jsonl"))
        for path, read in (*campaigns, *((path, self._recorder) for path in recorders)):
            try:
                yield from read(path)
            except OSError as problem:
                if not str(problem.filename).startswith(str(path)):
                    raise
                self._pass_over(problem)
            if self._reading.account.read_bytes and self._is_over():
                yield from self._cut()
        self._stand()
        yield from self._cut()

    def _directories(self) -> list[Path]:
        try:
            found = [path for path in campaigns_directory(self._state).iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(found)

    def _pass_over(self, problem: OSError) -> None:
        """What was removed while we looked, or is another user's, keeps no other campaign out."""
        if not isinstance(problem, FileNotFoundError):
            self.passed_over.append(f"{problem.filename} cannot be read: {problem.strerror}")

    # Campaigns ------------------------------------------------------------------------------

    def _campaign(self, directory: Path) -> Iterator[Reading]:
        """Read what is new of a campaign."""
        epochs = epochs_of(directory)
        sizes = {epoch: ledger_path(directory, epoch).stat().st_size for epoch in epochs}
        known = self.known.campaigns.get(directory.name)
        if known is not None and known.pruned:
            return
        if self._seen(directory, sizes) == sizes:
            return
        accepted = accepted_bytes(directory)
        if not accepted:
            return
        project = _project_of(directory, accepted)
        if known is not None and (
            known.project != project or self._has_too_much(directory, accepted, sizes)
        ):
            # Whatever else was read has to be written before: one thing at a time.
            yield from self._cut()
            self._reading.account.forgotten.append(known.number)
            self._reading.account.taken_back.append(directory.name)
            self.known.forget(known)
        number = self.known.number_of(directory.name, project)
        for epoch, stop in accepted.items():
            yield from self._journal(
                directory, number, project, epoch, stop=stop, size=sizes.get(epoch, 0)
            )

    def _journal(
        self,
        directory: Path,
        number: int,
        project: str,
        epoch: int,
        *,
        stop: int | None,
        size: int,
    ) -> Iterator[Reading]:
        path = ledger_path(directory, epoch)
        file = self._name(path)
        place = self.known.offset(file)
        begin, enough = place, self._enough(place)
        limit = float("inf") if stop is None else stop
        state = state_of(directory, None, self._clock())
        lines = self._lines_of(directory.name, number, project, epoch)
        with path.open("rb") as journal:
            journal.seek(place)
            for raw in journal:
                end = place + len(raw)
                if not raw.endswith(b"\n") or end > limit:
                    break
                try:
                    lines.take(raw, place)
                except LedgerDamaged as damage:
                    self._damaged(number, path, place, damage)
                place = end
                if lines.count >= self._lines_at_once or place >= enough:
                    # Not all of it was seen yet: the next look must not pass over it.
                    self._note(file, (number, epoch, place, 0), place - begin)
                    self._reading.account.standing[number] = state
                    yield from self._cut()
                    lines = self._lines_of(directory.name, number, project, epoch)
                    begin, enough = place, self._enough(place)
        self._note(file, (number, epoch, place, size), place - begin)
        self._reading.account.standing[number] = state

    def _lines_of(self, name: str, number: int, project: str, epoch: int) -> CampaignLines:
        known, account = self.known, self._reading.account
        project_number = known.projects.get(project)
        if project_number is None:
            known.last_project = project_number = known.last_project + 1
            known.projects[project] = project_number
            account.projects.append((project_number, project))
        account.campaigns[number] = (name, project_number)
        lines = self._reading.lines
        lines.begin(campaign=number, project=project_number, epoch=epoch)
        return lines

    def _seen(self, directory: Path, sizes: dict[int, int]) -> dict[int, int]:
        files = {epoch: self._name(ledger_path(directory, epoch)) for epoch in sizes}
        journals = self.known.journals
        return {epoch: journals[file][1] for epoch, file in files.items() if file in journals}

    def _has_too_much(
        self, directory: Path, accepted: dict[int, int | None], sizes: dict[int, int]
    ) -> bool:
        """Whether bytes were taken in that do not count, or are not there any more."""
        for epoch, stop in accepted.items():
            offset = self.known.offset(self._name(ledger_path(directory, epoch)))
            if offset > min(sizes.get(epoch, 0), sizes.get(epoch, 0) if stop is None else stop):
                return True
        files = {self._name(ledger_path(directory, epoch)) for epoch in accepted}
        prefix = self._name(directory) + "/"
        return any(file.startswith(prefix) and file not in files for file in self.known.journals)

    def _stand(self) -> None:
        """Campaigns without a last word may have been interrupted since, without a line."""
        standing = self._reading.account.standing
        for name, known in self.known.campaigns.items():
            directory = campaigns_directory(self._state) / name
            if not known.is_open or known.number in standing:
                continue
            state = state_of(directory, None, self._clock()) if directory.is_dir() else known.state
            if state != known.state:
                standing[known.number] = state

    # Other recorders ------------------------------------------------------------------------

    def _recorder(self, path: Path) -> Iterator[Reading]:
        file = self._name(path)
        place, seen = self.known.journals.get(file, (0, -1))
        size = path.stat().st_size
        if seen == size:
            return
        if size < place:
            yield from self._cut()
            self._reading.account.forgotten_files.append(file)
            self.known.journals.pop(file)
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
                    self._damaged(None, path, place, damage)
                place += len(raw)
                if self._reading.recorded.count >= self._lines_at_once or place >= enough:
                    self._note(file, (None, None, place, 0), place - begin)
                    yield from self._cut()
                    begin, enough = place, self._enough(place)
        self._note(file, (None, None, place, size), place - begin)

    # Small things ---------------------------------------------------------------------------

    def _name(self, path: Path) -> str:
        return path.relative_to(self._state).as_posix()

    def _damaged(self, number: int | None, path: Path, place: int, damage: LedgerDamaged) -> None:
        told = str(located(damage, path, place))
        problem = Problem(number, self._name(path), place, "damaged", told)
        self._reading.account.problems.append(problem)

    def _enough(self, place: int) -> int:
        """Where what was read of this and other files is to be written."""
        return place + self._bytes_at_once - self._reading.account.read_bytes

    def _note(self, file: str, offset: tuple[int | None, int | None, int, int], read: int) -> None:
        self._reading.account.offsets[file] = offset
        self._reading.account.read_bytes += read
        self.known.journals[file] = offset[2:]

    def _cut(self) -> Iterator[Reading]:
        reading, self._reading = self._reading, Reading()
        if not reading.account.is_empty:
            yield reading


def unread_bytes(state: Path, known: Knowledge) -> int:
    """About how much of the campaigns' journals is not taken in yet: by a look at their sizes."""
    unread = 0
    for directory in campaigns_directory(state).glob("*"):
        campaign = known.campaigns.get(directory.name)
        if campaign is not None and campaign.pruned:
            continue
        # Removed while we looked, or out of reach: nothing that will be read.
        with suppress(OSError):
            for epoch in epochs_of(directory):
                path = ledger_path(directory, epoch)
                read = known.offset(path.relative_to(state).as_posix())
                unread += max(0, path.stat().st_size - read)
    return unread


def _project_of(directory: Path, accepted: dict[int, int | None]) -> str:
    """What its first readable writer says; the root, for a project without a name."""
    for epoch in accepted:
        opened = read_open(directory, epoch)
        if opened is not None:
            # As the store gives it back: it is compared with that.
            return as_stored(str(opened.get("project") or opened.get("root") or ""))
    return ""
