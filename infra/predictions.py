"""What is foreseen of a project's cases: a file that a campaign reads, made in the background.

It stands beside `timings.json` and is written whole; whoever reads it needs neither the store nor
scikit-learn. A case that never ran is judged by its kin: function, file, directory, suite.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import exp, log, sqrt
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any, cast

import orjson

from .records import Case

FORMAT = 1
FILE = "predictions.json"
# Seconds: median, low, high; bytes: median, high.
Row = tuple[float, float, float, int, int]
# Made after every campaign: one that lags behind what was measured by this much is no longer made.
STALE_SECONDS = 86_400.0
# However sure of a campaign's pace: it changes while it lasts.
_LEAST_OF_WIDTH = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What one more run of a case will take: medians, and what nine of ten runs lie between."""

    seconds: float
    low_seconds: float
    high_seconds: float
    peak_bytes: int = 0
    # Nineteen of twenty runs stay below.
    peak_high_bytes: int = 0

    def at(self, pace: float, *, shared: float) -> Prediction:
        """In a campaign that turned out so slow: what was uncertain of all cases is known by now.

        `shared` is that part of each interval, as a logarithm; see `Predictions.shared`.
        """
        low = _without(log(self.seconds / self.low_seconds), shared)
        high = _without(log(self.high_seconds / self.seconds), shared)
        seconds = self.seconds * pace
        return replace(
            self, seconds=seconds, low_seconds=seconds * exp(-low), high_seconds=seconds * exp(high)
        )


def _without(width: float, shared: float) -> float:
    """Parts of an interval that have nothing to do with each other add up as squares do."""
    return sqrt(max(width**2 - shared**2, (_LEAST_OF_WIDTH * width) ** 2))


class Rows(Mapping[str, Prediction]):
    """Predictions as they stand in the file; of tens of thousands only those asked for are made."""

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> Prediction:
        seconds, low, high, peak, peak_high = self._rows[name]
        return Prediction(
            seconds=seconds,
            low_seconds=low,
            high_seconds=high,
            peak_bytes=peak,
            peak_high_bytes=peak_high,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedNeed:
    """What a case turned out to need without having said so."""

    memory_bytes: int = 0
    gpu: float = 0.0
    # One sentence's end: "it was killed at 2.0 GB".
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How well the predictor did on runs that it had not seen."""

    runs: int = 0
    # Median of the absolute error, relative to what was measured.
    error: float = 0.0
    last_value_error: float = 0.0
    median_error: float = 0.0
    # Which part of the runs lay within the interval that should hold nine of ten.
    coverage: float = 0.0
    # The same of what was foreseen when each case began, the campaign's own pace known by then.
    paced_error: float = 0.0
    paced_coverage: float = 0.0


UNGRADED = Calibration()


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """All of a project's, as they stand in the file."""

    # The newest campaign that they know of.
    campaign: str = ""
    cases: Mapping[str, Prediction] = field(default_factory=dict[str, Prediction])
    # By function, file, directory; "" is the whole suite.
    kin: Mapping[str, Prediction] = field(default_factory=dict[str, Prediction])
    # cpu, memory, io or gpu: what bounds a case.
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: Mapping[str, LearnedNeed] = field(default_factory=dict[str, LearnedNeed])
    # By machine and class, as `durations.machine_of` names them: how fast its workers are beside
    # others, where there are others to compare with.
    speeds: Mapping[str, float] = field(default_factory=dict[str, float])
    # How far a whole campaign may be from its usual pace: this part of each interval (as a
    # logarithm) is the same for all cases, and known as soon as some of them have run.
    shared: float = 0.0
    calibration: Calibration = UNGRADED

    def of(self, case: Case) -> Prediction | None:
        """By the case's own runs, or by the nearest of its kin that ever ran."""
        return self.cases.get(case.id) or self.of_kin(case)

    def of_kin(self, case: Case) -> Prediction | None:
        """By the nearest of its kin that ever ran."""
        return next((self.kin[key] for key in kin_of(case.id, case.group) if key in self.kin), None)

    def speed(self, machine: str) -> float:
        """How fast workers there are; where nobody ran before, as those of their class elsewhere.

        The names of containers are new each time, and those of their class tell of them.
        """
        if machine in self.speeds:
            return self.speeds[machine]
        _, slash, worker_class = machine.rpartition("/")
        alike = [
            speed for name, speed in self.speeds.items() if name.endswith(slash + worker_class)
        ]
        return median(alike) if alike else 1.0


NOTHING = Predictions()


def kin_of(case_id: str, group: str) -> Iterator[str]:
    """The names of what a case belongs to, nearest first; the last one, "", is the suite."""
    yield case_id.partition("[")[0]
    yield group
    for parent in PurePosixPath(group).parents:
        if str(parent) not in {".", "/"}:
            yield str(parent)
    yield ""


def load(project: Path, *, measured_at: float = 0.0) -> Predictions:
    """The project's predictions; none if they cannot be read, or are older than what was measured.

    `measured_at` is when a campaign last left its measurements.
    """
    file = project / FILE
    try:
        if file.stat().st_mtime < measured_at - STALE_SECONDS:
            return NOTHING
        kept: object = orjson.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return NOTHING
    if not isinstance(kept, dict):
        return NOTHING
    told = cast("dict[str, Any]", kept)
    if told.get("format") != FORMAT:
        return NOTHING
    return Predictions(
        campaign=told["campaign"],
        cases=Rows(told["cases"]),
        kin=Rows(told["kin"]),
        kinds=told["kinds"],
        needs={name: LearnedNeed(**each) for name, each in told["needs"].items()},
        speeds=told.get("speeds", {}),
        shared=told.get("shared", 0.0),
        calibration=Calibration(**told["calibration"]),
    )


def save(predictions: Predictions, project: Path) -> None:
    """Write them whole or not at all."""
    project.mkdir(parents=True, exist_ok=True)
    beside = project / f"{FILE}.{os.getpid()}.new"
    beside.write_bytes(
        orjson.dumps(
            {
                "format": FORMAT,
                "campaign": predictions.campaign,
                "cases": {name: _row(each) for name, each in predictions.cases.items()},
                "kin": {name: _row(each) for name, each in predictions.kin.items()},
                "kinds": dict(predictions.kinds),
                "needs": dict(predictions.needs),
                "speeds": dict(predictions.speeds),
                "shared": predictions.shared,
                "calibration": predictions.calibration,
            }
        )
    )
    beside.replace(project / FILE)


def _row(of: Prediction) -> Row:
    return (
        round(of.seconds, 6),
        round(of.low_seconds, 6),
        round(of.high_seconds, 6),
        of.peak_bytes,
        of.peak_high_bytes,
    )
