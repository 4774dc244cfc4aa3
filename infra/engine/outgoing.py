"""What a campaign says to its fleet: orders to slots, and batches that are to end early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from ..dispatching.batches import Batch, Slot
from ..ledgers.ledger import Ledger
from ..records import WorkerFacts
from ..runners.math_threads import fair_threads
from ..runners.orders import Act, SlotOrder, order_of, session_name
from ..runners.spec import Order
from ..wanted_workers import Mend
from .job import Job

if TYPE_CHECKING:
    from .cluster import Cluster

# How often a batch that was asked to end and goes on is asked again.
INSIST_SECONDS = 0.5
# Sessions that start before anybody knows of work for them, for each core of their machine. The
# others start with their first batch. On two cores `-n 300` had run three cases after 5.2 s with
# four a core and after 3.4 s with two; 64 cases that wait took 7.6 s and 7.5 s with `-n 8`.
WARM_A_CORE = 2


class End(Enum):
    """How a batch was asked to end."""

    AFTER_ITS_CASE = "after its case"
    AT_ONCE = "at once"


class Errand(NamedTuple):
    """Something a slot does beside batches."""

    slot: Slot
    incarnation: str


class Outgoing:
    """Sends orders, and remembers what is still to be answered."""

    def __init__(
        self, job: Job, *, ledger: Ledger, cluster: Cluster, workers: Mapping[str, WorkerFacts]
    ) -> None:
        self._job = job
        # Those that are there, as the campaign knows them now.
        self._workers = workers
        self._ledger = ledger
        self._cluster = cluster
        self._slot_numbers = dict(job.numbers)
        # By worker. Each order asks, and with a thousand workers none may look at all of them.
        self._shares: dict[str, int] = {}
        # Orders that are no batches: sessions to be started or torn down, and whose they are.
        self._errands: dict[str, Errand] = {}
        # Batches asked to end: a word sent before Dask has begun one is lost.
        self._ends: dict[str, End] = {}
        self._ends_due = 0.0

    def order(self, name: str, slot: Slot, act: Act, order: Order | None = None) -> None:
        """Send an order to a slot. Its session has one worker id for the campaign's life."""
        number = self._slot_numbers.setdefault(slot, len(self._slot_numbers))
        if slot.worker not in self._shares:
            self._shares[slot.worker] = self._math_threads(slot.worker)
        runner = replace(
            self._job.runner,
            worker_id=session_name(number),
            math_threads=self._shares[slot.worker],
        )
        told = SlotOrder(
            campaign=self._job.campaign,
            epoch=self._ledger.epoch,
            name=name,
            slot=slot.number,
            act=act,
            runner=runner,
            order=order,
        )
        self._cluster.send(told, slot.worker)

    def fleet_changed(self) -> None:
        """Workers came or went: what is left for each is another share."""
        self._shares.clear()

    def _math_threads(self, worker: str) -> int:
        if self._job.math_threads is not None:
            return self._job.math_threads
        facts = self._workers.get(worker)
        if facts is None:
            # It left just now, and what is sent to it goes back.
            return 0
        # Of a fleet of our own those that are still starting will be beside it.
        coming = self._job.expected if self._job.mend is Mend.OWN else ()
        beside = (
            replace(each, machine=facts.machine, host=facts.host)
            for each in coming
            if each.name not in self._workers
        )
        return fair_threads(facts, (*self._workers.values(), *beside))

    def send(self, batch: Batch, facts: WorkerFacts) -> None:
        """Send a batch to its worker, and write that down first."""
        self._ledger.write(
            "batch",
            batch=batch.id,
            worker=batch.slot.worker,
            slot=batch.slot.number,
            cases=[case.index for case in batch.cases],
            why=batch.why,
        )
        for move in batch.moves:
            self._ledger.write(
                "move",
                batch=batch.id,
                cases=list(move.cases),
                source=move.worker,
                worker=batch.slot.worker,
                why=move.why,
            )
        order = order_of(
            batch,
            timeout_seconds=self._job.timeout_seconds,
            memory_limit_bytes=self._job.memory_limit_bytes or facts.memory_bytes // facts.slots,
        )
        self.order(batch.id, batch.slot, Act.RUN, order)

    # Sessions -------------------------------------------------------------------------------

    def warm(self, facts: WorkerFacts) -> list[Slot]:
        """Start its sessions now: they load pytest and conftests while we look what there is."""
        if not self._job.warm:
            return []
        number = facts.slots
        if facts.machine_cores:
            number = min(number, WARM_A_CORE * facts.machine_cores)
        slots = [Slot(facts.name, each) for each in range(number)]
        for slot in slots:
            name = f"warm-{facts.name}-{facts.incarnation}-{slot.number}"
            self._run_errand(name, slot, facts.incarnation, Act.WARM)
        return slots

    def finish(self, facts: WorkerFacts) -> None:
        """Have its sessions tear down what they keep, and end."""
        for number in range(facts.slots):
            slot = Slot(facts.name, number)
            # Most of hundreds may have had nothing to do; of an earlier life nobody knows here.
            if slot in self._slot_numbers or self._ledger.epoch > 1:
                name = f"finish-{facts.name}-{number}"
                self._run_errand(name, slot, facts.incarnation, Act.FINISH)

    def forget_worker(self, worker: str) -> None:
        """It is gone, and so are its sessions: those that start, and those that end."""
        gone = [name for name, errand in self._errands.items() if errand.slot.worker == worker]
        for name in gone:
            del self._errands[name]

    @property
    def unanswered(self) -> int:
        """How many sessions have not said yet that they started or ended."""
        return len(self._errands)

    def is_errand(self, name: str) -> bool:
        """Whether an order is one of these, and not answered yet."""
        return name in self._errands

    def errand_ended(self, name: str) -> Errand | None:
        """What ended, if it is one of these; it is answered by this."""
        return self._errands.pop(name, None)

    def _run_errand(self, name: str, slot: Slot, incarnation: str, act: Act) -> None:
        self._errands[name] = Errand(slot, incarnation)
        self.order(name, slot, act)

    # Ends -----------------------------------------------------------------------------------

    def end(self, batch: Batch, *, kill: bool) -> None:
        """Have a batch end after its current case, or at once; it is said until it is over."""
        if kill or batch.id not in self._ends:
            self._ends[batch.id] = End.AT_ONCE if kill else End.AFTER_ITS_CASE
        self._cluster.stop(batch.id, batch.slot.worker, kill=kill)

    def insist(self, in_flight: Iterable[Batch], now: float) -> None:
        """Say it again to those that go on."""
        if not self._ends or now < self._ends_due:
            return
        self._ends_due = now + INSIST_SECONDS
        for batch in in_flight:
            if batch.id in self._ends:
                self._cluster.stop(
                    batch.id, batch.slot.worker, kill=self._ends[batch.id] is End.AT_ONCE
                )

    def how_asked_to_end(self, batch: str) -> End | None:
        """How a batch that is over now was asked to end, if it was; it is forgotten by this."""
        return self._ends.pop(batch, None)
