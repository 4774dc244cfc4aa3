"""What a campaign does about its waits: for workers, for their words, for those that fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from ..dispatching.dispatcher import Dispatcher
from ..dispatching.lanes import Lane
from ..errors import ProctorError, Unsatisfiable
from ..ledgers.ledger import Ledger
from ..ledgers.lines import LACKING
from ..records import Requirements, WorkerFacts
from ..resources import check_satisfiable, fits, nearest_miss
from .executions import Executions
from .job import Job
from .patience import Patience
from .suite_search import SuiteSearch
from .watcher import Watcher

if TYPE_CHECKING:
    from .cluster import Cluster


class Waits:
    """Looks at them in each turn of the campaign; raises for one that is over in vain."""

    def __init__(
        self,
        job: Job,
        *,
        workers: Mapping[str, WorkerFacts],
        draining: Collection[str],
        dispatcher: Dispatcher,
        executions: Executions,
        search: SuiteSearch,
        ledger: Ledger,
        cluster: Cluster,
        watcher: Watcher,
        note: Callable[[str, str], None],
        hindrance: Callable[[Requirements], ProctorError | None],
    ) -> None:
        self._job = job
        self._workers = workers
        self._draining = draining
        self._dispatcher = dispatcher
        self._executions = executions
        self._search = search
        self._ledger = ledger
        self._cluster = cluster
        self._watcher = watcher
        self._note = note
        self._hindrance = hindrance
        self._patience = Patience(
            job.campaign, job.is_coming, is_down=job.is_down, mend=job.mend, flags=job.flags
        )
        # What no worker here or expected can give, as was said.
        self._told: set[Requirements] = set()

    def take_turn(self, now: float) -> None:
        """The campaign looks around."""
        self._patience.take_turn(now)

    def spoke(self, worker: str) -> None:
        """A message of it arrived."""
        self._patience.spoke(worker, time.monotonic())

    def heard(self, worker: str) -> None:
        """It joined, or had nothing to say while it had nothing to do."""
        self._patience.heard(worker, time.monotonic())

    def check_fleet(self, now: float) -> None:
        """Somebody has to be there."""
        # Who drains counts as long as it has something of ours to do.
        busy = self._dispatcher.in_flight or self._search.worker
        there = [each for each in self._workers.values() if busy or each.name not in self._draining]
        if waiting := self._patience.check_fleet(there, now):
            self._watcher.note(waiting)

    def look_for_silence(self, now: float) -> None:
        """A worker with something to do says so every second: one that does not is taken for lost.

        Its cases run elsewhere. It may come back: then it joins again, and what it says of the
        executions that were given up no longer counts.
        """
        busy = {batch.slot.worker for batch in self._dispatcher.in_flight}
        if self._search.worker:
            busy.add(self._search.worker)
        for name, silence in self._patience.silent(busy, now):
            if name in self._workers:
                self._ledger.worker(self._workers[name], event="suspected", reason="silence")
                self._note("warning", f"worker {name} has said nothing for {silence:.0f} s")
                self._cluster.suspect(name, f"it said nothing for {silence:.0f} s")

    def check_cases(self, now: float) -> None:
        """Cases that wait for workers who may not come, or for no reason at all."""
        unservable = self._dispatcher.unservable()
        # Those that somebody runs, or could run who is here.
        able = self._dispatcher.tallies.unsettled - sum(lane.count for lane in unservable)
        idle = self._workers and not self._dispatcher.in_flight and not self._search.active
        self._patience.check_progress(able if idle else 0, now)
        if self._search.active or self._dispatcher.stopped_because:
            # What is found may still be deselected in the end, and then nobody needs it.
            return
        known = (*self._workers.values(), *self._job.expected)
        unmet = [
            lane for lane in unservable if known and not any(fits(lane.needs, w) for w in known)
        ]
        # Those whom workers that are still to join can run: they are no reason to refuse all.
        rest = self._dispatcher.tallies.unsettled - sum(lane.count for lane in unmet)
        if unmet and (rest or self._executions.any_ran):
            # What nobody can run keeps nobody from running the rest.
            self._tell_unmet([lane for lane in unmet if lane.needs not in self._told], known)
            if not rest:
                self._leave_out(unmet, known)
            unservable = [lane for lane in unservable if lane not in unmet]
        self._patience.check_needs(
            unservable, known, now, others=able > 0, hindrance=self._hindrance
        )

    def _tell_unmet(self, unmet: Sequence[Lane], known: Sequence[WorkerFacts]) -> None:
        """At once, while others run: whom it concerns may still add a worker that fits."""
        self._told.update(lane.needs for lane in unmet)
        try:
            cases = {lane.needs: lane.cases() for lane in unmet}
            check_satisfiable(cases, known, mend=self._job.mend, flags=self._job.flags)
        except Unsatisfiable as why:
            self._note("warning", f"{LACKING}{why}")

    def _leave_out(self, unmet: Sequence[Lane], known: Sequence[WorkerFacts]) -> None:
        for lane in unmet:
            miss = nearest_miss(lane.needs, known)
            for case in self._dispatcher.leave_out(lane):
                self._ledger.unmet(case, reason=miss)
