"""Schedules in the simulator: the same history each time, and bugs of a dispatcher come out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.infra.dispatching.batches import Batch, Rules, Slot
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.durations import Durations
from proctor.infra.faults.schedule import FaultSchedule, parse_schedule, seeded
from proctor.infra.faults.shrink import Oracle, Seen, shrink
from proctor.infra.faults.targets import FaultRefused
from proctor.infra.faults.verdict import Limits, Validity
from proctor.infra.records import Attempt, Case
from proctor.infra.simulation.limits import LimitsWatch
from proctor.infra.simulation.schedules import simulate_schedule


def scheduled(
    *faults: tuple[str, str, int], seconds: float = 1.0, case_seconds: float = 0.2
) -> FaultSchedule:
    """Faults as (kind, target, after)."""
    stage = {"case_seconds": case_seconds}
    method = [
        {"fault": kind, "target": target, "after": after, "for": seconds}
        for kind, target, after in faults
    ]
    return parse_schedule(
        {"title": "made", "seed": 3, "stage": stage, "method": method}, source="made"
    )


class Careless(Dispatcher):
    """Forgets what a dying session left, once a worker has been lost: two faults must meet."""

    def __init__(self, *, rules: Rules, durations: Durations) -> None:
        super().__init__(rules=rules, durations=durations)
        self.has_lost_a_worker = False

    def worker_lost(self, name: str) -> list[tuple[Batch, Case]]:
        self.has_lost_a_worker = True
        return super().worker_lost(name)

    def batch_ended(self, batch_id: str, *, died: bool = False) -> list[tuple[Batch, Case]]:
        if died and self.has_lost_a_worker:
            for case in list(self._flights[batch_id].open.values()):
                self.forget(case)
        return super().batch_ended(batch_id, died=died)


def oracle(dispatcher: type[Dispatcher]) -> Oracle:
    def look(schedule: FaultSchedule) -> Seen:
        told = simulate_schedule(
            schedule,
            dispatcher=lambda rules, durations: dispatcher(rules=rules, durations=durations),
        )
        return Seen(problems=told.problems, unknown=told.unknown)

    return look


@given(st.integers(min_value=0, max_value=1 << 30))
def test_any_seed_gives_the_same_history_twice_and_holds(seed: int) -> None:
    """Nothing lost, double, hung or blamed, whatever comes together in twelve faults."""
    schedule = seeded(seed, most=12)
    first, again = simulate_schedule(schedule), simulate_schedule(schedule)
    assert (first.history, first.digest) == (again.history, again.digest)
    # Whose session is killed twice during one case has no excuse: that is meant so.
    if sum(str(fault.selector) == "runner:busy" for fault in schedule.faults) < 2:
        assert first.problems == ()


def test_the_history_is_the_same_in_another_process() -> None:
    """Whatever Python makes of hashes there."""
    code = (
        "from proctor.infra.faults.schedule import seeded\n"
        "from proctor.infra.simulation.schedules import simulate_schedule\n"
        "print([simulate_schedule(seeded(n, most=9)).digest for n in range(20)])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_other_seeds_have_other_histories() -> None:
    """The digest tells them apart."""
    assert len({simulate_schedule(seeded(seed)).digest for seed in range(20)}) == 20


@pytest.mark.parametrize(
    ("kind", "target", "words"),
    [
        ("kill", "worker:#0", "worker cpu-1 is lost: it died"),
        ("kill", "worker:all", "worker cpu-3 is lost: it died"),
        ("restart", "worker:busy", "joins as"),
        ("kill", "runner:busy", "infra-lost"),
        ("kill", "scheduler", "worker cpu-2 is lost: it died"),
        ("kill", "campaign", "campaign begins, epoch 2"),
        ("disk-full", "campaign", "campaign begins, epoch 2"),
        ("freeze", "worker:busy", "is lost: it said nothing"),
        ("partition", "worker:busy", "no longer counts"),
        ("disconnect", "worker:busy", "is lost: it died"),
    ],
)
def test_faults_do_what_they_do_on_real_fleets(kind: str, target: str, words: str) -> None:
    """Each leaves its trace in the history, and the campaign survives it."""
    schedule = scheduled((kind, target, 9), seconds=12.0, case_seconds=0.5)
    told = simulate_schedule(schedule)
    assert any(words in line for line in told.history), "\n".join(told.history)
    assert (told.validity, told.injected) == (Validity.VALID, schedule.faults)


def test_slow_faults_cost_time_and_nothing_else() -> None:
    """Pressure, latency and frozen sessions make a campaign longer."""
    quiet = simulate_schedule(scheduled()).seconds
    for kind, target in (("cpu", "host"), ("slow", "worker:all"), ("freeze", "runner:busy")):
        told = simulate_schedule(scheduled((kind, target, 9), seconds=3.0))
        assert told.seconds > quiet
        assert told.problems == ()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"fault": "kill", "target": "worker:any", "after": 10_000}, "and there were 90 in all"),
        ({"fault": "kill", "target": "worker:any", "at": "50s"}, "the campaign was over after"),
        ({"fault": "freeze", "target": "prefect"}, "the simulator has no such part"),
        ({"fault": "kill", "target": "worker:cpu-9", "after": 3}, "there was no worker:cpu-9"),
    ],
)
def test_a_fault_that_was_not_injected_shows_nothing(fault: dict[str, Any], why: str) -> None:
    """Unknown, with the reason; what was injected beside it does not make it valid."""
    slow = {"fault": "latency", "target": "worker:#0", "after": 1}
    told = simulate_schedule(parse_schedule({"title": "t", "method": [slow, fault]}, source="here"))
    assert told.validity is Validity.UNKNOWN
    (reason,) = told.unknown
    assert reason.startswith(f"{fault['fault']} {fault['target']} was not injected: ")
    assert why in reason
    assert [each.kind for each in told.injected] == ["latency"]


def test_what_waits_for_a_fault_that_never_comes_never_comes_either() -> None:
    """Each is named."""
    told = simulate_schedule(
        scheduled(("kill", "worker:any", 10_000), ("latency", "worker:any", 3))
    )
    assert [each.partition(" was not")[0] for each in told.unknown] == [
        "kill worker:any",
        "latency worker:any",
    ]
    assert told.injected == ()


@pytest.mark.parametrize(
    ("kind", "limit", "words"),
    [
        ("kill", "dead", "had a kill and was given up 0.50 s later"),
        ("freeze", "frozen", "had a freeze and was given up 9.00 s later"),
    ],
)
def test_a_limit_that_is_exceeded_makes_a_schedule_invalid(
    kind: str, limit: str, words: str
) -> None:
    """How soon the simulated campaign notices is held to what was asked, and to no other limit."""
    schedule = scheduled((kind, "worker:busy", 9), seconds=12.0, case_seconds=0.5)
    assert simulate_schedule(schedule).validity is Validity.VALID
    strict = replace(schedule, limits={limit: "1ms"})
    told = simulate_schedule(strict)
    assert told.validity is Validity.INVALID
    assert any(words in problem for problem in told.problems)
    shrunk = shrink(replace(strict, faults=strict.faults * 2), oracle=oracle(Dispatcher))
    assert len(shrunk.schedule.faults) == 1
    others = {"dead": "1ms", "frozen": "1ms", limit: "30s"}
    assert simulate_schedule(replace(schedule, limits=others)).validity is Validity.VALID


def test_a_limit_that_means_nothing_here_is_unknown() -> None:
    """And named."""
    schedule = replace(scheduled(("kill", "worker:busy", 9)), limits={"wait": "1s"})
    told = simulate_schedule(schedule)
    assert told.validity is Validity.UNKNOWN
    assert told.unknown == ("the limit wait is not judged in a simulation",)


def test_lost_work_that_does_not_come_first_exceeds_a_limit() -> None:
    """Other work may be sent meanwhile for so long; what was lost before has the same right."""

    def batch(case: str, why: str = "the longest first") -> Batch:
        return Batch(
            id="b",
            slot=Slot("w", 0),
            cases=(Case(id=case, group="g", index=0),),
            budget_seconds=None,
            finishes=(),
            why=why,
        )

    watch = LimitsWatch(Limits(recovery=1.0))
    watch.lost("c1", 10.0)
    watch.sent(batch("c2"), 10.5)
    watch.sent(batch("c3", "it runs alone: it was lost or failed before"), 12.0)
    assert watch.problems == []
    watch.sent(batch("c4"), 12.0)
    assert watch.problems == [
        "c1 was lost with its worker; batch b was sent 2.0 s later, before it"
    ]
    watch.lost("c5", 20.0)
    watch.sent(batch("c5"), 30.0)
    watch.sent(batch("c6"), 31.0)
    watch.lost("c7", 40.0)
    watch.settled("c7")
    watch.sent(batch("c8"), 50.0)
    assert len(watch.problems) == 1


def test_nobody_shrinks_what_shows_nothing() -> None:
    """A try says so, and the refusal names the reason."""
    told: list[str] = []
    schedule = scheduled(("kill", "worker:any", 10_000))
    with pytest.raises(FaultRefused, match=r"made is unknown \(kill worker:any was not"):
        shrink(schedule, oracle=oracle(Dispatcher), say=told.append)
    assert told[0].startswith("try 1: 1 of 1 faults show nothing (kill worker:any was not injected")


TWELVE = (
    ("latency", "worker:#0", 4), ("kill", "worker:#0", 10), ("cpu", "host", 12),
    ("clock", "worker:#1", 15), ("bandwidth", "worker:#2", 20), ("slow", "worker:busy", 25),
    ("freeze", "runner:busy", 30), ("kill", "runner:busy", 40), ("memory", "host", 45),
    ("freeze", "campaign", 50), ("latency", "worker:#1", 55), ("disk", "host", 60),
)  # fmt: skip


def test_a_planted_bug_that_needs_two_faults_shrinks_to_exactly_these() -> None:
    """Of twelve; and leaving out either makes it hold."""
    schedule = scheduled(*TWELVE)
    assert simulate_schedule(schedule).problems == ()
    told: list[str] = []
    shrunk = shrink(schedule, oracle=oracle(Careless), say=told.append)
    assert [fault.kind for fault in shrunk.schedule.faults] == ["kill", "kill"]
    assert shrunk.schedule.faults == (schedule.faults[1], schedule.faults[7])
    assert shrunk.minimal
    assert shrunk.problems
    assert len(told) == shrunk.tries < 60


@given(st.sets(st.integers(0, 11), min_size=1, max_size=4))
def test_whatever_is_needed_is_what_is_left(needed: set[int]) -> None:
    """For failures that only take certain faults together."""
    schedule = scheduled(*TWELVE)
    wanted = [schedule.faults[place] for place in sorted(needed)]

    def look(part: FaultSchedule) -> Seen:
        return Seen(problems=("it fails",) * all(fault in part.faults for fault in wanted))

    assert list(shrink(schedule, oracle=look).schedule.faults) == wanted


def test_shrinking_ends_when_its_tries_are_used_up() -> None:
    """With the least that was found to fail, and says that it may not be the least there is."""
    schedule = scheduled(*TWELVE)
    shrunk = shrink(schedule, oracle=oracle(Careless), most_tries=5)
    assert (shrunk.tries, shrunk.minimal) == (5, False)
    assert oracle(Careless)(shrunk.schedule).problems


def test_what_fails_without_faults_shrinks_to_none() -> None:
    """Then the faults are not to blame."""
    shrunk = shrink(scheduled(*TWELVE), oracle=lambda _: Seen(problems=("always",)))
    assert shrunk.schedule.faults == ()


def test_what_holds_is_not_shrunk() -> None:
    """There is nothing to look for."""
    with pytest.raises(FaultRefused, match="made holds: there is nothing to shrink"):
        shrink(scheduled(*TWELVE), oracle=oracle(Dispatcher))


class Forgetful(Dispatcher):
    """Takes a lost worker's cases for done."""

    def worker_lost(self, name: str) -> list[tuple[Batch, Case]]:
        lost = super().worker_lost(name)
        for _, case in lost:
            self.forget(case)
        return []


class Doubtful(Dispatcher):
    """Never takes a result for one."""

    def finished(self, case: Case, attempt: Attempt) -> list[Any]:
        return [] if case.index == 7 else super().finished(case, attempt)


class Breaking(Dispatcher):
    """Cannot bear a loss."""

    def worker_lost(self, name: str) -> list[tuple[Batch, Case]]:
        raise LookupError(name)


class Harsh(Dispatcher):
    """Takes every loss for the last."""

    def finished(self, case: Case, attempt: Attempt) -> list[Any]:
        if not attempt.outcome.is_good:
            self.forget(case)
            return []
        return super().finished(case, attempt)


@pytest.mark.parametrize("dispatcher", [Forgetful, Doubtful, Harsh, Breaking])
def test_bugs_of_a_dispatcher_are_found(dispatcher: type[Dispatcher]) -> None:
    """By what becomes of the cases."""
    assert oracle(dispatcher)(scheduled(("kill", "worker:busy", 9))).problems
