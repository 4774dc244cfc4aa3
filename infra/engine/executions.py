"""What came of executions, as workers tell it or as it is known of those that were lost.

Each goes into the ledger once, to who looks on, and to the dispatcher.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..dispatching.batches import Batch, Command, Slot
from ..dispatching.dispatcher import Dispatcher
from ..ledgers.ledger import Ledger
from ..records import Attempt, Case, Outcome, WorkerFacts
from .attempts import Excuses, attempt_id, attempt_of, lost_attempt, surplus
from .collect import Collection
from .sick_workers import SickWorkers
from .watcher import Watcher


class Executions:
    """Takes in what is said of them; what follows for batches is handed back."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        collection: Collection,
        dispatcher: Dispatcher,
        watcher: Watcher,
        excuses: Excuses,
        evidence: SickWorkers,
    ) -> None:
        self._ledger = ledger
        self._collection = collection
        self._dispatcher = dispatcher
        self._watcher = watcher
        self._excuses = excuses
        self._evidence = evidence
        self._heard: set[str] = set()
        # Cases that this process has seen executed.
        self.attempted: set[str] = set()
        # An earlier process of this campaign had results.
        self._ran_before = False
        self._started_at: dict[str, float] = {}

    def remember(self, past: Mapping[str, Sequence[Attempt]]) -> None:
        """Take in what an interrupted campaign had heard of."""
        for attempts in past.values():
            self._heard.update(attempt.id for attempt in attempts)
            self._ran_before |= any(attempt.outcome.is_result for attempt in attempts)

    @property
    def any_ran(self) -> bool:
        """Whether anything could be executed so far."""
        return bool(self.attempted) or self._ran_before

    def started(self, message: Mapping[str, Any]) -> list[Command]:
        """A worker begins a case."""
        case = self._collection.cases.get(message["id"])
        if case is None:
            return []
        self._started_at[f"{message['b']}.{case.id}"] = message["t"]
        commands = self._dispatcher.started(message["b"], case, time.monotonic())
        self._watcher.running(case, Slot(message["w"], message["s"]))
        return commands

    def done(self, message: Mapping[str, Any]) -> list[Command]:
        """It has executed it."""
        self._started_at.pop(f"{message['b']}.{message['id']}", None)
        case = self._collection.cases.get(message["id"])
        if case is None or attempt_id(message) in self._heard:
            return []
        attempt, text = attempt_of(message)
        attempt = self._excuses.judge(attempt)
        self._evidence.executed(case, attempt)
        if self._dispatcher.tallies.is_settled(case) and self._dispatcher.tallies.has_result(case):
            attempt = surplus(attempt)
        return self._record(case, self._ledger.attempt(attempt, text))

    def late(self, message: Mapping[str, Any]) -> None:
        """A teardown failed after all; of an execution that was given up it is no news."""
        case = self._collection.cases.get(message["id"])
        if case is not None and self._dispatcher.tallies.has_result(case):
            self._ledger.amend(
                case=case.id,
                outcome=message["outcome"],
                message=message["message"],
                text=[(section, text) for section, text in message.get("text", ())],
            )

    def lost(
        self,
        lost: Sequence[tuple[Batch, Case]],
        workers: Mapping[str, WorkerFacts],
        why: str,
        *,
        outcome: Outcome = Outcome.INFRA_LOST,
    ) -> list[Command]:
        """They were under way, and nobody will tell what came of them."""
        now = time.time()
        commands: list[Command] = []
        for batch, case in lost:
            facts = workers.get(batch.slot.worker)
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
                commands += self._record(case, self._ledger.attempt(attempt, ()))
        return commands

    def _record(self, case: Case, attempt: Attempt) -> list[Command]:
        self._heard.add(attempt.id)
        self.attempted.add(case.id)
        self._watcher.attempt(case, attempt)
        return self._dispatcher.finished(case, attempt)
