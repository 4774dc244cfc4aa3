"""Whether a session loads every file before its first case, as plain pytest does, or each in turn.

Plain pytest imports all files before it runs anything, and a suite may lean on that: a module keeps
settings as it finds them when it is imported, and a case of another file has changed them by then.
Where loading all costs next to nothing a session does so, too. Else it loads what it is to run: of
networkx's 265 files that saves each session seconds, and the first case comes that much sooner.
It is told of the others, though, in case that one of its cases leans on what they import.
"""

from __future__ import annotations

from math import inf

from ..records import Requirements
from .batches import NO_FILES, Files, LoadAll, Rules, Slot
from .durations import Durations
from .lanes import Lane
from .state import Flight, WorkerState

# The first case waits for it.
MOST_SECONDS = 0.75
# Of a suite with more files a session is not told: a thousand slots would get a megabyte each.
MOST_BESIDE = 5000


class Loading:
    """Decides for each session, once all files of the suite are known."""

    def __init__(self, rules: Rules, durations: Durations) -> None:
        self._when = rules.load_all
        # Files are not left in their middle, and running a case again takes its fixtures down.
        self._may_run_again = rules.split_files
        self._durations = durations
        self.whole_suite_is_known = False
        # For so long the first cases wait for a suite to be known that is being collected.
        self.patience_seconds = 0.0
        self._found_at = inf
        self._names_of: dict[Requirements, tuple[str, ...]] = {}

    def found(self, now: float) -> None:
        """There are cases."""
        self._found_at = min(self._found_at, now)

    def holds(self, now: float) -> bool:
        """Whether no case is to begin yet: its session may have to load all files first."""
        if self.whole_suite_is_known or self._when is LoadAll.NEVER:
            return False
        return self._when is LoadAll.ALWAYS or now < self._found_at + self.patience_seconds

    def files(self, lane: Lane, slot: Slot, worker: WorkerState) -> Files:
        """What the slot's session is told to load with the batch that it gets now.

        Of a lane alone: what another needs of a worker may not be there to import.
        """
        told = worker.told_files.setdefault(slot.number, set())
        # Anew where more were found when it was collected once more.
        what = lane.needs, len(lane.groups)
        if not self.whole_suite_is_known or self._when is LoadAll.NEVER or what in told:
            return NO_FILES
        told.add(what)
        ahead = self._ahead(lane, slot, worker)
        if ahead or not self._may_run_again:
            return Files(ahead=ahead)
        return Files(beside=self._names(lane))

    def _ahead(self, lane: Lane, slot: Slot, worker: WorkerState) -> tuple[str, ...]:
        loaded = worker.loaded.get(slot.number, set[str]())
        most = MOST_SECONDS if self._when is LoadAll.AUTO else inf
        files: list[str] = []
        for group in lane.groups.values():
            if group.name in loaded:
                continue
            # Of what nobody has loaded nobody knows that it is cheap.
            most -= self._durations.load_seconds(group.name) or MOST_SECONDS
            if most < 0:
                return ()
            files.append(group.name)
        return tuple(files)

    def _names(self, lane: Lane) -> tuple[str, ...]:
        """All files of a lane; the same tuple for all slots."""
        names = self._names_of.get(lane.needs, ())
        if len(names) != len(lane.groups) <= MOST_BESIDE:
            names = self._names_of[lane.needs] = tuple(lane.groups)
        return names

    def batch_ended(self, flight: Flight, worker: WorkerState, *, died: bool) -> None:
        """A session that never got the files, or the next after one that died, is told anew."""
        batch = flight.batch
        began = flight.running is not None or len(flight.open) < len(batch.cases)
        if began and not died:
            return
        may_be_why = died and not began and bool(batch.files.ahead)
        if not may_be_why or self._when is LoadAll.ALWAYS:
            worker.told_files.pop(batch.slot.number, None)
            worker.loaded.get(batch.slot.number, set[str]()).difference_update(batch.files.ahead)
