"""What bounds a case, and what it needs without having said so."""

from __future__ import annotations

import numpy as np
from labelled_suite import CLASSES, labelled

from proctor.monitoring.prediction.case_kinds import kinds_of, needs_of
from proctor.monitoring.prediction.predictor import Suite
from proctor.monitoring.prediction.source import Used

GB = 10**9


def used(*runs: dict[str, object], cases: int = 1) -> Used:
    """Runs of case 0 unless one says otherwise, on slots of 4 GB without a GPU."""
    usual: dict[str, object] = {
        "case": 0,
        "campaign": 0,
        "passed": True,
        "starved": False,
        "seconds": 1.0,
        "cpu_seconds": 1.0,
        "peak_bytes": 1e8,
        "moved_bytes": 0.0,
        "gpu_bytes": 0.0,
        "share_bytes": 4.0 * GB,
        "has_gpu": False,
    }
    rows = [{**usual, **run} for run in runs]
    names = [f"test_{number}.py::test" for number in range(cases)]
    return Used(
        suite=Suite(case_ids=names, groups=names, marks=[()] * cases),
        campaigns=("c0",),
        **{name: np.array([row[name] for row in rows]) for name in usual},
    )


def kind(*runs: dict[str, object]) -> str:
    return kinds_of(used(*runs))["test_0.py::test"]


def test_what_bounds_a_case_is_what_it_used_most_of() -> None:
    """Computing, waiting, memory, a GPU."""
    assert kind({"cpu_seconds": 0.9}) == "cpu"
    assert kind({"cpu_seconds": 0.1}) == "io"
    assert kind({"peak_bytes": 3.0 * GB}) == "memory"
    assert kind({"starved": True, "passed": False}) == "memory"
    assert kind({"has_gpu": True, "gpu_bytes": 1.0 * GB, "peak_bytes": 3.9 * GB}) == "gpu"


def test_a_case_that_never_ran_has_no_kind() -> None:
    """Nothing is made up."""
    assert kinds_of(used({}, cases=2)) == {"test_0.py::test": "cpu"}


def test_a_small_case_needs_nothing() -> None:
    """Any slot holds it."""
    assert needs_of(used({}, {"peak_bytes": 3.0 * GB})) == {}


def test_a_case_near_its_slots_memory_asks_for_room() -> None:
    """A quarter more than it ever used, rounded up so that such cases are queued together."""
    (need,) = needs_of(used({"peak_bytes": 3.5 * GB})).values()
    assert 1.25 * 3.5 * GB <= need.memory_bytes <= 1.5 * 1.25 * 3.5 * GB
    assert need.why == "it used 3.50 GB"


def test_a_case_that_was_stopped_for_its_memory_asks_for_much_more() -> None:
    """Nobody knows how much it would have used."""
    (need,) = needs_of(used({"starved": True, "passed": False, "peak_bytes": 4.0 * GB})).values()
    assert need.memory_bytes >= 16 * GB
    assert "stopped" in need.why


def test_what_was_guessed_is_measured_by_the_first_run_that_has_room() -> None:
    """It then asks for what it used."""
    stopped = {"starved": True, "passed": False, "peak_bytes": 4.0 * GB}
    (need,) = needs_of(used(stopped, {"peak_bytes": 6.0 * GB, "share_bytes": 64.0 * GB})).values()
    assert 7.5 * GB <= need.memory_bytes < 12 * GB


def test_a_case_that_never_passed_without_a_gpu_asks_for_one() -> None:
    """One that passes without can do without."""
    on_gpu = {"has_gpu": True, "gpu_bytes": 1.0 * GB}
    (need,) = needs_of(used(on_gpu, {"passed": False})).values()
    assert need.gpu == 1.0
    assert need.memory_bytes == 0
    assert needs_of(used(on_gpu, {"passed": True})) == {}
    assert needs_of(used({"has_gpu": True})) == {}


def test_classes_of_a_labelled_suite_are_right_after_three_runs() -> None:
    """At least 95 % of cases that declared nothing go where they belong."""
    right = [labelled(seed=seed, runs=3).right for seed in range(3)]
    assert min(right) >= 0.95
    assert labelled(seed=0, runs=0).right < 0.95, "the suite would tell nothing"
    assert set(CLASSES) == {"cpu", "highmem", "gpu"}
