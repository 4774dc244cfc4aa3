"""The file of predictions: read back as written, forgotten when it cannot be trusted, used first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ledger_parts import attempt, case

from proctor.infra import predictions, timings
from proctor.infra.dispatching.durations import FIRST_GUESS_SECONDS, CaseHistory, Durations
from proctor.infra.predictions import (
    NOTHING,
    STALE_SECONDS,
    Calibration,
    LearnedNeed,
    Prediction,
    Predictions,
    kin_of,
    load,
    save,
)
from proctor.infra.records import Case, Usage


def of(seconds: float) -> Prediction:
    return Prediction(
        seconds=seconds,
        low_seconds=seconds / 2,
        high_seconds=seconds * 2,
        peak_bytes=10,
        peak_high_bytes=20,
    )


MADE = Predictions(
    campaign="monday",
    cases={case(0).id: of(7.0)},
    kin={"": of(1.0), "tests": of(2.0), "tests/test_x.py": of(3.0), "tests/test_x.py::f": of(4.0)},
    kinds={case(0).id: "cpu"},
    needs={case(0).id: LearnedNeed(memory_bytes=2**30, gpu=1.0, why="it used 1 GB")},
    calibration=Calibration(runs=5, error=0.1, coverage=0.9),
)


def test_they_come_back_as_they_were(tmp_path: Path) -> None:
    """Cases, kin, kinds, needs and the grade."""
    save(MADE, tmp_path / "project")
    assert load(tmp_path / "project") == MADE


@pytest.mark.parametrize("content", [None, b"{", b"[]", b'{"format": 0}'])
def test_what_cannot_be_read_is_no_prediction(tmp_path: Path, content: bytes | None) -> None:
    """It is a cache: campaigns plan by their timings then."""
    if content is not None:
        (tmp_path / predictions.FILE).write_bytes(content)
    assert load(tmp_path) == NOTHING


def test_predictions_that_are_no_longer_made_are_not_followed(tmp_path: Path) -> None:
    """Campaigns went on measuring for more than a day."""
    known = timings.Timings()
    known.take_in([attempt(usage=Usage(wall_seconds=2.0))])
    timings.save(known, tmp_path)
    save(MADE, tmp_path)
    measured_at = (tmp_path / timings.FILE).stat().st_mtime
    os.utime(tmp_path / predictions.FILE, (0, measured_at - STALE_SECONDS + 60))
    assert timings.load(tmp_path).durations().known(case(0)) == 7.0
    os.utime(tmp_path / predictions.FILE, (0, measured_at - STALE_SECONDS - 60))
    assert timings.load(tmp_path).durations().known(case(0)) == 2.0


def test_kin_are_named_from_the_nearest_on() -> None:
    """Function, file, its directories, the suite."""
    assert list(kin_of("a/b/test_x.py::f[1]", "a/b/test_x.py")) == [
        "a/b/test_x.py::f",
        "a/b/test_x.py",
        "a/b",
        "a",
        "",
    ]


def test_a_case_that_never_ran_is_judged_by_its_kin() -> None:
    """By the nearest that ever ran; this campaign's own runs are nearer still."""
    durations = Durations(cases={"old": CaseHistory(seconds=9.0)}, predicted=MADE)

    def told(case_id: str, group: str) -> float:
        return durations.estimate(Case(id=case_id, group=group, index=0))

    assert told(case(0).id, "test_a.py") == 7.0
    assert told("old", "elsewhere.py") == 9.0
    assert told("tests/test_x.py::f[9]", "tests/test_x.py") == 4.0
    assert told("tests/test_x.py::g", "tests/test_x.py") == 3.0
    assert told("tests/test_y.py::g", "tests/test_y.py") == 2.0
    assert told("test_z.py::g", "test_z.py") == 1.0
    durations.learn(Case(id="tests/test_x.py::g[0]", group="tests/test_x.py", index=1), 0.5)
    assert told("tests/test_x.py::g[1]", "tests/test_x.py") == 0.5
    assert Durations().estimate(case(0)) == FIRST_GUESS_SECONDS
