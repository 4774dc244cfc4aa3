"""What a campaign learns of its suite while it runs: found cases, files and cases that are gone.

The fleet collects on one slot; every other session says what it finds in the files it loads.
"""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from ..dispatching.dispatcher import Dispatcher
from ..dispatching.loading import MOST_SECONDS
from ..errors import CollectionProblem, InfrastructureProblem, UsageProblem
from ..ledgers.ledger import Ledger
from ..records import Case, Outcome, WorkerFacts
from ..runners.orders import Act
from ..runners.session_problem import PYTEST_USAGE_ERROR
from ..wanted_workers import Mend
from .attempts import settled_unrun
from .collect import REASONS_TOLD, Collection
from .collecting import NAME, Collecting
from .job import Job
from .outgoing import Outgoing
from .watcher import Watcher

# Collections in a row that came to nothing.
MOST_TRIES = 4
# What pytest ends with when files could not be collected.
PYTEST_INTERRUPTED = 2
_SAME = "`pytest --collect-only` shows the same"
_ASTRAY = {
    "not found": "it was collected, and is not there when its file is loaded again:"
    " its id has to be the same each time, and may hold nothing random",
    "deselected": "it was collected, and is deselected when its file is loaded alone:"
    " no hook may choose by what else there is",
}


class SuiteSearch:
    """Hands what is found to the dispatcher and to the ledger, and takes back what is not there."""

    def __init__(
        self,
        job: Job,
        *,
        ledger: Ledger,
        collection: Collection,
        dispatcher: Dispatcher,
        outgoing: Outgoing,
        watcher: Watcher,
        attempted: Container[str],
        note: Callable[[str, str], None],
    ) -> None:
        self._job = job
        self._ledger = ledger
        self._collection = collection
        self._dispatcher = dispatcher
        self._outgoing = outgoing
        self._watcher = watcher
        # Cases that have run: nobody can say that they do not exist.
        self._attempted = attempted
        self._note = note
        self._collecting = Collecting()
        self._found: list[Case] = []
        self._warnings: set[str] = set()
        self._failed_files: set[str] = set()
        # What was found in this campaign, and by the session that was to run it no more; why.
        self._astray: dict[str, tuple[Case, Outcome, str]] = {}
        # Files of an inventory that a session could not load, until it is known whether anybody
        # can; and what it said of their cases.
        self._suspects: set[str] = set()
        self._aside: list[Mapping[str, Any]] = []
        # Files that skip themselves only where they are to run.
        self._skipped_there: dict[str, str] = {}
        # The cases come from an inventory, and nobody has compared it with the suite.
        self._doubtful = self._looked_again = False

    # Collecting -----------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether the suite is still being collected."""
        return self._collecting.active

    @property
    def worker(self) -> str:
        """Who collects now; empty when nobody does."""
        return self._collecting.worker if self._collecting.active else ""

    @property
    def name(self) -> str:
        """The order that collects goes by this name."""
        return self._collecting.name

    def is_named(self, name: str) -> bool:
        """Whether an order is the one that collects now."""
        return self._collecting.is_named(name)

    def collect(self) -> None:
        """Have one slot collect the suite; cases run elsewhere as soon as they are found.

        Or a moment later where a fleet has to be started anyway: what is collected by then is
        loaded by all sessions as plain pytest has it.
        """
        self._collecting.active = True
        self._dispatcher.loading.whole_suite_is_known = False
        if self._job.mend is Mend.OWN:
            self._dispatcher.loading.patience_seconds = MOST_SECONDS

    def doubt(self) -> None:
        """What is known came from a cached inventory: look again if a file holds other cases."""
        self._doubtful = True

    def begin_if_due(self, workers: Sequence[WorkerFacts]) -> None:
        """Send the order to collect, once there is a worker for it."""
        slot = self._collecting.choose(workers)
        if slot is not None:
            self._dispatcher.slots.occupy(slot)
            self._outgoing.order(self._collecting.name, slot, Act.COLLECT)

    def end(self) -> None:
        """Nobody wants to know any more."""
        self._collecting.end()

    def worker_lost(self, name: str) -> bool:
        """Whether a lost worker was the one that collects: then another is to begin anew."""
        lost = self._collecting.active and self._collecting.worker == name
        if lost:
            self._collecting.give_up()
        return lost

    def given_back(self) -> None:
        """Its worker drains and did not begin, which says nothing of the suite."""
        self._collecting.given_back += 1
        self._begin_anew()

    def failed(self, failure: str) -> None:
        """A session ended without having collected; it is tried again some times."""
        if self._collecting.tries - self._collecting.given_back >= MOST_TRIES:
            raise InfrastructureProblem(
                f"the suite could not be collected in {self._collecting.tries} tries"
                f" ({failure or 'its session ended without a word'})",
                remedy="see the workers' logs",
            )
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._dispatcher.slots.vacate(self._collecting.slot)
        self._collecting.give_up()

    def collected(self, told: Mapping[str, Any]) -> None:
        """The whole suite is known."""
        if not self._collecting.active:
            return
        self._collecting.end()
        self.hand_over()
        result = told["collected"]
        self._collection.check_needs(result["ids"])
        # Its session has imported every file: nothing has to be loaded twice there.
        self._dispatcher.slots.vacate(self._collecting.slot, loaded=self._collection.ids_by_file)
        self._job.hello = {**self._job.hello, **told.get("hello", {})}
        for file, seconds in result.get("costs", ()):
            self._learn_cost(file, seconds)
        self._dispatcher.loading.whole_suite_is_known = True
        errors = self._collection.errors
        goes_on = self._job.goes_on_after_errors and result["exit"] == PYTEST_INTERRUPTED
        # What stands for a file that is still broken is no other case than before.
        broken = self._collection.broken if goes_on else ()
        for case in self._collection.keep_only([*result["ids"], *broken]):
            self._gone(case)
        self._collection.deselect(result.get("deselected", ()))
        is_whole = not errors and result["exit"] in (0, 5)
        if is_whole:
            self._widen()
        self._ledger.unselected(self._collection.unselected())
        self._tell_astray()
        self._job.collected_order = tuple(dict.fromkeys(result["ids"]))
        self._tell_doubles(result["ids"])
        if errors and goes_on:
            self._fail_broken_files()
        elif not is_whole:
            self._give_up(result)
        self._watcher.phase("run")
        self._ledger.write("phase", phase="run")

    def _widen(self) -> None:
        """Begin what was held back as not wanted, where nothing that is wanted was found."""
        if said := self._collection.widen():
            self._note("warning", said)
            # An interrupted campaign may have come as far as this.
            new = [
                case
                for case in self._collection.wanted()
                if not self._dispatcher.tallies.is_open(case) and case.id not in self._attempted
            ]
            for case in new:
                self._ledger.case(case)
                self.mute(case)
            self._dispatcher.add_cases(new, time.monotonic(), past={}, first=self._job.first)
            self.tell_total()

    def _tell_doubles(self, ids: Sequence[str]) -> None:
        """A case is known by its id: of several with one id, one runs."""
        doubles = list((Counter(ids) - Counter(set(ids))).elements())
        if doubles:
            some = ", ".join(list(dict.fromkeys(doubles))[:REASONS_TOLD])
            have = "case has" if len(doubles) == 1 else "cases have"
            text = f"{len(doubles)} {have} the id of another one, and each id runs once: {some}"
            self._note("warning", text)

    @property
    def holds(self) -> bool:
        """Whether nothing is to begin: a case's needs cannot be read, unless it is deselected."""
        return self.active and bool(self._collection.unreadable)

    @property
    def total(self) -> int:
        """How many cases there are to settle."""
        return self._collection.total

    def puts_aside(self, done: Mapping[str, Any]) -> bool:
        """Whether an execution says nothing yet: pytest may find that its case is none."""
        case = self._collection.cases.get(done["id"])
        if not self.active or case is None or done["outcome"] != Outcome.ERROR:
            return False
        if case.group in self._suspects:
            self._dispatcher.forget(case)
            self._aside.append(done)
        return case.group in self._suspects

    def taken_up(self) -> list[Mapping[str, Any]]:
        """What was put aside of cases that are there."""
        aside, self._aside = self._aside, []
        self._suspects.clear()
        return [done for done in aside if done["id"] in self._collection.cases]

    # What sessions say of it ----------------------------------------------------------------

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take in what a session found or missed; `hand_over` when nothing more is at hand."""
        match message["k"]:
            case "item":
                held = self.holds
                case = self._collection.item(message)
                if self.holds and not held:
                    # It is likely to be refused: what runs already ends after its case.
                    for batch in self._dispatcher.in_flight:
                        self._outgoing.end(batch, kill=False)
                if case is not None:
                    self._ledger.case(case)
                    self.mute(case)
                    self._found.append(case)
            case "skipped-file":
                collects = self.is_named(message["b"])
                if not collects:
                    self._skipped_there[message["id"]] = message["text"]
                if collects or not self._collecting.tries:
                    self.skip_file(message["id"], message["text"])
            case "collect-error":
                # A session that is to run the file tells each of its cases as an error.
                if self.is_named(message["b"]):
                    self._collection.error(message)
            case "collected":
                if message.get("file"):
                    self._verify(message)
            case "missing":
                self._missing(message)
            case "warning":
                self._warned(message["text"])
            case _:
                pass

    def hand_over(self) -> None:
        """Give the dispatcher what was found: many at once, for its queue is sorted each time.

        A file that is to stay whole is not begun before all of it is found.
        """
        held: str | None = None
        if self._found and self.active and not self._dispatcher.rules.split_files:
            held = self._found[-1].group
            if self._found[0].group == held:
                # Of a file of 200,000 cases not all are looked at with every few that are found.
                return
        found = [case for case in self._found if case.group != held]
        if found:
            self._found = [case for case in self._found if case.group == held]
            self._dispatcher.add_cases(found, time.monotonic(), past={}, first=self._job.first)
            self.tell_total()

    def mute(self, case: Case) -> None:
        """Write down that its failures do not count, if the settings say so."""
        if self._job.is_muted(case.id):
            self._ledger.muted(case.id, reason="a pattern of the settings names it")

    def skip_file(self, case_id: str, why: str) -> None:
        """A file that skips itself at import counts as one skipped case, as pytest counts it."""
        case = self._collection.skipped_file(case_id, why)
        if case is not None:
            self._settle_file(case, Outcome.SKIPPED, why, ())

    def tell_total(self) -> None:
        """Tell who looks on how much there is to do."""
        self._watcher.cases(self._dispatcher.tallies.total, self._dispatcher.waiting_work())

    def _fail_broken_files(self) -> None:
        """A file that cannot be collected counts as one error, as pytest counts it."""
        for file, text in self._collection.broken.items():
            if file not in self._failed_files:
                self._failed_files.add(file)
                case, why = self._collection.stand_in(file), self._collection.reason_in(text)
                self._settle_file(case, Outcome.ERROR, why, (("traceback", text),))

    def _settle_file(
        self, case: Case, outcome: Outcome, why: str, text: Sequence[tuple[str, str]]
    ) -> None:
        self._ledger.case(case)
        attempt = settled_unrun(case, outcome, why, epoch=self._ledger.epoch, batch=NAME)
        # An interrupted campaign may have had it, and have it run again.
        self._dispatcher.settle_unrun(case, outcome)
        self._watcher.attempt(case, self._ledger.attempt(attempt, text))
        self.tell_total()

    def _verify(self, message: Mapping[str, Any]) -> None:
        """A runner looked into a file: learn its cost, and mend a stale inventory."""
        self._learn_cost(message["file"], message["seconds"])
        if message["errors"]:
            self._look_again(f"{message['file']} can no longer be loaded")
            if self.active and self._looked_again:
                self._suspects.add(message["file"])
            return
        if self._collecting.tries:
            # Found in this campaign: each case that a session misses is told by itself.
            return
        gone = self._collection.missing_from(message["file"], message["ids"])
        if gone or self._collection.holds_more(message["file"], message["ids"]):
            self._look_again(f"{message['file']} holds other cases than before")
        for case_id in gone:
            self._vanish(case_id)

    def _learn_cost(self, file: str, seconds: float) -> None:
        self._dispatcher.durations.learn_warm_up(file, seconds)
        self._job.collect_seconds[file] = seconds

    def _warned(self, text: str) -> None:
        """Pytest warned while it loaded a file; every session that loads it says so."""
        if text not in self._warnings:
            self._warnings.add(text)
            self._ledger.write("note", level="info", text=text)

    def _look_again(self, why: str) -> None:
        """Ids depend on more than test files: the inventory is out of date, once is enough."""
        if self._doubtful and not self._dispatcher.stopped_because:
            self._doubtful = False
            self._looked_again = True
            self._note("info", f"{why}: the suite is collected anew")
            # Whoever resumes the campaign from here has to collect, too.
            self._ledger.write("phase", phase="collect")
            self._watcher.phase("collect")
            self.collect()

    def _missing(self, message: Mapping[str, Any]) -> None:
        case = self._collection.cases.get(message["id"])
        if not self._collecting.tries or case is None:
            self._vanish(message["id"])
            return
        # Also one that is to run again: what it came to before stands.
        self._dispatcher.forget(case)
        if case.id not in self._attempted:
            skipped = self._skipped_there.get(case.group)
            outcome = Outcome.ERROR if skipped is None else Outcome.SKIPPED
            self._astray[case.id] = (case, outcome, skipped or _ASTRAY[message["why"]])
        if not self._collecting.active:
            self._tell_astray()

    def _tell_astray(self) -> None:
        """Cases that cannot be run, and must not be passed over."""
        for case, outcome, why in self._astray.values():
            # Those that pytest deselects in the end are nobody's.
            if case.id in self._collection.cases:
                epoch = self._ledger.epoch
                attempt = settled_unrun(case, outcome, why, epoch=epoch, batch=NAME)
                self._dispatcher.tallies.settle_unrun(case, outcome)
                self._watcher.attempt(case, self._ledger.attempt(attempt))
        self._astray.clear()

    def _give_up(self, result: Mapping[str, Any]) -> None:
        self._dispatcher.stop("the suite could not be collected")
        if result["exit"] == PYTEST_USAGE_ERROR:
            raise UsageProblem(self._collection.why_not(result), remedy=_SAME)
        for case_id, text in self._collection.broken.items():
            self._write_down(case_id, text)
        first = next(iter(self._collection.broken), "")
        raise CollectionProblem(
            self._collection.why_not(result),
            remedy=f"`proctor logs {shlex.quote(first)}{self._job.flags}` shows all of it"
            if first
            else _SAME,
        )

    def _write_down(self, case_id: str, text: str) -> None:
        """A file that ended the campaign is an error of every report, and no case of it."""
        case = Case(id=case_id, group=case_id, index=0)
        why = self._collection.reason_in(text)
        attempt = settled_unrun(case, Outcome.ERROR, why, epoch=self._ledger.epoch, batch=NAME)
        self._ledger.broken(attempt, (("traceback", text),))

    def _vanish(self, case_id: str) -> None:
        case = self._collection.drop(case_id)
        if case is not None:
            self._gone(case)
            self.tell_total()

    def _gone(self, case: Case) -> None:
        if self._collection.wants(case.id):
            if case.id not in self._attempted:
                self._ledger.vanished(case, reason="pytest no longer finds it")
            self._dispatcher.forget(case)
