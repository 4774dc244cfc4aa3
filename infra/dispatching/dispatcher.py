"""The dispatcher: which cases go to which slot, and when. A pure state machine.

Facts come in (cases, workers, what started, what finished), commands come out; it never sleeps,
opens nothing and is told the time. The campaign's shell performs the commands with Dask, the
simulator on a virtual clock.

At most one batch is in flight per slot: Dask blames every task assigned to a dying worker, so
with everything submitted at once one segfault failed 33 to 36 of 100 innocent cases.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from ..records import Attempt, Case, Outcome, Requirements, WorkerFacts
from .balance import Balance
from .batches import Batch, Cancel, Command, Rules, Send, Slot, Stop
from .choosing import ByWork, Chooser
from .durations import Durations
from .filling import Filling
from .lanes import Lane
from .loading import Loading
from .slots import Slots
from .state import Flight, Machines, Remaining, Taken, WorkerState
from .stragglers import Stragglers, Stuck
from .tallies import Tallies
from .urgent import Urgent
from .whole_files import WholeFiles
from .work_left import work_left

NOTHING: Mapping[str, Sequence[Attempt]] = MappingProxyType({})
# No results. A batch that is ended for one case may have begun the next by then: that is cancelled.
_OWED = frozenset({Outcome.INFRA_LOST, Outcome.CANCELLED})


class Dispatcher:
    """Decides what runs where; see the module's docstring."""

    def __init__(
        self,
        *,
        rules: Rules,
        durations: Durations,
        is_muted: Callable[[str], bool] = lambda case: False,
    ) -> None:
        """`is_muted` says of a case whether its failures count for nothing."""
        self.rules = rules
        self.durations = durations
        self.stopped_because = ""
        self._lanes: dict[Requirements, Lane] = {}
        self._workers: dict[str, WorkerState] = {}
        self._machines = Machines()
        self._joined = 0
        self._flights: dict[str, Flight] = {}
        # How each case has fared.
        self.tallies = Tallies(rules, is_muted)
        self._batches = 0
        self._taken = Taken()
        self._balance = Balance(self._workers, durations)
        self._chooser: Chooser = (
            ByWork(self._workers, durations, self._balance)
            if rules.split_files
            else WholeFiles(self._workers)
        )
        self._stragglers = Stragglers(self._flights, self.tallies, durations, self._balance)
        self._urgent = Urgent(self._workers, durations)
        self.loading = Loading(rules, durations)
        self._filling = Filling(
            self._workers,
            self._lanes,
            balance=self._balance,
            chooser=self._chooser,
            urgent=self._urgent,
            loading=self.loading,
        )
        # What becomes of slots and their sessions beside batches.
        self.slots = Slots(self._workers, filling=self._filling, urgent=self._urgent)

    # Facts ----------------------------------------------------------------------------------

    def add_cases(
        self,
        cases: Iterable[Case],
        now: float,
        *,
        past: Mapping[str, Sequence[Attempt]] = NOTHING,
        first: Container[str] = frozenset(),
    ) -> None:
        """New cases to run, in collection order.

        `past` holds attempts of an interrupted campaign, `first` the ids that go before all others.
        """
        self.loading.found(now)
        by_lane: dict[Requirements, list[Case]] = {}
        for case in cases:
            tally = self.tallies.begin(case, past.get(case.id, ()))
            if tally.settled:
                continue
            if case.id in first or tally.failures or tally.losses:
                self._lane(case.needs, now).add_solo(case)
            else:
                by_lane.setdefault(case.needs, []).append(case)
        for needs, lane_cases in by_lane.items():
            self._lane(needs, now).add(lane_cases)
        # An interrupted campaign may have had as many failures as it is to have.
        self._stop_if_enough()

    def worker_joined(self, facts: WorkerFacts) -> None:
        self._workers[facts.name] = WorkerState(
            facts=facts,
            free_cpu=facts.cpu,
            free_memory=facts.memory_bytes,
            free_gpu=facts.gpu,
            machine=self._machines.of(facts),
            joined=self._joined,
        )
        self._joined += 1
        self._filling.freed(self._workers[facts.name])
        self.durations.meet(facts)
        self._chooser.fleet_changed()

    def worker_draining(self, name: str) -> None:
        """Send it nothing more; what it runs may finish."""
        if name in self._workers:
            self._workers[name].draining = True

    def worker_lost(self, name: str) -> list[tuple[Batch, Case]]:
        """Forget a worker. Returns the cases it was running: each lost one execution."""
        worker = self._workers.pop(name, None)
        if worker is None:
            return []
        lost: list[tuple[Batch, Case]] = []
        for flight in list(worker.flights.values()):
            case = self._end_flight(flight, worker)
            if case is not None:
                lost.append((flight.batch, case))
        # Though its flights have just left its slots.
        self._filling.gone(name)
        self._chooser.fleet_changed()
        return lost

    def started(self, batch_id: str, case: Case, now: float) -> list[Command]:
        """A worker has begun a case; says so if nobody needs that any more."""
        flight = self._flights.get(batch_id)
        if flight is None or case.index not in flight.open:
            return []
        flight.running, flight.running_since = case.index, now
        self.slots.works(flight.batch.slot)
        # Another's late word had settled it before this worker heard that it need not begin.
        return [Cancel(batch=flight.batch)] if self.tallies.is_settled(case) else []

    def finished(self, case: Case, attempt: Attempt) -> list[Command]:
        """Take in an attempt; says which other executions of the case no longer matter."""
        flight = self._flights.get(attempt.batch)
        held = flight is not None and flight.open.pop(case.index, None) is not None
        if flight is not None and flight.running == case.index:
            flight.running = None
        if attempt.outcome.is_result:
            usage = attempt.usage
            self.durations.learn(
                case,
                max(0.0, usage.wall_seconds - usage.shared_setup_seconds),
                worker=flight.batch.slot.worker if flight is not None else attempt.worker,
            )
        if self.tallies.is_settled(case):
            self.tallies.settle_unrun(case, attempt.outcome)
            return []
        if not held:
            # Its batch was given up, or had it taken away, and the case waits again: what its
            # worker says of it arrived late. Now nobody has to run it, or it runs as a retry.
            self._unqueue(case)
        commands: list[Command] = []
        if self.tallies.count(case, attempt.outcome):
            twins = self._stragglers.others(case, attempt.batch)
            commands.extend(Cancel(batch=flight.batch) for flight in twins)
            if not held:
                commands.extend(self._spare(case))
        elif attempt.outcome.is_failure or attempt.outcome in _OWED:
            self._again(case)
            if attempt.outcome is Outcome.INFRA_LOST:
                self._lanes[case.needs].put_first(case)
                self._urgent.add(case)
        commands.extend(self._stop_if_enough())
        return commands

    def sent_in_vain(self, batch_id: str) -> None:
        """A batch ends, and nobody kept it from running: none of its cases may be told.

        Whatever is behind that, they are not sent for ever: in the end the first is taken for lost.
        """
        flight = self._flights.get(batch_id)
        if flight is None or flight.running is not None:
            return
        first, *_ = cases = flight.batch.cases
        if len(flight.open) == len(cases) and self.tallies.sent_in_vain(first):
            flight.running = first.index

    def batch_ended(self, batch_id: str, *, died: bool = False) -> list[tuple[Batch, Case]]:
        """A batch is over; what it did not reach goes back to the front of the queue.

        `died` says that the slot's session went with it, so that the next one starts cold. Returns
        a case that had started and never finished, if there is one: its execution is lost.
        """
        flight = self._flights.get(batch_id)
        if flight is None:
            return []
        slot = flight.batch.slot
        worker = self._workers.get(slot.worker)
        if died:
            self.slots.died(slot)
        if worker is not None:
            self.loading.batch_ended(flight, worker, died=died)
        case = self._end_flight(flight, worker)
        return [] if case is None else [(flight.batch, case)]

    def forget(self, case: Case) -> None:
        """The case turned out not to exist: it will not be run again."""
        self._withdraw(case)
        self.tallies.forget(case)

    def settle_unrun(self, case: Case, outcome: Outcome) -> None:
        """It came to that though nobody has run it, and nobody is to do so any more."""
        if self.tallies.is_open(case):
            self._withdraw(case)
        self.tallies.settle_unrun(case, outcome)

    def leave_out(self, lane: Lane) -> list[Case]:
        """Nobody will ever run what waits there; returns it."""
        cases = list(lane.cases())
        for case in cases:
            self._withdraw(case)
            self.tallies.leave_out(case)
        return cases

    def stop(self, why: str) -> list[Command]:
        """Send nothing more and end what runs after the current case."""
        if self.stopped_because:
            return []
        self.stopped_because = why
        return [self._stop(flight) for flight in self._flights.values() if not flight.stopping]

    # Questions ------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether nothing is left to send or to wait for."""
        if self._flights:
            return False
        return bool(self.stopped_because) or self.tallies.unsettled == 0

    @property
    def in_flight(self) -> tuple[Batch, ...]:
        return tuple(flight.batch for flight in self._flights.values())

    def is_in_flight(self, batch_id: str) -> bool:
        return batch_id in self._flights

    def slot_of(self, batch_id: str) -> Slot | None:
        """Who has a batch that is in flight."""
        flight = self._flights.get(batch_id)
        return None if flight is None else flight.batch.slot

    def waiting_work(self) -> float:
        """Predicted seconds of everything that waits."""
        return sum(lane.work for lane in self._lanes.values()) * self.durations.pace.of_all

    def remaining(self, now: float) -> list[Remaining]:
        """What is left to do, by what it needs of a worker."""
        lanes = {} if self.stopped_because else self._lanes
        return work_left(lanes, self._flights.values(), self.durations, now)

    def unservable(self) -> list[Lane]:
        """The lanes of cases that no worker here could run, however long they wait."""
        return [
            lane
            for needs, lane in self._lanes.items()
            if lane
            and not any(
                worker.can_ever(needs) and not worker.draining for worker in self._workers.values()
            )
        ]

    # Decisions ------------------------------------------------------------------------------

    def decide(self, now: float) -> list[Command]:
        """What to do now: fill free slots, then help stragglers from idle ones."""
        if self.stopped_because:
            return []
        commands: list[Command] = []
        self._balance.look(now)
        self._filling.hold_for_aged_lanes(now)
        self._balance.forget_waits()
        if any(self._lanes.values()) and not self.loading.holds(now):
            for found in self._filling.fill(now):
                moves = self._taken.moves(found.choice.cases)
                batch = found.batch(self._next_id(), moves)
                commands.append(self._send(batch, found.worker, found.lane.needs, now))
        # A file that stays whole is not left in its middle: its fixtures would be taken down.
        if self.rules.split_files:
            if self._urgent:
                commands.extend(map(self._stop, self._urgent.to_end(self._lanes.values(), now)))
            commands.extend(self._help_stragglers(now, hedge=not any(self._lanes.values())))
        return commands

    def _next_id(self) -> str:
        self._batches += 1
        return f"b{self._batches}"

    # Stragglers -----------------------------------------------------------------------------

    def _help_stragglers(self, now: float, *, hedge: bool) -> Iterator[Command]:
        idle = self._filling.idle()
        if not idle:
            return
        for found in self._stragglers.look(idle, now, hedge=hedge and self.rules.hedge):
            if isinstance(found, Stuck):
                yield self._take_back(found)
            else:
                lane = self._lanes[found.case.needs]
                files = self.loading.files(lane, found.slot, found.worker)
                batch = found.batch(self._next_id(), files)
                self._stragglers.sent(found, batch)
                yield self._send(batch, found.worker, found.case.needs, now)

    def _take_back(self, stuck: Stuck) -> Stop:
        for case in stuck.cases:
            del stuck.flight.open[case.index]
        self._taken.note(stuck.cases, stuck.flight.batch, stuck.why)
        self._lanes[stuck.cases[0].needs].give_back(stuck.cases)
        return self._stop(stuck.flight)

    def _spare(self, case: Case) -> Iterator[Command]:
        """End the batches that hold a case of which another has just told, after all."""
        for flight in self._flights.values():
            if case.index not in flight.open:
                continue
            if flight.running == case.index:
                yield Cancel(batch=flight.batch)
            elif not flight.stopping:
                yield self._stop(flight)

    # Bookkeeping ----------------------------------------------------------------------------

    def _lane(self, needs: Requirements, now: float) -> Lane:
        lane = self._lanes.get(needs)
        if lane is None:
            lane = self._lanes[needs] = Lane(needs, self.durations)
        if not lane:
            lane.served_at = now
        return lane

    def _send(self, batch: Batch, worker: WorkerState, needs: Requirements, now: float) -> Send:
        worker.reserve(needs, 1)
        flight = Flight(batch=batch, sent_at=now, open={case.index: case for case in batch.cases})
        worker.flights[batch.slot.number] = flight
        loaded = worker.loaded.setdefault(batch.slot.number, set())
        loaded.update(batch.files.ahead, (case.group for case in batch.cases))
        self._flights[batch.id] = flight
        return Send(batch=batch)

    def _stop(self, flight: Flight) -> Stop:
        flight.stopping = True
        return Stop(batch=flight.batch)

    def _end_flight(self, flight: Flight, worker: WorkerState | None) -> Case | None:
        del self._flights[flight.batch.id]
        if worker is not None:
            del worker.flights[flight.batch.slot.number]
            self._filling.freed(worker)
            worker.reserve(flight.batch.cases[0].needs, -1)
        running = flight.open.pop(flight.running, None) if flight.running is not None else None
        back = [case for case in flight.open.values() if not self.tallies.is_settled(case)]
        if flight.batch.hedge:
            # The first execution may be over without a result, and this was to be the next try.
            for case in back:
                self._again(case)
        elif back:
            self._lanes[back[0].needs].give_back(back)
        return running

    def _stop_if_enough(self) -> list[Command]:
        if not self.tallies.are_enough:
            return []
        failed, most = self.tallies.failed_cases, self.rules.maxfail
        asked = "-x" if most == 1 else f"--maxfail {most}"
        return self.stop(f"stopped after {failed} failed case{'s' * (failed > 1)} ({asked})")

    def _withdraw(self, case: Case) -> None:
        """It is sent nowhere any more, and nobody is waited for to end it."""
        for flight in self._flights.values():
            flight.open.pop(case.index, None)
            if flight.running == case.index:
                flight.running = None
        self._unqueue(case)

    def _unqueue(self, case: Case) -> None:
        """Take a case out of where it waits, if it does; of settled ones no lane may be there."""
        lane = self._lanes.get(case.needs)
        if lane is not None:
            lane.discard(case)

    def _again(self, case: Case) -> None:
        # A hedged case that fails may still be running beside: its twin is the second try.
        if any(case.index in flight.open for flight in self._flights.values()):
            return
        self._lanes[case.needs].add_solo(case)
