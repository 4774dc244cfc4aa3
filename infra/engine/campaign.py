"""One campaign, from its cases to their attempts in the ledger.

A loop in one thread: hear what the fleet says, tell the dispatcher, do what it decides, write the
ledger. It knows nothing of Prefect and nothing of terminals; a `Watcher` may look on.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..dispatching.batches import Batch, Cancel, Command, Send, Slot, Stop
from ..dispatching.dispatcher import Dispatcher
from ..dispatching.lanes import Lane
from ..dispatching.state import Remaining
from ..errors import InfrastructureProblem, ProctorError, ProjectUnavailable, Unsatisfiable
from ..ledgers.ledger import Ledger
from ..ledgers.lines import CANCELLED
from ..records import Attempt, Case, Outcome, WorkerFacts
from ..resources import check_satisfiable, fits, nearest_miss
from ..runners import shortages
from ..scaling.demand import COLLECTING, Publisher
from .attempts import UNMET, Excuses, attempt_id, attempt_of, lost_attempt, settled_unrun
from .collect import Collection
from .happenings import Draining, Ended, Happening, Joined, Left, Messages
from .job import Job
from .outgoing import End, Outgoing
from .patience import Patience
from .sickbay import Sickbay
from .suite_search import SuiteSearch
from .watcher import Watcher

if TYPE_CHECKING:
    from .cluster import Cluster

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.05
CANCEL_CHECK_SECONDS = 0.25
# Dask may tell of a batch's end before the worker's last message arrives.
STRAGGLING_RECORDS_SECONDS = 5.0
# It also tells of a batch that was lost before it tells of the worker that is gone.
LOSS_SECONDS = 1.0
# Tearing down session fixtures on every slot.
FINISH_SECONDS = 60.0
# Killing what runs: who still says that it works on it after so long cannot.
CANCEL_SECONDS = 60.0
# Batches in a row that a worker could not even begin.
MOST_PROBLEMS = 4
# What an earlier life of the campaign had run, and what of it turned out worse, stays true.
_MEASURED = frozenset({"done", "late"})


class Campaign:
    """Runs one job on one cluster and writes one ledger."""

    def __init__(
        self,
        job: Job,
        *,
        ledger: Ledger,
        cluster: Cluster,
        collection: Collection,
        watcher: Watcher,
    ) -> None:
        self._job = job
        self._ledger = ledger
        self._cluster = cluster
        self._collection = collection
        self._watcher = watcher
        self._dispatcher = Dispatcher(
            rules=job.rules, durations=job.timings.durations(), is_muted=job.is_muted
        )
        self._demand = Publisher(
            job.directory, epoch=ledger.epoch, fleet=cluster.address, clock=time.time
        )
        self._outgoing = Outgoing(job, ledger=ledger, cluster=cluster)
        self._workers: dict[str, WorkerFacts] = {}
        self._draining: set[str] = set()
        self._sickbay = Sickbay(job.directory)
        self._heard: set[str] = set()
        self._attempted: set[str] = set()
        # An earlier process of this campaign had results.
        self._ran_before = False
        self.excuses = Excuses(job.rules.infra_retries)
        self._shortages = shortages.Shortages()
        self._ending: dict[str, tuple[Ended, float]] = {}
        self._started_at: dict[str, float] = {}
        self._patience = Patience(job.campaign, job.is_coming)
        self._problems = 0
        self._cancel_due = 0.0
        self._cancel_until = float("inf")
        self._asked_to_cancel = ""
        self.cancelled_because = ""
        self.deadline_passed = False
        # The most slots that were there at a time: what the makespan is measured against.
        self.slots = 0
        self.search = SuiteSearch(
            job,
            ledger=ledger,
            collection=collection,
            dispatcher=self._dispatcher,
            outgoing=self._outgoing,
            watcher=watcher,
            attempted=self._attempted,
            note=self._note,
        )

    # Filling --------------------------------------------------------------------------------

    def add_known(self, cases: Sequence[Case], past: dict[str, list[Attempt]]) -> None:
        """Cases of a cached inventory, a task list or an interrupted campaign."""
        for attempts in past.values():
            self._heard.update(attempt.id for attempt in attempts)
            self._ran_before |= any(attempt.outcome.is_result for attempt in attempts)
        self._dispatcher.add_cases(cases, time.monotonic(), past=past, first=self._job.first)
        self.search.tell_total()

    # The loop -------------------------------------------------------------------------------

    def run(self) -> None:
        """Until every case is settled, or something says stop."""
        deadline = self._job.deadline_at
        while not self._is_over():
            self._listen()
            now = time.monotonic()
            self._patience.take_turn(now)
            self._cluster.watch_roster(now)
            # Who drains counts as long as it has something of ours to do.
            busy = self._dispatcher.in_flight or self.search.worker
            there = self._workers.values() if busy else self._staying()
            if waiting := self._patience.check_fleet(there, now):
                self._watcher.note(waiting)
            self._look_for_cancel(now)
            self._outgoing.insist(self._dispatcher.in_flight, now)
            self._look_for_silence(now)
            if deadline is not None and now > deadline:
                self.deadline_passed = True
                self.cancel("its deadline passed")
            self.search.begin_if_due(self._staying())
            self._check_waits(now)
            self._mind_the_sick()
            self._settle_ended(now)
            self._try_again(now)
            # After the ends: a slot that is free by now need not wait for the next thing heard.
            self._act(self._dispatcher.decide(now))
            self._demand.refresh(now, self._remaining)
            self._ledger.commit_if_due()
            if self.cancelled_because and now > self._cancel_until:
                self._note("warning", "what runs did not end in time: it is left behind")
                break
        self._stop_collecting()
        self._demand.withdraw()
        self._ledger.commit()

    def ask_to_cancel(self, why: str) -> None:
        """For a signal's handler, which may come between any two lines of the loop."""
        self._asked_to_cancel = why

    def cancel(self, why: str) -> None:
        """Kill what runs and end."""
        if self.cancelled_because:
            return
        self.cancelled_because = why
        self._note("warning", f"{CANCELLED}{why}")
        self._dispatcher.stop(why)
        for batch in self._dispatcher.in_flight:
            self._outgoing.end(batch, kill=True)
        self._cancel_until = time.monotonic() + CANCEL_SECONDS
        self._stop_collecting()
        # Sessions that wait for their project, or set it up.
        self._cluster.let_go(self._ledger.epoch)

    def _stop_collecting(self) -> None:
        """Nobody wants to know any more: what was asked for ends before all was found."""
        if self.search.active:
            self._cluster.stop(self.search.name, self.search.worker, kill=True)
            self.search.end()

    def finish(self) -> None:
        """Tear the warm sessions down; a fixture may still fail there."""
        for facts in self._workers.values():
            self._outgoing.finish(facts)
        end = time.monotonic() + FINISH_SECONDS
        while self._outgoing.unanswered and time.monotonic() < end:
            self._listen()
            self._cluster.watch_roster(time.monotonic())
            self._settle_ended(time.monotonic())
        if self._outgoing.unanswered:
            self._note("warning", f"{self._outgoing.unanswered} sessions did not end in time")
        self._ledger.commit()
        self._cluster.forget_campaign()

    def let_go(self) -> None:
        """The campaign ends with a problem: what it has sent must not run on without it."""
        for batch in self._dispatcher.in_flight:
            self._cluster.stop(batch.id, batch.slot.worker, kill=True)
        self._cluster.let_go(self._ledger.epoch)

    @property
    def stopped_because(self) -> str:
        return self.cancelled_because or self._dispatcher.stopped_because

    # Hearing --------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            happening = self._cluster.happenings.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return
        while True:
            self._take_in(happening)
            try:
                happening = self._cluster.happenings.get_nowait()
            except queue.Empty:
                return

    def _take_in(self, happening: Happening) -> None:
        match happening:
            case Messages(messages=messages):
                self._hear(messages)
            case Joined(facts=facts):
                self._patience.heard(facts.name, time.monotonic())
                self._workers[facts.name] = facts
                self._dispatcher.worker_joined(facts)
                self.slots = max(self.slots, sum(each.slots for each in self._workers.values()))
                self._ledger.worker(facts, event="joined")
                for slot in self._outgoing.warm(facts):
                    self._dispatcher.starting(slot, time.monotonic())
            case Draining(worker=worker, incarnation=incarnation):
                self._let_go(worker, incarnation)
            case Left(worker=worker, incarnation=incarnation, reason=reason):
                self._lose_worker(worker, incarnation, reason)
            case Ended():
                self._end(happening)

    def _hear(self, messages: Sequence[dict[str, Any]]) -> None:
        for message in messages[-1:]:
            self._patience.spoke(message["w"], time.monotonic())
        for message in messages:
            if message["e"] != self._ledger.epoch and message["k"] not in _MEASURED:
                # A worker that nobody reached goes on for an earlier life, whose names are ours.
                continue
            match message["k"]:
                case "done":
                    self._done(message)
                case "start":
                    self._started(message)
                case "end":
                    self._end(Ended(batch=message["b"], result=message["result"]))
                case "files":
                    if self._job.shipment is not None:
                        self._cluster.bring(message["w"], self._ledger.epoch, self._job.shipment)
                case "late":
                    self._late(message)
                case _:
                    self.search.hear(message)
        self.search.hand_over()

    def _end(self, ended: Ended) -> None:
        # Twice for most: by the worker's last message, and by Dask when the task is over.
        known, since = self._ending.get(ended.batch, (ended, time.monotonic()))
        if self._is_awaited(ended.batch):
            self._ending[ended.batch] = (ended if not known.result else known, since)

    def _is_awaited(self, name: str) -> bool:
        wanted = self.search.is_named(name) or self._outgoing.is_errand(name)
        return wanted or self._dispatcher.is_in_flight(name)

    def _started(self, message: dict[str, Any]) -> None:
        case = self._collection.cases.get(message["id"])
        if case is not None:
            self._started_at[f"{message['b']}.{case.id}"] = message["t"]
            self._act(self._dispatcher.started(message["b"], case, time.monotonic()))
            self._watcher.running(case, Slot(message["w"], message["s"]))

    def _done(self, message: dict[str, Any]) -> None:
        self._started_at.pop(f"{message['b']}.{message['id']}", None)
        case = self._collection.cases.get(message["id"])
        if case is None or attempt_id(message) in self._heard:
            return
        attempt, text = attempt_of(message)
        attempt = self.excuses.judge(attempt)
        self._sickbay.evidence.executed(case, attempt)
        self._record(case, self._ledger.attempt(attempt, text))

    def _late(self, message: dict[str, Any]) -> None:
        """A teardown failed after all; of an execution that was given up it is no news."""
        case = self._collection.cases.get(message["id"])
        if case is not None and self._dispatcher.has_result(case):
            self._ledger.amend(
                case=case.id,
                outcome=message["outcome"],
                message=message["message"],
                text=[(section, text) for section, text in message.get("text", ())],
            )

    def _record(self, case: Case, attempt: Attempt) -> None:
        self._heard.add(attempt.id)
        self._attempted.add(case.id)
        self._watcher.attempt(case, attempt)
        self._act(self._dispatcher.finished(case, attempt))

    # Batches --------------------------------------------------------------------------------

    def _act(self, commands: Sequence[Command]) -> None:
        for command in commands:
            batch = command.batch
            match command:
                case Send():
                    # It had nothing to say while it had nothing to do.
                    self._patience.heard(batch.slot.worker, time.monotonic())
                    facts = self._workers[batch.slot.worker]
                    self._sickbay.evidence.sent(batch.id, facts.name, facts.incarnation)
                    self._outgoing.send(batch, facts)
                case Stop():
                    self._outgoing.end(batch, kill=False)
                case Cancel():
                    self._outgoing.end(batch, kill=True)

    def _look_for_silence(self, now: float) -> None:
        """A worker with something to do says so every second: one that does not is taken for lost.

        Its cases run elsewhere. It may come back: then it joins again, and what it says of the
        executions that were given up no longer counts.
        """
        busy = {batch.slot.worker for batch in self._dispatcher.in_flight}
        if self.search.worker:
            busy.add(self.search.worker)
        for name, silence in self._patience.silent(busy, now):
            if name in self._workers:
                self._ledger.worker(self._workers[name], event="suspected", reason="silence")
                self._note("warning", f"worker {name} has said nothing for {silence:.0f} s")
                self._cluster.suspect(name, f"it said nothing for {silence:.0f} s")

    def _settle_ended(self, now: float) -> None:
        """End the flights whose batches are over and whose records are all here."""
        for name, (ended, since) in list(self._ending.items()):
            # Dask told of its end before the worker's own words arrived.
            unsaid = not ended.result and not ended.failure
            if unsaid and now - since < STRAGGLING_RECORDS_SECONDS:
                continue
            # Nor is a worker that took its batch with it to be given the next one.
            present = self._dispatcher.worker_of(name) in self._workers
            if ended.failure and now - since < LOSS_SECONDS and present:
                continue
            del self._ending[name]
            if name == self.search.name:
                self._end_collecting(ended)
            elif errand := self._outgoing.errand_ended(name):
                self._dispatcher.ready(errand.slot, errand.incarnation, now)
                self._judge_end(ended, errand.slot.worker)
            else:
                self._judge_end(ended, self._dispatcher.worker_of(name) or "")
                if ended.result.get("reason") == shortages.REASON:
                    self._keep_empty(name, str(ended.result["why"]), now)
                died = bool(ended.failure or ended.result.get("died"))
                lost = self._dispatcher.batch_ended(name, died=died)
                stopped = self._outgoing.how_asked_to_end(name)
                failed = died or ended.result.get("reason") == "problem"
                self._sickbay.evidence.ended(name, died=failed and stopped is None)
                # Asked to end after its case and dead before that: the case is owed another try.
                if stopped is End.AT_ONCE or (stopped and self.stopped_because):
                    self._lose(lost, "stopped on purpose", outcome=Outcome.CANCELLED)
                else:
                    self._lose(lost, ended.failure or "its batch ended without a word of it")

    def _keep_empty(self, batch: str, why: str, now: float) -> None:
        """Its machine is short of memory: nobody begins anything new there for a while."""
        worker = self._dispatcher.worker_of(batch)
        if worker is None:
            # It died of that meanwhile, and its batches went with it.
            return
        slots, is_news = self._shortages.refused(worker, self._workers, now)
        for slot in slots:
            self._dispatcher.occupy(slot)
        if is_news:
            self._note("warning", f"worker {worker} is given nothing new for now: {why}")

    def _try_again(self, now: float) -> None:
        for slot in self._shortages.over(now):
            if slot != Slot(self.search.worker, 0):
                self._dispatcher.vacate(slot)

    def _judge_end(self, ended: Ended, worker: str) -> None:
        if ended.result.get("reason") != "problem":
            if ended.result:
                self._problems = 0
                self._sickbay.calm()
            return
        problem = _problem_of(ended.result)
        others = [each for each in self._staying() if each.name != worker]
        if isinstance(problem, ProjectUnavailable) and others and worker in self._workers:
            # A machine on which the project cannot be readied is no reason to end where others are.
            if worker not in self._draining:
                self._draining.add(worker)
                self._dispatcher.worker_draining(worker)
                self._note("warning", str(problem))
                self._watcher.note(str(problem))
            return
        self._problems += 1
        self._sickbay.trouble(ended.batch)
        # A missing interpreter is missing everywhere; anything else may be one bad worker. So is
        # whatever a session dies of once others have run: a full disk says nothing in its words.
        works = bool(self._attempted) or self._ran_before
        most = MOST_PROBLEMS * max(1, len(self._workers)) if works else MOST_PROBLEMS
        if not (works or type(problem) is InfrastructureProblem) or self._problems >= most:
            # Better one worker less than no campaign, where it is one that has them all.
            if not (works and self._sickbay.accuse(self._workers, self._draining)):
                raise problem
            self._problems = 0
        self._note("warning", str(problem))

    def _let_go(self, name: str, incarnation: str) -> None:
        """A worker drains: it finishes what it runs, and its part is done."""
        facts = self._workers.get(name)
        if facts is not None and facts.incarnation == incarnation:
            self._draining.add(name)
            self._sickbay.discharge(name)
            self._dispatcher.worker_draining(name)
            self._note("info", f"worker {name} drains: it takes nothing new")

    def _lose_worker(self, name: str, incarnation: str, reason: str) -> None:
        facts = self._workers.get(name)
        if facts is None or facts.incarnation != incarnation:
            return
        del self._workers[name]
        self._sickbay.discharge(name)
        flights = [batch.id for batch in self._dispatcher.in_flight if batch.slot.worker == name]
        left = name in self._draining and not flights
        self._draining.discard(name)
        self._ledger.worker(facts, event="left" if left else "lost", reason=reason)
        lost = self._dispatcher.worker_lost(name)
        self._lose(lost, f"worker {name} died: {reason}")
        for batch in flights:
            self._cluster.drop(batch)
        self._outgoing.forget_worker(name)
        collecting = self.search.name
        if self.search.worker_lost(name):
            self._cluster.drop(collecting)

    def _mind_the_sick(self) -> None:
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

    def _lose(
        self,
        lost: Sequence[tuple[Batch, Case]],
        why: str,
        *,
        outcome: Outcome = Outcome.INFRA_LOST,
    ) -> None:
        now = time.time()
        for batch, case in lost:
            facts = self._workers.get(batch.slot.worker)
            attempt = lost_attempt(
                batch,
                case,
                epoch=self._ledger.epoch,
                incarnation=facts.incarnation if facts else "",
                started=self._started_at.pop(f"{batch.id}.{case.id}", now),
                now=now,
                why=why,
                outcome=outcome,
            )
            if attempt.id not in self._heard:
                self._record(case, self._ledger.attempt(attempt, ()))

    def _staying(self) -> list[WorkerFacts]:
        return [each for each in self._workers.values() if each.name not in self._draining]

    def _end_collecting(self, ended: Ended) -> None:
        if "collected" in ended.result:
            self.search.collected(ended.result)
        elif self.search.active:
            self._judge_end(ended, self.search.worker)
            self.search.failed(ended.failure)

    def _remaining(self) -> list[Remaining]:
        left = self._dispatcher.remaining(time.monotonic())
        return [*left, COLLECTING] if self.search.active else left

    def _is_over(self) -> bool:
        if self.search.active and not self.stopped_because:
            return False
        return self._dispatcher.done and not self._ending

    # Small things ---------------------------------------------------------------------------

    def _check_waits(self, now: float) -> None:
        """Cases that wait for workers who may not come, or for no reason at all."""
        unservable = self._dispatcher.unservable()
        # Those that somebody runs, or could run who is here.
        able = self._dispatcher.unsettled - sum(lane.count for lane in unservable)
        idle = self._workers and not self._dispatcher.in_flight and not self.search.active
        self._patience.check_progress(able if idle else 0, now)
        if self.search.active or self.stopped_because:
            # What is found may still be deselected in the end, and then nobody needs it.
            return
        known = (*self._workers.values(), *self._job.expected)
        unmet = [
            lane for lane in unservable if known and not any(fits(lane.needs, w) for w in known)
        ]
        if unmet and (able or self._attempted or self._ran_before):
            self._leave_out(unmet, known)
        else:
            self._patience.check_needs(unservable, known, now, others=able > 0)

    def _leave_out(self, unmet: Sequence[Lane], known: Sequence[WorkerFacts]) -> None:
        """What nobody can ever run keeps nobody from running the rest."""
        try:
            check_satisfiable({lane.needs: lane.cases() for lane in unmet}, known)
        except Unsatisfiable as why:
            self._note("warning", f"not run: {why}")
        for lane in unmet:
            miss = nearest_miss(lane.needs, known)
            for case in self._dispatcher.leave_out(lane):
                told = settled_unrun(
                    case, Outcome.CANCELLED, miss, batch=UNMET, epoch=self._ledger.epoch
                )
                self._watcher.attempt(case, self._ledger.attempt(told, ()))

    def _look_for_cancel(self, now: float) -> None:
        if self._asked_to_cancel:
            self.cancel(self._asked_to_cancel)
        if now >= self._cancel_due:
            self._cancel_due = now + CANCEL_CHECK_SECONDS
            if (self._job.directory / "cancel").exists():
                self.cancel("someone asked for it")

    def _note(self, level: str, text: str) -> None:
        logger.log(logging.WARNING if level == "warning" else logging.INFO, text)
        self._ledger.write("note", level=level, text=text)
        self._watcher.note(text)


def _problem_of(result: dict[str, Any]) -> ProctorError:
    from .. import errors

    kind = getattr(errors, str(result["problem"]), InfrastructureProblem)
    return kind(result["message"], remedy=result.get("remedy", ""))
