"""One campaign, from its cases to their attempts in the ledger.

A loop in one thread: hear what the fleet says, tell the dispatcher, do what it decides, write the
ledger. It knows nothing of Prefect and nothing of terminals; a `Watcher` may look on.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..dispatching.batches import Batch, Cancel, Command, Send, Slot, Stop
from ..dispatching.dispatcher import Dispatcher
from ..dispatching.state import Remaining
from ..ledgers.ledger import Ledger
from ..records import Attempt, Case, Outcome, WorkerFacts
from ..scaling.demand import COLLECTING, Publisher, Reached
from .attempts import Excuses
from .cancelling import Cancelling
from .collect import Collection
from .ends import Ends
from .executions import Executions
from .finishes import Finishes
from .happenings import Draining, Ended, Happening, Joined, Left, Messages
from .job import Job
from .outgoing import End, Outgoing
from .sickbay import Sickbay
from .suite_search import SuiteSearch
from .troubles import Troubles, is_hindered
from .waits import Waits
from .watcher import Watcher

if TYPE_CHECKING:
    from .cluster import Cluster

TICK_SECONDS = 0.05
# Where more is said than can be taken in, commits, cancels and free slots have their turn as well.
LISTEN_SECONDS = 0.2
# Tearing down session fixtures on every slot.
FINISH_SECONDS = 60.0
# Of a batch that went with its worker.
_NOBODYS = Slot("", 0)
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
        self._workers: dict[str, WorkerFacts] = {}
        # Those whose sessions are to be started.
        self._newcomers: list[WorkerFacts] = []
        self._outgoing = Outgoing(job, ledger=ledger, cluster=cluster, workers=self._workers)
        self._draining: set[str] = set()
        self._sickbay = Sickbay(job.directory)
        self.excuses = Excuses(job.rules.infra_retries)
        self._executions = Executions(
            ledger=ledger,
            collection=collection,
            dispatcher=self._dispatcher,
            watcher=watcher,
            excuses=self.excuses,
            evidence=self._sickbay.evidence,
        )
        self._ends = Ends()
        self.finishes = Finishes()
        # The most slots that were there at a time: what the makespan is measured against.
        self.slots = 0
        self.search = SuiteSearch(
            job,
            ledger=ledger,
            collection=collection,
            dispatcher=self._dispatcher,
            outgoing=self._outgoing,
            watcher=watcher,
            attempted=self._executions.attempted,
            note=self._note,
        )
        self.cancelling = Cancelling(
            job,
            epoch=ledger.epoch,
            dispatcher=self._dispatcher,
            outgoing=self._outgoing,
            search=self.search,
            cluster=cluster,
            note=self._note,
        )
        self._troubles = Troubles(
            workers=self._workers,
            draining=self._draining,
            sickbay=self._sickbay,
            dispatcher=self._dispatcher,
            executions=self._executions,
            ledger=ledger,
            note=self._note,
        )
        self._waits = Waits(
            job,
            workers=self._workers,
            draining=self._draining,
            dispatcher=self._dispatcher,
            executions=self._executions,
            search=self.search,
            ledger=ledger,
            cluster=cluster,
            watcher=watcher,
            note=self._note,
            hindrance=self._troubles.hindrance,
        )

    # Filling --------------------------------------------------------------------------------

    def add_known(self, cases: Sequence[Case], past: dict[str, list[Attempt]]) -> None:
        """Cases of a cached inventory, a task list or an interrupted campaign."""
        self._executions.remember(past)
        self._dispatcher.loading.whole_suite_is_known = True
        self._dispatcher.add_cases(cases, time.monotonic(), past=past, first=self._job.first)
        self.search.tell_total()

    # The loop -------------------------------------------------------------------------------

    def run(self) -> None:
        """Until every case is settled, or something says stop."""
        while not self._is_over():
            self._listen()
            now = time.monotonic()
            self._waits.take_turn(now)
            self._cluster.watch_roster(now)
            self._waits.check_fleet(now)
            self.cancelling.look(now)
            self._outgoing.insist(self._dispatcher.in_flight, now)
            self._waits.look_for_silence(now)
            self.search.begin_if_due(self._troubles.able())
            self._waits.check_cases(now)
            self._troubles.mind_the_sick()
            self._settle_ended(now)
            self._troubles.try_again(now, collecting=Slot(self.search.worker, 0))
            # After the ends: a slot that is free by now need not wait for the next thing heard.
            if not self.search.holds:
                self._act(self._dispatcher.decide(now))
            self._demand.refresh(now, self._remaining, self._reached)
            self._ledger.commit_if_due()
            if self.cancelling.leaves_behind(now):
                self._note("warning", "what runs did not end in time: it is left behind")
                break
        self._tell_if_stopped()
        self.cancelling.stop_collecting()
        self._ledger.commit()
        # Whoever scales finds it out of date by itself, if the disk takes nothing by now.
        with suppress(OSError):
            self._demand.withdraw()

    def _tell_if_stopped(self) -> None:
        """That -x or --maxfail left something aside; cases may not even have been found."""
        tallies = self._dispatcher.tallies
        left = tallies.unsettled or self.search.active
        if left and tallies.are_enough and not self.cancelling.because:
            self._note("warning", f"the campaign {self._dispatcher.stopped_because}")

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
        return self.cancelling.because or self._dispatcher.stopped_because

    @property
    def failed_cases(self) -> int:
        """How many are settled so, but for muted ones."""
        return self._dispatcher.tallies.failed_cases

    # Hearing --------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            happening = self._cluster.happenings.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return
        until = time.monotonic() + LISTEN_SECONDS
        self._take_in(happening)
        with suppress(queue.Empty):
            while time.monotonic() <= until:
                self._take_in(self._cluster.happenings.get_nowait())
        self._warm_newcomers()

    def _warm_newcomers(self) -> None:
        """Start their sessions, once all are known: those of one machine share its cores."""
        newcomers, self._newcomers = self._newcomers, []
        for facts in newcomers:
            is_there = self._workers.get(facts.name) is facts
            if is_there and (self.search.active or not self._dispatcher.done):
                for slot in self._outgoing.warm(facts):
                    self._dispatcher.slots.starting(slot, time.monotonic())

    def _take_in(self, happening: Happening) -> None:
        match happening:
            case Messages(messages=messages):
                self._hear(messages)
            case Joined(facts=facts):
                self._waits.heard(facts.name)
                self._workers[facts.name] = facts
                self._outgoing.fleet_changed()
                self._dispatcher.worker_joined(facts)
                self.slots = max(self.slots, sum(each.slots for each in self._workers.values()))
                self._ledger.worker(facts, event="joined")
                self._newcomers.append(facts)
            case Draining(worker=worker, incarnation=incarnation):
                self._let_go(worker, incarnation)
            case Left(worker=worker, incarnation=incarnation, reason=reason):
                self._lose_worker(worker, incarnation, reason)
            case Ended():
                self._end(happening)

    def _hear(self, messages: Sequence[dict[str, Any]]) -> None:
        for message in messages[-1:]:
            self._waits.spoke(message["w"])
        for message in messages:
            if message["e"] != self._ledger.epoch and message["k"] not in _MEASURED:
                # A worker that nobody reached goes on for an earlier life, whose names are ours.
                continue
            match message["k"]:
                case "done":
                    if not self.search.puts_aside(message):
                        self._act(self._executions.done(message))
                case "start":
                    self._act(self._executions.started(message))
                case "end":
                    self._end(Ended(batch=message["b"], result=message["result"]))
                case "files":
                    if self._job.shipment is not None:
                        self._cluster.bring(message["w"], self._ledger.epoch, self._job.shipment)
                case "late":
                    self._executions.late(message)
                case "finished":
                    self.finishes.hear(message)
                case "overstayed":
                    if told := self.finishes.overstayed(message):
                        self._note("warning", told)
                case _:
                    self.search.hear(message)
        self.search.hand_over()

    def _end(self, ended: Ended) -> None:
        name = ended.batch
        wanted = self.search.is_named(name) or self._outgoing.is_errand(name)
        if wanted or self._dispatcher.is_in_flight(name):
            self._ends.hear(ended, time.monotonic())

    def _is_present(self, batch: str) -> bool:
        slot = self._dispatcher.slot_of(batch)
        return slot is not None and slot.worker in self._workers

    # Batches --------------------------------------------------------------------------------

    def _act(self, commands: Sequence[Command]) -> None:
        for command in commands:
            batch = command.batch
            match command:
                case Send():
                    # It had nothing to say while it had nothing to do.
                    self._waits.heard(batch.slot.worker)
                    facts = self._workers[batch.slot.worker]
                    self._sickbay.evidence.sent(batch.id, facts.name, facts.incarnation)
                    self._outgoing.send(batch, facts)
                case Stop():
                    self._outgoing.end(batch, kill=False)
                case Cancel():
                    self._outgoing.end(batch, kill=True)

    def _settle_ended(self, now: float) -> None:
        """End the flights whose batches are over and whose records are all here."""
        for ended in self._ends.due(now, is_present=self._is_present):
            name = ended.batch
            slot = self._dispatcher.slot_of(name) or _NOBODYS
            if name == self.search.name:
                self._end_collecting(ended)
            elif errand := self._outgoing.errand_ended(name):
                self._dispatcher.slots.ready(errand.slot, errand.incarnation, now)
                self._troubles.judge_end(ended, errand.slot, now)
            else:
                self._troubles.judge_end(ended, slot, now)
                self._troubles.keep_empty(name, ended.result, now)
                stopped = self._outgoing.how_asked_to_end(name)
                if stopped is None and not is_hindered(ended.result):
                    self._dispatcher.sent_in_vain(name)
                died = bool(ended.failure or ended.result.get("died"))
                cold = died or bool(ended.result.get("cold"))
                lost = self._dispatcher.batch_ended(name, died=cold)
                failed = died or ended.result.get("reason") == "problem"
                self._sickbay.evidence.ended(name, died=failed and stopped is None)
                # Asked to end after its case and dead before that: the case is owed another try.
                if stopped is End.AT_ONCE or (stopped and self.stopped_because):
                    self._lose(lost, "stopped on purpose", outcome=Outcome.CANCELLED)
                else:
                    self._lose(lost, ended.failure or "its batch ended without a word of it")

    def _let_go(self, name: str, incarnation: str) -> None:
        """A worker drains: it finishes what it runs, and its part is done."""
        facts = self._workers.get(name)
        if facts is not None and facts.incarnation == incarnation:
            if name not in self._draining:
                self._note("info", f"worker {name} drains: it takes nothing new")
            self._draining.add(name)
            self._sickbay.discharge(name)
            self._dispatcher.worker_draining(name)

    def _lose_worker(self, name: str, incarnation: str, reason: str) -> None:
        facts = self._workers.get(name)
        if facts is None or facts.incarnation != incarnation:
            return
        del self._workers[name]
        self._outgoing.fleet_changed()
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
        self._troubles.forget_worker(name)
        collecting = self.search.name
        if self.search.worker_lost(name):
            self._cluster.drop(collecting)

    def _lose(
        self,
        lost: Sequence[tuple[Batch, Case]],
        why: str,
        *,
        outcome: Outcome = Outcome.INFRA_LOST,
    ) -> None:
        self._act(self._executions.lost(lost, self._workers, why, outcome=outcome))

    def _end_collecting(self, ended: Ended) -> None:
        if "collected" in ended.result:
            self.search.collected(ended.result)
            for done in self.search.taken_up():
                self._act(self._executions.done(done))
            self.search.tell_total()
        elif self.search.active:
            facts = self._workers.get(self.search.worker)
            self._troubles.judge_end(ended, Slot(self.search.worker, 0), time.monotonic())
            if ended.result.get("reason") != "draining":
                self.search.failed(ended.failure)
                return
            if facts is not None:
                # Who has just come hears of it by a heartbeat otherwise, and would ask it again.
                self._let_go(facts.name, facts.incarnation)
            self.search.given_back()

    def _remaining(self) -> list[Remaining]:
        left = self._dispatcher.remaining(time.monotonic())
        return [*left, COLLECTING] if self.search.active else left

    def _reached(self) -> Reached:
        tallies = self._dispatcher.tallies
        return Reached(
            phase="collect" if self.search.active else "run",
            total=tallies.total,
            counts=dict(tallies.counts),
            slots=self.slots,
        )

    def _is_over(self) -> bool:
        if self.search.active and not self.stopped_because:
            return False
        return self._dispatcher.done and not self._ends

    # Small things ---------------------------------------------------------------------------

    def _note(self, level: str, text: str) -> None:
        self._ledger.write("note", level=level, text=text)
        self._watcher.note(text)
