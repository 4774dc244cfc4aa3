"""How good earlier predictions were: compared with the runs that came after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...infra.dispatching.pace import Pace
from ...infra.predictions import Calibration, Prediction, Predictions
from .levels import Floats
from .predictor import LONG_SECONDS, last_value, median_of_all
from .source import Used

# Earlier grades count as at most so many runs beside those of the newest campaign.
_REMEMBERED = 3


def grade(earlier: Predictions, used: Used) -> Calibration:
    """The grade so far, with the runs of campaigns that the predictions did not know of."""
    if earlier.campaign not in used.campaigns:
        return earlier.calibration
    first = used.campaigns.index(earlier.campaign) + 1
    later = used.passed & (used.campaign >= first) & (used.seconds >= LONG_SECONDS)
    known = [earlier.cases.get(case_id) for case_id in used.suite.case_ids]
    later &= np.array([each is not None for each in known], dtype=bool)[used.case]
    if not later.any():
        return earlier.calibration
    number = len(used.suite.case_ids)
    case, seconds = used.case[later], used.seconds[later]
    before = used.measured(before=first)
    told = np.array([_bounds(each) for each in known])[case]
    paces = pace_of_runs(earlier, used)[later]
    paced = np.array(
        [
            _bounds(foreseen and foreseen.at(pace, shared=earlier.shared))
            for foreseen, pace in zip((known[each] for each in case), paces.tolist(), strict=True)
        ]
    )
    return _merged(
        earlier.calibration,
        Calibration(
            runs=len(seconds),
            error=_error(told[:, 0], seconds),
            last_value_error=_error(last_value(before, cases=number)[case], seconds),
            median_error=_error(median_of_all(before, cases=number)[case], seconds),
            coverage=_coverage(told, seconds),
            paced_error=_error(paced[:, 0], seconds),
            paced_coverage=_coverage(paced, seconds),
        ),
    )


def pace_of_runs(foreseen: Predictions, used: Used) -> Floats:
    """By what factor each run was going to take longer, as far as one knew when it began."""
    told = [foreseen.cases.get(case_id) for case_id in used.suite.case_ids]
    usual = np.array([each.seconds if each else 0.0 for each in told])[used.case]
    found = np.ones(len(used.case))
    if not len(used.started):
        return found
    for campaign in np.unique(used.campaign).tolist():
        rows = np.flatnonzero((used.campaign == campaign) & used.passed)
        workers = used.worker[rows].tolist()
        machines = zip(workers, used.machine[rows].tolist(), strict=True)
        found[rows] = paces(
            usual[rows],
            seconds=used.seconds[rows],
            started=used.started[rows],
            workers=workers,
            speeds={name: foreseen.speeds.get(machine, 1.0) for name, machine in machines},
        )
    return found


def paces(
    usual: Floats,
    *,
    seconds: Floats,
    started: Floats,
    workers: Sequence[str],
    speeds: Mapping[str, float],
) -> Floats:
    """What a campaign knew of its own pace when each of its runs began: by those that were over.

    `usual` is what each run was foreseen to take, 0 where nothing was.
    """
    found = np.ones(len(seconds))
    pace, ends = Pace(), started + seconds
    for name, speed in speeds.items():
        pace.meet(name, speed)
    ending: list[int] = np.argsort(ends, kind="stable").tolist()
    starting: list[int] = np.argsort(started, kind="stable").tolist()
    over = iter(ending)
    after = next(over, None)
    for row in starting:
        while after is not None and ends[after] <= started[row]:
            pace.learn(workers[after], float(usual[after]), float(seconds[after]))
            after = next(over, None)
        found[row] = pace.of(workers[row])
    return found


def _bounds(told: Prediction | None) -> tuple[float, float, float]:
    nothing = np.nan, np.nan, np.nan
    return (told.seconds, told.low_seconds, told.high_seconds) if told else nothing


def _coverage(told: Floats, seconds: Floats) -> float:
    return float(np.mean((told[:, 1] <= seconds) & (seconds <= told[:, 2])))


def _error(told: Floats, seconds: Floats) -> float:
    missed = np.abs(told - seconds) / seconds
    known = missed[~np.isnan(missed)]
    return float(np.median(known)) if len(known) else 0.0


def _merged(old: Calibration, new: Calibration) -> Calibration:
    weight = min(old.runs, _REMEMBERED * new.runs)
    total = weight + new.runs

    def mean(before: float, now: float) -> float:
        return (weight * before + new.runs * now) / total

    return Calibration(
        runs=old.runs + new.runs,
        error=mean(old.error, new.error),
        last_value_error=mean(old.last_value_error, new.last_value_error),
        median_error=mean(old.median_error, new.median_error),
        coverage=mean(old.coverage, new.coverage),
        paced_error=mean(old.paced_error or old.error, new.paced_error),
        paced_coverage=mean(old.paced_coverage or old.coverage, new.paced_coverage),
    )
