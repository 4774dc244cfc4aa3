"""How good earlier predictions were: compared with the runs that came after them."""

from __future__ import annotations

import numpy as np

from ..infra.predictions import Calibration, Predictions
from .prediction_levels import Floats
from .prediction_source import Used
from .predictor import LONG_SECONDS, last_value, median_of_all

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
    told = np.array(
        [
            (each.seconds, each.low_seconds, each.high_seconds) if each else (np.nan,) * 3
            for each in known
        ]
    )[case]
    return _merged(
        earlier.calibration,
        Calibration(
            runs=len(seconds),
            error=_error(told[:, 0], seconds),
            last_value_error=_error(last_value(before, cases=number)[case], seconds),
            median_error=_error(median_of_all(before, cases=number)[case], seconds),
            coverage=float(np.mean((told[:, 1] <= seconds) & (seconds <= told[:, 2]))),
        ),
    )


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
    )
