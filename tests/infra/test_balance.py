"""Unequal workers: long cases go to the fast ones, and what runs on a slow one may move."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.infra.dispatching.batches import Batch, Cancel, Rules, Send, Slot, Stop
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.dispatching.pace import Pace
from proctor.infra.predictions import Predictions
from proctor.infra.records import Attempt, Case, Outcome, Requirements, Usage, WorkerFacts
from proctor.infra.simulation.campaign import Simulation, simulate


class Blind(Pace):
    """Takes all workers for alike, as dispatching without scores did."""

    def learn(self, worker: str, foreseen: float, measured: float) -> None:
        pass

    def meet(self, worker: str, speed: float) -> None:
        pass

    def seen(self, worker: str) -> int:
        return 1_000


def worker(name: str, host: str = "") -> WorkerFacts:
    return WorkerFacts(
        name=name,
        incarnation="1",
        worker_class="cpu",
        slots=1,
        cpu=1.0,
        memory_bytes=1,
        host=host or name,
    )


def suite(*seconds: float, files: int = 1) -> tuple[list[Case], dict[str, float]]:
    cases = [
        Case(id=f"t{n % files}.py::test_{n}", group=f"t{n % files}.py", index=n)
        for n in range(len(seconds))
    ]
    return cases, dict(zip((case.id for case in cases), seconds, strict=True))


def durations(
    usual: dict[str, float], speeds: dict[str, float] | None = None, pace: Pace | None = None
) -> Durations:
    return Durations(
        cases={name: CaseHistory(seconds=each) for name, each in usual.items()},
        predicted=Predictions(
            speeds={f"{host}/cpu": speed for host, speed in (speeds or {}).items()}
        ),
        pace=pace or Pace(),
    )


def sends(commands) -> list:
    return [command.batch for command in commands if isinstance(command, Send)]


def passed(case: Case, batch, seconds: float) -> Attempt:
    return Attempt(
        case=case.id,
        id=f"{batch.id}/{case.index}",
        outcome=Outcome.PASSED,
        started=0.0,
        finished=seconds,
        batch=batch.id,
        usage=Usage(wall_seconds=seconds),
    )


def test_the_long_case_waits_for_the_fast_worker():
    """The slow one joined first and is free: it takes what is short."""
    cases, usual = suite(20.0, *[0.1] * 50, files=2)
    it = Dispatcher(rules=Rules(), durations=durations(usual, {"slow": 0.25, "fast": 1.0}))
    it.worker_joined(worker("slow"))
    it.worker_joined(worker("fast"))
    it.add_cases(cases, 0.0)
    sent = {batch.slot.worker: batch for batch in sends(it.decide(0.0))}
    assert sent["fast"].cases == (cases[0],)
    assert cases[0] not in sent["slow"].cases


def test_a_slow_worker_waits_no_longer_than_that_saves():
    """The fast one is late with what it runs: in the end somebody runs the case."""
    cases, usual = suite(1.0, 2.0)
    it = Dispatcher(rules=Rules(), durations=durations(usual, {"slow": 0.5, "fast": 1.0}))
    it.worker_joined(worker("fast"))
    it.add_cases(cases[:1], 0.0)
    (first,) = sends(it.decide(0.0))
    it.started(first.id, cases[0], 0.0)
    it.worker_joined(worker("slow"))
    it.add_cases(cases[1:], 0.0)
    assert it.decide(0.0) == []
    assert it.decide(1.9) == []
    (batch,) = sends(it.decide(2.1))
    assert (batch.slot.worker, batch.cases) == ("slow", (cases[1],))


def test_where_nobody_works_nobody_waits():
    """The fast one is taken for something else, which may last."""
    cases, usual = suite(2.0)
    it = Dispatcher(rules=Rules(), durations=durations(usual, {"slow": 0.5, "fast": 1.0}))
    it.worker_joined(worker("slow"))
    it.worker_joined(worker("fast"))
    it.slots.occupy(Slot("fast", 0))
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    assert batch.slot.worker == "slow"


def test_what_a_slow_worker_runs_is_begun_anew_where_it_ends_sooner():
    """Forty seconds there, ten on the one that joins; whichever ends first counts."""
    cases, usual = suite(10.0)
    it = Dispatcher(rules=Rules(), durations=durations(usual, {"slow": 0.25, "fast": 1.0}))
    it.worker_joined(worker("slow"))
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, cases[0], 0.0)
    it.worker_joined(worker("fast"))
    (twin,) = sends(it.decide(4.0))
    assert (twin.slot.worker, twin.hedge) == ("fast", True)
    assert "faster worker" in twin.why
    (move,) = twin.moves
    assert (move.cases, move.batch, move.worker) == ((0,), batch.id, "slow")
    it.started(twin.id, cases[0], 4.0)
    assert it.finished(cases[0], passed(cases[0], twin, 10.0)) == [Cancel(batch=batch)]


@pytest.mark.parametrize(("elapsed", "speed"), [(36.0, 0.25), (4.0, 0.9)])
def test_what_is_nearly_done_or_hardly_slower_stays(elapsed: float, speed: float):
    """Two executions cost twice."""
    cases, usual = suite(10.0)
    it = Dispatcher(rules=Rules(), durations=durations(usual, {"slow": speed, "fast": 1.0}))
    it.worker_joined(worker("slow"))
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, cases[0], 0.0)
    it.worker_joined(worker("fast"))
    assert it.decide(elapsed) == []


def test_a_case_taken_out_of_a_batch_says_whence_and_why():
    """The batch it goes out with next carries the move."""
    cases, _ = suite(*[0.3] * 4)
    it = Dispatcher(rules=Rules(), durations=Durations())
    it.worker_joined(worker("a", "here"))
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, batch.cases[0], 0.0)
    it.worker_joined(worker("b", "here"))
    it.decide(3.0)
    (then,) = sends(it.decide(3.0))
    (move,) = then.moves
    assert (move.batch, move.worker) == (batch.id, "a")
    assert set(move.cases) == {case.index for case in then.cases}
    assert "has run for 3.0 s" in move.why


def test_what_waits_behind_a_long_case_moves_though_some_of_its_file_wait_still():
    """Too little waits for the idle slot to join in, until it is told how long that will wait."""
    cases, _ = suite(*[0.02] * 10)
    it = Dispatcher(rules=Rules(), durations=Durations())
    it.worker_joined(worker("a", "here"))
    it.worker_joined(worker("b", "here"))
    it.add_cases(cases, 0.0)
    (batch,) = sends(it.decide(0.0))
    assert len(batch.cases) < len(cases)
    it.started(batch.id, cases[0], 0.0)
    assert it.decide(0.4) == []
    assert it.decide(0.6) == [Stop(batch=batch)]
    (then,) = sends(it.decide(0.6))
    assert then.slot.worker == "b"
    assert {move.batch for move in then.moves} == {batch.id}


def test_nothing_is_taken_back_for_who_cannot_run_it():
    """An idle worker without a GPU is no help to a case that needs one."""
    gpu = [
        Case(id=f"t.py::test_{n}", group="t.py", index=n, needs=Requirements(gpu=1.0))
        for n in range(4)
    ]
    it = Dispatcher(rules=Rules(), durations=Durations())
    it.worker_joined(replace(worker("gpu"), gpu=1.0))
    it.worker_joined(worker("idle"))
    it.add_cases(gpu, 0.0)
    (batch,) = sends(it.decide(0.0))
    it.started(batch.id, batch.cases[0], 0.0)
    assert it.decide(3.0) == []


def test_an_unknown_machine_is_tried_with_short_cases_first():
    """And one that is the same as the others is not."""
    cases, usual = suite(*[30.0] * 3, *[0.05] * 60, files=1)
    for hosts, long_ones in ((("x", "y"), 0), (("x", "x"), 2)):
        it = Dispatcher(rules=Rules(), durations=durations(usual))
        for number, host in enumerate(hosts):
            it.worker_joined(worker(f"w{number}", host))
        it.add_cases(cases, 0.0)
        sent = sends(it.decide(0.0))
        assert len(sent) == 2
        assert sum(batch.cases[0].index < 3 for batch in sent) == long_ones


def test_two_machines_of_one_name_are_two_of_which_nothing_is_known():
    """What was learned by the name is of both; each is tried before it gets a long case."""
    cases, usual = suite(*[30.0] * 3, *[0.05] * 60, files=1)
    for kernels, long_ones in ((("a", "b"), 0), (("a", "a"), 2)):
        it = Dispatcher(rules=Rules(), durations=durations(usual, {"x": 1.0}))
        for number, kernel in enumerate(kernels):
            it.worker_joined(replace(worker(f"w{number}", "x"), machine=kernel))
        it.add_cases(cases, 0.0)
        sent = sends(it.decide(0.0))
        assert sum(batch.cases[0].index < 3 for batch in sent) == long_ones


def wide_and_narrow() -> tuple[list[Case], dict[str, float]]:
    """A case that needs two cores for long, and many that need one for a second."""
    cases, usual = suite(20.0, *[1.0] * 30, files=31)
    cases[0] = replace(cases[0], needs=Requirements(cpu=2.0))
    return cases, usual


def roomy(name: str) -> WorkerFacts:
    """Two cores, and a slot that has none of its own."""
    return replace(worker(name), slots=3, cpu=2.0)


def end(it: Dispatcher, batch: Batch) -> None:
    for case in batch.cases:
        it.finished(case, passed(case, batch, 1.0))
    it.batch_ended(batch.id)


def test_the_worker_kept_for_a_wide_case_is_the_one_that_takes_it():
    """The slow one would be emptied, and then idle while the case waits for the fast one."""
    cases, usual = wide_and_narrow()
    it = Dispatcher(rules=Rules(), durations=durations(usual, {"slow": 0.5, "fast": 1.0}))
    it.worker_joined(roomy("slow"))
    it.worker_joined(roomy("fast"))
    it.add_cases(cases[1:], 0.0)
    running = sends(it.decide(4.0))
    assert len(running) == 4
    it.add_cases(cases[:1], 0.0)
    assert it.decide(6.0) == []
    for batch in [each for each in running if each.slot.worker == "slow"]:
        end(it, batch)
        (then,) = sends(it.decide(6.1))
        assert then.slot.worker == "slow"
        assert cases[0] not in then.cases
    first, second = (each for each in running if each.slot.worker == "fast")
    end(it, first)
    assert it.decide(6.2) == []
    end(it, second)
    (wide,) = sends(it.decide(6.3))
    assert (wide.slot.worker, wide.cases) == ("fast", (cases[0],))


def test_a_worker_kept_for_a_case_that_a_faster_one_is_to_have_is_free_again():
    """It was kept before the fast one joined, which does something else for now."""
    cases, usual = wide_and_narrow()
    it = Dispatcher(rules=Rules(), durations=durations(usual, {"slow": 0.5, "fast": 1.0}))
    it.worker_joined(roomy("slow"))
    it.worker_joined(replace(worker("narrow"), slots=1, cpu=1.0))
    it.add_cases(cases[1:], 0.0)
    running = sends(it.decide(0.0))
    it.add_cases(cases[:1], 0.0)
    assert it.decide(6.0) == []
    it.worker_joined(roomy("fast"))
    for number in range(3):
        it.slots.occupy(Slot("fast", number))
    first, second = (each for each in running if each.slot.worker == "slow")
    end(it, first)
    assert it.decide(6.1) == []
    end(it, second)
    assert {batch.slot.worker for batch in sends(it.decide(6.2))} == {"slow"}


class Counted(Durations):
    """Counts how often somebody asks how long a case takes, or how slow a worker is."""

    asked = 0

    def estimate(self, case: Case) -> float:
        self.asked += 1
        return super().estimate(case)


class CountedPace(Pace):
    asked = 0

    def of(self, worker: str) -> float:
        self.asked += 1
        return super().of(worker)


def questions_of_a_decision(size: int) -> int:
    """So many fast workers are busy, so many slow ones idle, and half as many cases wait."""
    cases, usual = suite(*[20.0] * (size + size // 2), files=size * 2)
    pace = CountedPace()
    known = durations(usual, {"fast": 1.0, "slow": 0.25}, pace)
    counted = Counted(cases=known.cases, predicted=known.predicted, pace=pace)
    it = Dispatcher(rules=Rules(), durations=counted)
    # Those who are slow come first wherever workers are gone through.
    for number in range(size):
        it.worker_joined(worker(f"slow-{number}", "slow"))
    for number in range(size):
        it.worker_joined(worker(f"fast-{number}", "fast"))
    it.add_cases(cases[:size], 0.0)
    for batch in sends(it.decide(0.0)):
        assert batch.slot.worker.startswith("fast")
        it.started(batch.id, batch.cases[0], 0.0)
    it.add_cases(cases[size:], 0.1)
    before = counted.asked + pace.asked
    assert it.decide(0.1) == []
    return counted.asked + pace.asked - before


def questions_about_strangers(size: int) -> int:
    """So many machines that nobody knows, and as many long cases."""
    cases, usual = suite(*[20.0] * size, files=size)
    known = durations(usual)
    counted = Counted(cases=known.cases, pace=CountedPace())
    it = Dispatcher(rules=Rules(), durations=counted)
    for number in range(size):
        it.worker_joined(worker(f"w{number}"))
    it.add_cases(cases, 0.0)
    assert len(sends(it.decide(0.0))) == size
    return counted.asked


def test_all_that_waits_is_looked_through_once_for_what_tells_of_a_machine():
    """Not once for each machine that nobody knows."""
    assert questions_about_strangers(80) < 2.2 * questions_about_strangers(40)


def test_a_decision_asks_no_more_of_each_worker_where_there_are_more_of_them():
    """With the cube of their number, 400 workers took 18 s to find that nothing was to do."""
    assert questions_of_a_decision(80) < 2.2 * questions_of_a_decision(40)


@pytest.mark.parametrize("short", [0.005, None], ids=["too short", "never seen"])
def test_who_cannot_be_known_by_short_cases_does_not_run_all_of_them_first(short: float | None):
    """Whatever short cases there are tell nothing: soon the long ones go to whoever is free."""
    cases, usual = suite(*[30.0] * 3, *[0.005] * 3000, files=1)
    if short is None:
        usual = {case.id: usual[case.id] for case in cases[:3]}
    it = Dispatcher(rules=Rules(), durations=durations(usual))
    for name in ("x", "y"):
        it.worker_joined(worker(name, name))
    it.add_cases(cases, 0.0)
    ran = 0
    for _ in range(4):
        for batch in sends(it.decide(0.0)):
            if batch.cases[0].index >= 3:
                ran += len(batch.cases)
                for case in batch.cases:
                    it.finished(case, passed(case, batch, 0.005))
                it.batch_ended(batch.id)
    assert len(it.in_flight) == 2
    assert ran < 200


def played(usual: dict[str, float], cases: list[Case], speeds: list[float], how: str) -> Simulation:
    known = {f"w{n}": speed for n, speed in enumerate(speeds)} if how == "known" else {}
    return simulate(
        cases,
        [worker(f"w{n}") for n in range(len(speeds))],
        seconds=lambda case: usual[case.id],
        durations=durations(usual, known, Blind() if how == "blind" else None),
        speed=lambda name: speeds[int(name[1:])],
    )


def lengths(seed: int, number: int, median: float) -> list[float]:
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(np.log(median), 1.2, number)).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_a_fleet_with_a_slow_worker_ends_sooner(seed: int):
    """One of four takes four times as long: learned on the way, and known before."""
    cases, usual = suite(*lengths(seed, 300, 0.3), files=30)
    speeds = [0.25, 1.0, 1.0, 1.0]
    blind, learned, known = (
        played(usual, cases, speeds, how).makespan for how in ("blind", "learned", "known")
    )
    # Where the blind one is lucky, looking costs next to nothing; where it is not, 20 %.
    assert max(known, learned) < 1.01 * blind
    assert max(known, learned) < 1.05 * sum(usual.values()) / sum(speeds)


@pytest.mark.parametrize("seed", range(3))
def test_among_equals_nothing_changes(seed: int):
    """The same cases on the same slots at the same time as without a look at speeds."""
    cases, usual = suite(*lengths(seed, 200, 0.2), files=20)
    known = [played(usual, cases, [1.0] * 4, how) for how in ("blind", "known")]
    assert known[0].placements == known[1].placements


@given(
    seconds=st.lists(st.floats(min_value=0.01, max_value=30.0), min_size=1, max_size=25),
    speeds=st.lists(st.sampled_from([0.1, 0.25, 0.5, 1.0, 3.0]), min_size=1, max_size=4),
    how=st.sampled_from(["learned", "known"]),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_speeds_every_case_runs(seconds: list[float], speeds: list[float], how: str):
    """Nobody waits for ever for a worker that is faster, and one case runs twice at most."""
    cases, usual = suite(*seconds, files=3)
    done = played(usual, cases, speeds, how)
    ran = Counter(each.case.index for each in done.placements)
    assert set(ran) == {case.index for case in cases}
    assert max(ran.values()) <= 2
