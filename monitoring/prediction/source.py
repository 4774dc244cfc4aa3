"""What the store knows of a project's runs, as the columns that predictions are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..named_sql import load_sql
from ..store import Connection
from .levels import KEPT, Flags, Floats, Whole
from .predictor import Measured, Suite
from .worker_scores import LEAST_SECONDS, Score, score

_SQL = load_sql("predictions.sql")
# Campaigns before these tell of another suite.
CAMPAIGNS = 40
# A failure is no news of how long a pass takes.
_TELLING = ("passed", "xfailed", "xpassed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What each recorded run of a suite used, oldest first by case."""

    suite: Suite
    # Names of campaigns, oldest first.
    campaigns: tuple[str, ...]
    case: Whole
    campaign: Whole
    passed: Flags
    # Ended for lack of memory.
    starved: Flags
    seconds: Floats
    cpu_seconds: Floats
    peak_bytes: Floats
    moved_bytes: Floats
    gpu_bytes: Floats
    # What a slot of its worker has if all are used alike; 0 where that is not known.
    share_bytes: Floats
    # Whether its worker has a GPU that is real.
    has_gpu: Flags
    # When it began (unix time), on which worker, and what that is: `durations.machine_of`.
    started: Floats = field(default_factory=lambda: np.zeros(0))
    worker: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, dtype=np.str_))
    machine: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, dtype=np.str_))
    # By machine, beside others of the fleet.
    speeds: Mapping[str, float] = field(default_factory=dict[str, float])

    def measured(self, *, before: int | None = None) -> Measured:
        """The runs that tell how long the next one takes; of campaigns before that number."""
        rows = self.passed
        if before is not None:
            rows = rows & (self.campaign < before)
        return Measured(
            case=self.case[rows],
            campaign=self.campaign[rows],
            seconds=self.seconds[rows],
            cpu_seconds=self.cpu_seconds[rows],
            peak_bytes=self.peak_bytes[rows],
            moved_bytes=self.moved_bytes[rows],
            slowness=self._slowness()[rows] if self.speeds else None,
        )

    def _slowness(self) -> Floats:
        names, of = np.unique(self.machine, return_inverse=True)
        return np.array([1 / self.speeds.get(str(name), 1.0) for name in names])[of]


def newest_campaigns(connection: Connection) -> Mapping[str, str]:
    """The newest campaign that is over, by project."""
    rows = connection.execute(_SQL["projects"]).fetchall()
    return {str(project): str(campaign) for project, campaign in rows}


def used_by(connection: Connection, project: str) -> Used:
    """The newest runs of each case of the project's newest campaigns."""
    given = {"project": project, "campaigns": CAMPAIGNS}
    recent = connection.execute(_SQL["recent"], given).fetchall()[::-1]
    numbers = [int(number) for number, _ in recent]
    cases = connection.execute(_SQL["cases"], {"recent": numbers}).fetchall()
    asked = {"recent": numbers, "most": KEPT}
    columns = connection.execute(_SQL["runs"], asked).fetchnumpy()
    place = {int(case_no): row for row, (case_no, *_) in enumerate(cases)}
    order = {number: position for position, number in enumerate(numbers)}
    outcome = _plain(columns["outcome"])
    known = np.isin(_plain(columns["case_no"]), list(place))
    passed = np.isin(outcome, _TELLING)[known]
    case = _mapped(_plain(columns["case_no"])[known], place)
    machine = _plain(columns["machine"])[known].astype(np.str_)
    seconds = _plain(columns["seconds"])[known].astype(np.float64)
    telling = passed & (seconds >= LEAST_SECONDS)
    return Used(
        suite=Suite(
            case_ids=[str(case_id) for _, case_id, _, _ in cases],
            groups=[str(file) for _, _, file, _ in cases],
            marks=[tuple(json.loads(marks or "[]")) for *_, marks in cases],
        ),
        campaigns=tuple(str(name) for _, name in recent),
        case=case,
        campaign=_mapped(_plain(columns["campaign_no"])[known], order),
        passed=passed,
        starved=(outcome == "out-of-memory")[known],
        **{
            name: _plain(columns[name])[known].astype(np.float64)
            for name in (
                *("cpu_seconds", "peak_bytes", "moved_bytes"),
                *("gpu_bytes", "share_bytes", "started"),
            )
        },
        seconds=seconds,
        has_gpu=_plain(columns["has_gpu"])[known].astype(np.bool_),
        worker=_plain(columns["worker"])[known].astype(np.str_),
        machine=machine,
        speeds=_certain(score(case[telling], machine[telling].tolist(), seconds[telling])),
    )


def _certain(scores: Mapping[str, Score]) -> dict[str, float]:
    """Those that chance could have made count as usual."""
    return {
        name: 1.0 if each.low <= 1.0 <= each.high else round(each.speed, 4)
        for name, each in scores.items()
    }


def _plain(column: Any) -> NDArray[Any]:
    """DuckDB masks what may be NULL; nothing here is."""
    return np.asarray(np.ma.getdata(column))


def _mapped(values: NDArray[Any], to: Mapping[int, int]) -> Whole:
    return np.array([to[int(value)] for value in values], dtype=np.int64)
