"""Every wait of a campaign ends, with what it waited for."""

from __future__ import annotations

import pytest

from proctor.infra.dispatching.durations import Durations
from proctor.infra.dispatching.lanes import Lane
from proctor.infra.engine.patience import (
    EMPTY_FLEET_SECONDS,
    IDLE_SECONDS,
    MOST_SILENCES,
    SILENCE_SECONDS,
    TAKEN_DOWN_SECONDS,
    Patience,
)
from proctor.infra.errors import (
    FleetUnavailable,
    InfrastructureProblem,
    ProjectUnavailable,
    Unsatisfiable,
)
from proctor.infra.records import Case, Requirements, WorkerFacts


def worker(**values: object) -> WorkerFacts:
    given = {"name": "cpu-1", "incarnation": "1", "worker_class": "cpu", "slots": 1}
    return WorkerFacts(**{**given, "cpu": 1, "memory_bytes": 2**30, **values})  # type: ignore[arg-type]


def lane(*cases: Case) -> Lane:
    made = Lane(cases[0].needs, Durations())
    made.add(cases)
    return made


def test_an_empty_fleet_is_given_up_after_a_while_without_any_worker() -> None:
    """A worker that comes in between starts the wait anew."""
    patience = Patience("c-1")
    assert patience.check_fleet([], 100.0) == ""
    # Told once, and not before workers that start have had their time.
    assert patience.check_fleet([], 101.0) == ""
    assert "no worker; waiting for one, 60 s at most" in patience.check_fleet([], 105.0)
    assert patience.check_fleet([], 100.0 + EMPTY_FLEET_SECONDS) == ""
    patience.check_fleet([worker()], 161.0)
    patience.check_fleet([], 162.0)
    patience.check_fleet([], 162.0 + EMPTY_FLEET_SECONDS)
    with pytest.raises(FleetUnavailable, match="no worker") as told:
        patience.check_fleet([], 162.5 + EMPTY_FLEET_SECONDS)
    assert "proctor resume c-1" in told.value.remedy


def test_a_fleet_that_was_taken_down_is_given_up_at_once() -> None:
    """Nobody waits a minute for what somebody ended on purpose; its next one may be on its way."""
    down = [True]
    patience = Patience("c-1", is_down=lambda: down[0])
    patience.check_fleet([], 100.0)
    told = patience.check_fleet([], 104.0)
    assert told == "the fleet was taken down; waiting for one, 5 s at most"
    # `proctor up` followed: its workers are given their time.
    down[0] = False
    assert patience.check_fleet([], 101.0 + TAKEN_DOWN_SECONDS) == ""
    down[0] = True
    with pytest.raises(FleetUnavailable) as problem:
        patience.check_fleet([], 110.0)
    assert str(problem.value) == (
        "the fleet was taken down; start one with `proctor up` and run `proctor resume c-1`"
    )


def test_a_worker_that_starts_is_waited_for_longer_and_not_for_ever() -> None:
    """A machine takes minutes to boot; the fleet's own word is asked for, and not in each turn."""
    asked: list[bool] = []
    comes = [True]

    def is_coming() -> bool:
        asked.append(comes[0])
        return comes[0]

    patience = Patience("c-1", is_coming)
    patience.check_fleet([], 0.0)
    assert not asked
    for at in (61.0, 61.1, 61.2, 300.0):
        patience.check_fleet([], at)
    assert len(asked) == 2
    case = Case(id="t", group="t", index=0, needs=Requirements(gpu=1))
    patience.check_needs([lane(case)], [worker(gpu=1)], 300.0)
    patience.check_needs([lane(case)], [worker(gpu=1)], 400.0)
    comes[0] = False
    with pytest.raises(FleetUnavailable, match="no worker for 402 s"):
        patience.check_fleet([], 402.0)
    comes[0] = True
    with pytest.raises(FleetUnavailable, match="no worker for 901 s"):
        patience.check_fleet([], 901.0)


def test_needs_wait_for_a_worker_that_may_come_and_not_for_one_that_cannot() -> None:
    """Unsatisfiable needs end at once and name the nearest miss; others after a while."""
    case = Case(id="test_a.py::test_it", group="test_a.py", index=0, needs=Requirements(gpu=1))
    gpu = worker(name="gpu-1", worker_class="gpu", gpu=1)
    patience = Patience("c-1")
    with pytest.raises(Unsatisfiable, match="gpu"):
        patience.check_needs([lane(case)], [worker()], 0.0)
    patience.check_needs([lane(case)], [worker(), gpu], 0.0)
    patience.check_needs([lane(case)], [worker(), gpu], EMPTY_FLEET_SECONDS)
    with pytest.raises(FleetUnavailable, match=r"test_a\.py::test_it"):
        patience.check_needs([lane(case)], [worker(), gpu], EMPTY_FLEET_SECONDS + 1)


def test_a_kind_of_worker_that_was_there_again_is_waited_for_anew() -> None:
    """The second loss of the only GPU, hours after the first, has a minute of its own."""
    case = Case(id="test_a.py::test_it", group="test_a.py", index=0, needs=Requirements(gpu=1))
    gpu = worker(name="gpu-1", worker_class="gpu", gpu=1)
    patience = Patience("c-1")
    patience.check_needs([lane(case)], [gpu], 0.0)
    patience.check_needs([], [gpu], 10.0)
    patience.check_needs([lane(case)], [gpu], 5000.0)
    patience.check_needs([lane(case)], [gpu], 5000.0 + EMPTY_FLEET_SECONDS)
    with pytest.raises(FleetUnavailable, match="for 61 s"):
        patience.check_needs([lane(case)], [gpu], 5001.0 + EMPTY_FLEET_SECONDS)


def test_what_kept_the_worker_that_fits_from_working_is_said() -> None:
    """In the one line with which the campaign ends, and first what mends it."""
    case = Case(id="test_a.py::test_it", group="test_a.py", index=0, needs=Requirements(gpu=1))
    gpu = worker(name="gpu-1", worker_class="gpu", gpu=1)
    patience = Patience("c-1")
    problem = ProjectUnavailable(
        "the setup command failed on gpu-1: no such wheel", remedy="mend `setup`"
    )
    patience.check_needs([lane(case)], [gpu], 0.0)
    with pytest.raises(FleetUnavailable) as told:
        patience.check_needs(
            [lane(case)], [gpu], EMPTY_FLEET_SECONDS + 1, hindrance=lambda needs: problem
        )
    assert str(told.value) == (
        "no worker that fits test_a.py::test_it has been there for 61 s: the setup command failed"
        " on gpu-1: no such wheel; mend `setup`, then run `proctor resume c-1`"
    )


def test_a_kind_of_worker_that_is_away_ends_nothing_while_others_work() -> None:
    """Hours of cases for other workers go on; when they are done, it has been waited for."""
    case = Case(id="test_a.py::test_it", group="test_a.py", index=0, needs=Requirements(gpu=1))
    gpu = worker(name="gpu-1", worker_class="gpu", gpu=1)
    patience = Patience("c-1")
    for now in (0.0, 5000.0):
        patience.check_needs([lane(case)], [gpu], now, others=True)
    with pytest.raises(FleetUnavailable, match="for 5001 s"):
        patience.check_needs([lane(case)], [gpu], 5001.0)


def test_all_that_nobody_can_run_is_said_at_once() -> None:
    """Not the first need today, and the next one after another run."""
    cases = [
        Case(id=f"t.py::{name}", group="t.py", index=index, needs=needs)
        for index, (name, needs) in enumerate(
            (("a", Requirements(gpu=1)), ("b", Requirements(gpu=1)), ("c", Requirements(cpu=9)))
        )
    ]
    with pytest.raises(Unsatisfiable) as told:
        Patience("c-1").check_needs([lane(*cases[:2]), lane(cases[2])], [worker()], 0.0)
    assert told.value.message == (
        "2 cases need gpu=1, the largest worker has gpu=0;"
        " t.py::c needs cpu=9, the largest worker has cpu=1"
    )


def test_a_busy_worker_that_says_nothing_is_suspected() -> None:
    """Only among the busy, and only after a silence; a word ends it."""
    patience = Patience("c-1")
    assert patience.silent({"a", "b"}, 0.0) == []
    patience.heard("a", 5.0)
    later = SILENCE_SECONDS + 1
    assert patience.silent({"a", "b"}, later) == [("b", later)]
    assert patience.silent({"a"}, later) == []
    patience.heard("b", later)
    assert patience.silent({"a", "b"}, later) == []


def test_who_was_away_does_not_blame_the_silent() -> None:
    """A campaign that was stopped for a minute could not hear what was said."""
    patience = Patience("c-1")
    patience.take_turn(100.0)
    patience.heard("a", 100.0)
    patience.take_turn(160.0)
    assert patience.silent({"a"}, 160.0) == []
    turn = 160.0
    while turn < 160.0 + SILENCE_SECONDS + 1:
        turn += 0.5
        patience.take_turn(turn)
    assert [name for name, _silence in patience.silent({"a"}, turn)] == ["a"]


def test_workers_that_answer_and_are_never_heard_end_the_campaign() -> None:
    """A word of anybody starts the count anew: then it is that worker that is odd."""

    def fall_silent(patience: Patience, times: int) -> None:
        for _ in range(times):
            patience.heard("a", 0.0)
            assert patience.silent({"a"}, SILENCE_SECONDS + 1)

    patience = Patience("c-1")
    fall_silent(patience, MOST_SILENCES)
    patience.spoke("b", 0.0)
    fall_silent(patience, MOST_SILENCES)
    with pytest.raises(InfrastructureProblem, match="nothing that it or any other says"):
        fall_silent(patience, 1)


def test_idle_workers_beside_waiting_cases_are_a_defect() -> None:
    """Nothing sent for long, although cases wait, is said; progress starts the clock anew."""
    patience = Patience("c-1")
    patience.check_progress(7, 0.0)
    patience.check_progress(0, 1.0)
    patience.check_progress(7, 2.0)
    patience.check_progress(7, 2.0 + IDLE_SECONDS)
    with pytest.raises(InfrastructureProblem, match="7 cases wait"):
        patience.check_progress(7, 2.5 + IDLE_SECONDS)
