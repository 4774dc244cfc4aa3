"""The end of a campaign before its time: somebody asks for it, or its deadline passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..dispatching.dispatcher import Dispatcher
from ..ledgers.campaigns import CANCEL_FILE
from ..ledgers.lines import CANCELLED
from .job import Job
from .outgoing import Outgoing
from .suite_search import SuiteSearch

if TYPE_CHECKING:
    from .cluster import Cluster

CHECK_SECONDS = 0.25
# Killing what runs: who still says that it works on it after so long cannot.
CANCEL_SECONDS = 60.0


class Cancelling:
    """Kills what runs, once; the campaign's loop goes on until that has ended."""

    def __init__(
        self,
        job: Job,
        *,
        epoch: int,
        dispatcher: Dispatcher,
        outgoing: Outgoing,
        search: SuiteSearch,
        cluster: Cluster,
        note: Callable[[str, str], None],
    ) -> None:
        self._job = job
        self._epoch = epoch
        self._dispatcher = dispatcher
        self._outgoing = outgoing
        self._search = search
        self._cluster = cluster
        self._note = note
        self._asked = ""
        self._due = 0.0
        self._until = float("inf")
        # Why it was cancelled; empty while it was not.
        self.because = ""
        self.deadline_passed = False

    def ask(self, why: str) -> None:
        """For a signal's handler, which may come between any two lines of the loop."""
        self._asked = why

    def look(self, now: float) -> None:
        """Whether anything says that it is to end."""
        if self._asked:
            self.cancel(self._asked)
        if now >= self._due:
            self._due = now + CHECK_SECONDS
            if (self._job.directory / CANCEL_FILE).exists():
                self.cancel("someone asked for it")
        if self._job.deadline_at is not None and now > self._job.deadline_at:
            self.deadline_passed = True
            self.cancel("its deadline passed")

    def cancel(self, why: str) -> None:
        """Kill what runs and end."""
        if self.because:
            return
        self.because = why
        self._note("warning", f"{CANCELLED}{why}")
        self._dispatcher.stop(why)
        for batch in self._dispatcher.in_flight:
            self._outgoing.end(batch, kill=True)
        self._until = time.monotonic() + CANCEL_SECONDS
        self.stop_collecting()
        # Sessions that wait for their project, or set it up.
        self._cluster.let_go(self._epoch)

    def stop_collecting(self) -> None:
        """Nobody wants to know any more: what was asked for ends before all was found."""
        if self._search.active:
            self._cluster.stop(self._search.name, self._search.worker, kill=True)
            self._search.end()

    def leaves_behind(self, now: float) -> bool:
        """Whether what runs had long enough to end, and did not."""
        return bool(self.because) and now > self._until
