"""Timings remember what tells something of the next run, and predictions start from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_parts import attempt, case

from proctor.infra.dispatching.durations import (
    FIRST_GUESS_SECONDS,
    CaseHistory,
    Durations,
    GroupHistory,
    function_of,
)
from proctor.infra.records import Case, Outcome, Usage
from proctor.infra.timings import Timings, load, save


def ran(number: int, seconds: float, outcome: Outcome = Outcome.PASSED, *, shared: float = 0.0):
    usage = Usage(
        wall_seconds=seconds + shared, shared_setup_seconds=shared, peak_memory_bytes=1000
    )
    return attempt(outcome=outcome, of=number, usage=usage)


def test_a_case_is_remembered_without_its_shared_fixtures() -> None:
    """They are paid by whichever case comes first."""
    timings = Timings()
    timings.take_in([ran(0, 2.0, shared=5.0)])
    assert timings.durations().known(case(0)) == pytest.approx(2.0)


@pytest.mark.parametrize("outcome", [Outcome.INFRA_LOST, Outcome.CANCELLED, Outcome.SKIPPED])
def test_what_was_cut_short_by_others_tells_nothing(outcome: Outcome) -> None:
    """A worker's death says nothing of how long the case takes."""
    timings = Timings()
    timings.take_in([ran(0, 9.0, outcome)])
    assert timings.cases == {}


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.CRASHED])
def test_a_case_that_only_hangs_or_crashes_is_planned_as_long(outcome: Outcome) -> None:
    """As long as it took, and not as one that nobody has seen; its first pass says it better."""
    timings = Timings()
    timings.take_in([ran(0, 9.0, outcome)])
    assert timings.durations().estimate(case(0)) == pytest.approx(9.0)
    timings.take_in([ran(0, 0.5), ran(0, 60.0, outcome)])
    assert timings.durations().estimate(case(0)) == pytest.approx(0.5)


@pytest.mark.parametrize("seconds", [0.01, 90.0])
def test_a_failure_does_not_change_how_long_a_pass_takes(seconds: float) -> None:
    """It may end early, or wait until it gives up: the next pass takes what the last one took."""
    timings = Timings()
    timings.take_in([ran(0, 10.0), ran(0, seconds, Outcome.FAILED)])
    assert timings.durations().known(case(0)) == pytest.approx(10.0)
    assert timings.cases[case(0).id].runs == 1


def test_a_failure_serves_until_the_first_pass() -> None:
    """A case that always fails is not unknown, and its first pass is not averaged with it."""
    timings = Timings()
    timings.take_in([ran(0, 0.5, Outcome.FAILED), ran(0, 0.25, Outcome.FAILED)])
    assert timings.durations().known(case(0)) == pytest.approx(0.25)
    timings.take_in([ran(0, 8.0)])
    assert timings.durations().known(case(0)) == pytest.approx(8.0)


def test_memory_that_a_failure_used_is_remembered() -> None:
    """Memory is predicted to be safe."""
    history = CaseHistory(seconds=1, peak_memory_bytes=1000)
    assert history.with_failure(seconds=9, peak_memory_bytes=5000).peak_memory_bytes == 5000


def test_they_come_back_as_they_were(tmp_path: Path) -> None:
    """Cases, groups, what failed last."""
    timings = Timings(last_failed=("a", "b"))
    timings.take_in([ran(0, 0.25), ran(1, 0.5)])
    timings.take_in_group("test_a.py", collect_seconds=0.5, shared_seconds=1.5)
    save(timings, tmp_path / "project")
    assert load(tmp_path / "project") == timings


@pytest.mark.parametrize("content", [None, b"{", b'{"format": 0}', b"[]"[:1]])
def test_what_cannot_be_read_is_forgotten(tmp_path: Path, content: bytes | None) -> None:
    """It is a cache: predictions start anew."""
    if content is not None:
        (tmp_path / "timings.json").write_bytes(content)
    assert load(tmp_path) == Timings()


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=20))
def test_a_prediction_stays_within_what_was_measured(seconds: list[float]) -> None:
    """However it is averaged, it is no shorter than the shortest and no longer than the longest."""
    timings = Timings()
    timings.take_in([ran(0, each) for each in seconds])
    known = timings.durations().known(case(0))
    assert known is not None
    assert min(seconds) - 1e-6 <= known <= max(seconds) * (1 + 1e-9) + 1e-6
    assert timings.cases[case(0).id].runs == len(seconds)


def test_peaks_are_forgotten_slowly() -> None:
    """Memory is predicted to be safe."""
    history = CaseHistory(seconds=1, peak_memory_bytes=1000)
    after = history.with_run(seconds=1, peak_memory_bytes=10)
    assert after.peak_memory_bytes == 900
    assert after.with_run(seconds=1, peak_memory_bytes=5000).peak_memory_bytes == 5000


def test_estimates_take_the_nearest_evidence() -> None:
    """Own history, then the same function, the same file, the campaign, a first guess."""
    durations = Durations(cases={"f.py::test_own": CaseHistory(seconds=7.0)})

    def of(name: str, file: str = "f.py") -> float:
        return durations.estimate(Case(id=f"{file}::{name}", group=file, index=0))

    assert of("test_own") == 7.0
    assert of("test_x[1]") == FIRST_GUESS_SECONDS
    durations.learn(Case(id="f.py::test_x[2]", group="f.py", index=1), 3.0)
    durations.learn(Case(id="f.py::test_y", group="f.py", index=2), 1.0)
    assert of("test_x[1]") == 3.0
    assert of("test_z") == 2.0
    assert of("test_z", "g.py") == 2.0
    assert of("test_own") == 7.0


def test_warming_up_is_what_was_measured_last() -> None:
    """History until a runner has said it of this campaign; its fixtures come in any case."""
    durations = Durations(groups={"f.py": GroupHistory(collect_seconds=1.0, shared_seconds=2.0)})
    assert durations.warm_up("f.py") == 3.0
    # Of a file that nobody has collected alone, as of the others.
    assert durations.warm_up("g.py") == 1.0
    durations.learn_warm_up("f.py", 0.5)
    durations.learn_warm_up("f.py", 0.25)
    assert durations.warm_up("f.py") == 2.5


def test_functions_are_ids_without_parameters() -> None:
    """Brackets inside parameters belong to them."""
    assert function_of("f.py::test[a[0]]") == "f.py::test"
    assert function_of("f.py::test") == "f.py::test"
