"""Whether a session loads every file before its first case, as plain pytest does, or each in turn.

Plain pytest imports all files before it runs anything, and a suite may lean on that: a module keeps
settings as it finds them when it is imported, and a case of another file has changed them by then.
Where loading all costs next to nothing a session does so, too. Else it loads what it is to run: of
networkx's 265 files that saves each session seconds, and the first case comes that much sooner.
"""

from __future__ import annotations

from .balance import Balance
from .batches import Slot
from .durations import Durations
from .lanes import Lane
from .state import WorkerState

# Of what a slot has to do, and at most: the first case waits for it.
MOST_SHARE = 0.03
MOST_SECONDS = 0.5


class Loading:
    """Decides for each slot, when all files of the suite are known; until it has done so once."""

    def __init__(self, durations: Durations, balance: Balance) -> None:
        self._durations = durations
        self._balance = balance
        self.whole_suite_is_known = False

    def ahead(self, lane: Lane, slot: Slot, worker: WorkerState) -> tuple[str, ...]:
        """Files that the slot's session is to load before anything else, in their order.

        None as long as that seems dear: of a suite that was never run nobody knows how much there
        is to do. Of a lane alone: what another needs of a worker may not be there to import. And not again
        for a session that comes after one that died: whatever that died of, cases go first.
        """
        if slot.number in worker.has_loaded_ahead or not self.whole_suite_is_known:
            return ()
        loaded = worker.loaded.get(slot.number, set[str]())
        most = min(MOST_SECONDS, MOST_SHARE * self._balance.seconds_shared_by_all(lane))
        files: list[str] = []
        for group in lane.groups.values():
            if group.name in loaded:
                continue
            seconds = self._durations.load_seconds(group.name)
            if seconds is None:  # Also of tasks, which are in no file.
                return ()
            most -= seconds
            if most < 0:
                return ()
            files.append(group.name)
        worker.has_loaded_ahead.add(slot.number)
        return tuple(files)
