"""What bugs in the dispatcher do: each makes, of a method, one that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from proctor.infra.records import Outcome
from proctor.infra.runners.orders import Act


def often(each: int) -> Callable[[], bool]:
    """True every so many calls, counted anew for each mutant's block."""
    state = {"calls": 0}

    def now() -> bool:
        state["calls"] += 1
        return state["calls"] % each == 0

    return now


# The dispatcher ---------------------------------------------------------------------------------


def forgets_some(old: Any) -> Any:
    def add(self: Any, cases: Any) -> None:
        old(self, [case for case in cases if case.index % 11 != 7])

    return add


def drops_what_comes_back(old: Any) -> Any:
    def give_back(self: Any, cases: Any) -> None:
        old(self, list(cases)[1:])

    return give_back


def keeps_what_it_takes(old: Any) -> Any:
    def take(self: Any, group: Any, waiting: Any, seconds: float) -> Any:
        taken = old(self, group, waiting, seconds)
        if now():
            self.give_back(taken[-1:])
        return taken

    now = often(5)
    return take


def returns_settled(old: Any) -> Any:
    def end(self: Any, flight: Any, worker: Any) -> Any:
        case = old(self, flight, worker)
        self._lanes[flight.batch.cases[0].needs].give_back(flight.batch.cases[:1])
        return case

    return end


def ignores(old: Any) -> Any:
    return lambda *arguments, **named: None


def never_again(old: Any) -> Any:
    def again(self: Any, case: Any) -> None:
        self.tallies.leave_out(case)

    return again


def again_twice(old: Any) -> Any:
    def again(self: Any, case: Any) -> None:
        old(self, case)
        old(self, case)

    return again


def judges(change: Callable[[Any, Any, Any], None]) -> Callable[[Any], Any]:
    def made(old: Any) -> Any:
        def _judge(self: Any, tally: Any, outcome: Any) -> None:
            old(self, tally, outcome)
            change(self, tally, outcome)

        return _judge

    return made


def one_more(self: Any, tally: Any, outcome: Any) -> None:
    if outcome.is_failure:
        tally.settled = tally.failures > self.rules.retries + 1


def one_less(self: Any, tally: Any, outcome: Any) -> None:
    if outcome.is_failure:
        tally.settled = True


def losses_blame(self: Any, tally: Any, outcome: Any) -> None:
    if outcome is Outcome.INFRA_LOST:
        tally.settled = True


def losses_are_free(self: Any, tally: Any, outcome: Any) -> None:
    if outcome is Outcome.INFRA_LOST:
        tally.settled = False


def passes_run_again(self: Any, tally: Any, outcome: Any) -> None:
    if outcome.is_good:
        tally.settled = False
        tally.failures += 1
        tally.settled = tally.failures > 1


def two_in_a_slot(old: Any) -> Any:
    def free(self: Any) -> list[int]:
        found = old(self)
        return found or ([0] if len(self.flights) == 1 and self.facts.slots == 1 else found)

    return free


def forgets_taken(old: Any) -> Any:
    def free(self: Any) -> list[int]:
        return [n for n in range(self.facts.slots) if n not in self.occupied]

    return free


def one_slot_more(old: Any) -> Any:
    def free(self: Any) -> list[int]:
        taken = self.flights.keys() | self.occupied
        return [n for n in range(self.facts.slots + 1) if n not in taken]

    return free


def reserves_nothing(old: Any) -> Any:
    return lambda self, needs, sign: None


def releases_double(old: Any) -> Any:
    def reserve(self: Any, needs: Any, sign: int) -> None:
        old(self, needs, sign if sign > 0 else 2 * sign)

    return reserve


def never_releases(old: Any) -> Any:
    def reserve(self: Any, needs: Any, sign: int) -> None:
        if sign > 0:
            old(self, needs, sign)

    return reserve


def ignores_need(**free: Any) -> Callable[[Any], Any]:
    def made(old: Any) -> Any:
        return lambda self, needs: old(self, replace(needs, **free))

    return made


def loses_quietly(old: Any) -> Any:
    def worker_lost(self: Any, name: str) -> Any:
        old(self, name)
        return []

    return worker_lost


def keeps_dead_worker(old: Any) -> Any:
    def worker_lost(self: Any, name: str) -> Any:
        worker = self._workers.get(name)
        lost = old(self, name)
        if worker is not None:
            self._workers[name] = worker
            self._filling._open[name] = worker
        return lost

    return worker_lost


def drops_the_rest(old: Any) -> Any:
    def worker_lost(self: Any, name: str) -> Any:
        worker = self._workers.get(name)
        for flight in list(worker.flights.values()) if worker else ():
            for index, case in flight.open.items():
                if index != flight.running:
                    self.tallies.leave_out(case)
        return old(self, name)

    return worker_lost


def blames_the_rest(old: Any) -> Any:
    def worker_lost(self: Any, name: str) -> Any:
        worker = self._workers.get(name)
        batches = [
            (flight.batch, case)
            for flight in (worker.flights.values() if worker else ())
            for case in list(flight.open.values())
        ]
        old(self, name)
        return batches

    return worker_lost


def repeats_ids(old: Any) -> Any:
    def next_id(self: Any) -> str:
        self._batches += 1
        return f"b{(self._batches + 1) // 2}"

    return next_id


def wrong_worker(old: Any) -> Any:
    def order(self: Any, name: str, slot: Any, act: Any, order: Any = None) -> None:
        others = [each.name for each in self._cluster.roster() if each.name != slot.worker]
        if act is Act.RUN and others and now():
            slot = slot._replace(worker=others[0])
        old(self, name, slot, act, order)

    now = often(4)
    return order


def done_too_soon(old: Any) -> Any:
    return property(lambda self: not self._flights and self.tallies.unsettled <= 1)


def hoards(old: Any) -> Any:
    """One worker is never given anything."""

    def choose(self: Any, lane: Any, slot: Any, *more: Any) -> Any:
        return old(self, lane, slot, *more) if slot.worker != "w1" else None

    return choose


def long_wait(old: Any) -> Any:
    """Cases to run alone wait until nothing else does."""

    def choose(self: Any, lane: Any, *more: Any) -> Any:
        solo, others = lane.solo, lane.count > len(lane.solo)
        if not (solo and others):
            return old(self, lane, *more)
        held = list(solo)
        for _ in held:
            lane.take_solo()
        try:
            return old(self, lane, *more)
        finally:
            for case in held:
                lane.add_solo(case)

    return choose


def forgets_past(old: Any) -> Any:
    def tally_of(self: Any, past: Any) -> Any:
        return old(self, ())

    return tally_of


def trusts_past(old: Any) -> Any:
    """Whatever was tried once is taken for done."""

    def tally_of(self: Any, past: Any) -> Any:
        tally = old(self, past)
        tally.settled = tally.settled or bool(past)
        return tally

    return tally_of


def requeues_passes(old: Any) -> Any:
    def finished(self: Any, case: Any, attempt: Any) -> Any:
        commands = old(self, case, attempt)
        if attempt.outcome.is_good and not self.tallies.is_settled(case):
            self._again(case)
        return commands

    return finished
