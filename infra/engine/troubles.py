"""Workers that cannot do what is asked: short of memory, without the project, broken, sick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..dispatching.batches import Slot
from ..dispatching.dispatcher import Dispatcher
from ..errors import InfrastructureProblem, ProctorError, ProjectUnavailable
from ..ledgers.ledger import Ledger
from ..records import Requirements, WorkerFacts
from ..resources import fits
from ..runners import shortages
from .executions import Executions
from .happenings import Ended
from .rests import Rests
from .sickbay import Sickbay

# Why batches begin nothing where it is no case's doing.
_HINDRANCES = frozenset({"problem", "draining", shortages.REASON})
# Batches in a row that a worker could not even begin.
MOST_PROBLEMS = 4
# Of one worker, with its rests between them: a minute and a half in which nobody did anything.
MOST_ROUNDS = 8


class Troubles:
    """Keeps slots empty, has workers drained, and ends a campaign that nobody can work on."""

    def __init__(
        self,
        *,
        workers: Mapping[str, WorkerFacts],
        draining: set[str],
        sickbay: Sickbay,
        dispatcher: Dispatcher,
        executions: Executions,
        ledger: Ledger,
        note: Callable[[str, str], None],
    ) -> None:
        self._workers = workers
        self._draining = draining
        self._sickbay = sickbay
        self._dispatcher = dispatcher
        self._executions = executions
        self._ledger = ledger
        self._note = note
        self._shortages = shortages.Shortages()
        self._rests = Rests()
        # By its name, a worker that was drained because the project cannot be readied there.
        self._unready: dict[str, tuple[WorkerFacts, ProjectUnavailable]] = {}
        # Since anything could be begun anywhere: all, and by worker.
        self._problems = 0
        self._rounds: Counter[str] = Counter()

    # Memory ---------------------------------------------------------------------------------

    def keep_empty(self, batch: str, result: Mapping[str, Any], now: float) -> None:
        """Nobody begins anything new for a while where a batch was refused for lack of memory."""
        slot = self._dispatcher.slot_of(batch)
        # It may have died of that meanwhile, and its batches went with it.
        if result.get("reason") != shortages.REASON or slot is None:
            return
        worker = slot.worker
        slots, is_news = self._shortages.refused(worker, self._workers, now)
        for slot in slots:
            self._dispatcher.slots.occupy(slot)
        if is_news:
            why = result["why"]
            self._note("warning", f"worker {worker} is given nothing new for now: {why}")

    def try_again(self, now: float, *, collecting: Slot) -> None:
        """Slots that were kept empty for long enough, but for the one that collects."""
        over = [*self._shortages.over(now), *self._rests.over(now, well=self._well())]
        for slot in over:
            if slot != collecting:
                self._dispatcher.slots.vacate(slot)
        for slot in self._rests.resting:
            if slot.worker in self._workers:
                self._dispatcher.slots.occupy(slot)

    # Problems -------------------------------------------------------------------------------

    def able(self) -> list[WorkerFacts]:
        """Those that stay and are well, or all that stay if none is."""
        well = self._well()
        return [
            each
            for each in self._workers.values()
            if each.name not in self._draining and (not well or each.name in well)
        ]

    def forget_worker(self, name: str) -> None:
        """It is gone."""
        self._rests.forget_worker(name)

    def hindrance(self, needs: Requirements) -> ProjectUnavailable | None:
        """Why the project could not be readied on one that fits, which was drained for it."""
        return next((why for facts, why in self._unready.values() if fits(needs, facts)), None)

    def judge_end(self, ended: Ended, slot: Slot, now: float) -> None:
        """Whether an order came to nothing, and what that means for all that follows."""
        if ended.result.get("reason") != "problem":
            if ended.result:
                self._problems = 0
                self._rounds.clear()
                self._sickbay.calm()
                self._rests.worked(slot)
                # What was wrong there has been mended.
                self._unready.pop(slot.worker, None)
            return
        problem = _problem_of(ended.result)
        worker = self._workers.get(slot.worker)
        others = [name for name in self._workers if name not in {slot.worker, *self._draining}]
        if isinstance(problem, ProjectUnavailable) and others and worker is not None:
            # A machine on which the project cannot be readied is no reason to end where others are.
            if worker.name not in self._draining:
                self._draining.add(worker.name)
                self._dispatcher.worker_draining(worker.name)
                self._unready[worker.name] = (worker, problem)
                self._note("warning", str(problem))
            return
        seconds, is_news = self._rests.failed(slot, now)
        well = self._well()
        # Slots of one worker that fail together say it once.
        self._problems += is_news or not well
        self._rounds[slot.worker] += is_news
        self._sickbay.trouble(ended.batch)
        # What is missing on a machine is missing for all of its workers; anything else may be one
        # bad worker. So is whatever a session dies of once others have run: a full disk says
        # nothing in its words.
        works = self._executions.any_ran
        open_yet = works or type(problem) is InfrastructureProblem or self._elsewhere(worker, well)
        most = MOST_PROBLEMS * (max(1, len(self._workers)) if works or well else 1)
        too_many = self._problems >= most or self._rounds[slot.worker] >= MOST_ROUNDS
        if not open_yet or too_many:
            # Better one worker less than no campaign, where it is one that has them all.
            if not (works and self._sickbay.accuse(self._workers, self._draining)):
                raise problem
            self._problems = 0
            self._rounds.clear()
        if not well:
            self._note("warning", str(problem))
        elif is_news:
            self._note(
                "warning", f"{problem}; worker {slot.worker} is left alone for {seconds:g} s"
            )

    def _well(self) -> set[str]:
        """Workers that stay, and on which no session has failed to start of late."""
        return self._workers.keys() - self._rests.failing - self._draining

    def _elsewhere(self, worker: WorkerFacts | None, well: Iterable[str]) -> bool:
        """Whether one that is well is on another machine, where more may be installed."""
        place = worker.place if worker is not None else ""
        return any(not place or self._workers[name].place != place for name in well)

    # Sickness -------------------------------------------------------------------------------

    def mind_the_sick(self) -> None:
        """Send nothing more to a worker that fails what passes elsewhere, if others are there."""
        for facts, found in self._sickbay.found(self._workers, self._draining):
            self._draining.add(facts.name)
            self._dispatcher.worker_draining(facts.name)
            self._ledger.worker(facts, event="sick", reason=found.reason)
            self._note("warning", f"worker {facts.name} is sick and drained: {found.reason}")
        for facts in self._sickbay.needed(self._workers, self._draining):
            # It joins the dispatcher anew, which must not happen under a batch.
            if not any(each.slot.worker == facts.name for each in self._dispatcher.in_flight):
                self._sickbay.discharge(facts.name)
                self._draining.discard(facts.name)
                self._dispatcher.worker_joined(facts)
                self._note("warning", f"worker {facts.name} is sick and the last: used again")


def is_hindered(result: Mapping[str, Any]) -> bool:
    """Whether a batch was kept from running, and is to be sent again whatever it takes."""
    # A session that is replaced begins with what this batch was to run.
    return bool(result.get("cold")) or result.get("reason") in _HINDRANCES


def _problem_of(result: Mapping[str, Any]) -> ProctorError:
    from .. import errors

    kind = getattr(errors, str(result["problem"]), InfrastructureProblem)
    return kind(result["message"], remedy=result.get("remedy", ""))
