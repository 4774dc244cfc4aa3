"""What the store knows of a project's runs, as the columns that predictions are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .named_sql import load_sql
from .prediction_levels import KEPT, Flags, Floats, Whole
from .predictor import Measured, Suite
from .store import Connection

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
        )


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
    return Used(
        suite=Suite(
            case_ids=[str(case_id) for _, case_id, _, _ in cases],
            groups=[str(file) for _, _, file, _ in cases],
            marks=[tuple(json.loads(marks or "[]")) for *_, marks in cases],
        ),
        campaigns=tuple(str(name) for _, name in recent),
        case=_mapped(_plain(columns["case_no"])[known], place),
        campaign=_mapped(_plain(columns["campaign_no"])[known], order),
        passed=np.isin(outcome, _TELLING)[known],
        starved=(outcome == "out-of-memory")[known],
        **{
            name: _plain(columns[name])[known].astype(np.float64)
            for name in (
                *("seconds", "cpu_seconds", "peak_bytes", "moved_bytes"),
                *("gpu_bytes", "share_bytes"),
            )
        },
        has_gpu=_plain(columns["has_gpu"])[known].astype(np.bool_),
    )


def _plain(column: Any) -> NDArray[Any]:
    """DuckDB masks what may be NULL; nothing here is."""
    return np.asarray(np.ma.getdata(column))


def _mapped(values: NDArray[Any], to: Mapping[int, int]) -> Whole:
    return np.array([to[int(value)] for value in values], dtype=np.int64)
