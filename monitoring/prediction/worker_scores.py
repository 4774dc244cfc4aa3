"""How fast each worker is: from which cases it ran and how long those took elsewhere.

The log of a duration is taken as the case's own length plus the worker's slowness plus noise. Only
cases that ran on more than one worker tell anything, so it does not matter which worker got the
long ones. Huber's loss bounds what a single odd run can say. The stated error is that of the
noise of single runs: a worker that had a bad day for all of its cases was slow on that day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..named_sql import load_sql
from ..store import Store, Waiting
from ..trends.robust import spread
from .levels import Floats, Whole

_SQL = load_sql("worker_scores.sql")
# Older campaigns tell of other machines under the same names.
CAMPAIGNS = 40
# So many runs of a case on a worker say all that it has to say there.
RUNS = 5
# Below this, durations are those of the runner and not of the worker.
LEAST_SECONDS = 0.005
# Somebody waits for a table: it comes without speeds rather than late.
WAIT_SECONDS = 0.5
# Fewer runs than this beyond what the cases themselves take up say nothing of the noise.
LEAST_FREEDOM = 5
# Huber's usual bound, in standard deviations: 95 % as sharp as the mean where nothing is odd.
_BOUND = 1.345
_ROUNDS = 50
_CLOSE = 1e-7
# 95 % of a normal distribution.
_WIDE = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The speed of a worker; 1 is the geometric mean of those it can be compared with."""

    speed: float
    # The range that holds it with 95 % of the chance.
    low: float
    high: float
    # Runs of cases that others ran too.
    runs: int

    @property
    def error(self) -> float:
        return (self.high - self.low) / 2

    @property
    def text(self) -> str:
        return f"{self.speed:.2f} ±{self.error:.2f}"

    def plain(self) -> dict[str, float | int]:
        return {"speed": self.speed, "low": self.low, "high": self.high, "runs": self.runs}


def read_scores(state: Path) -> Mapping[str, Score]:
    """By name, the workers that the store of a state directory can compare."""
    store = Store(state, waiting=Waiting(patience=WAIT_SECONDS))
    if not store.exists:
        return {}
    asked = {"campaigns": CAMPAIGNS, "least": LEAST_SECONDS, "most": RUNS}
    with store.reading() as connection:
        columns = connection.execute(_SQL["runs"], asked).fetchnumpy()
    seconds = np.asarray(np.ma.getdata(columns["seconds"]), dtype=np.float64)
    return score(
        np.asarray(np.ma.getdata(columns["case_no"]), dtype=np.int64),
        [str(name) for name in columns["worker"]],
        seconds,
    )


def score(cases: Whole, workers: Sequence[str], seconds: Floats) -> Mapping[str, Score]:
    """The speeds that runs tell of, a row a run; workers nobody shares a case with have none."""
    if not len(seconds):
        return {}
    names, worker = np.unique(np.asarray(workers, dtype=object).astype(str), return_inverse=True)
    told = _shared(cases, worker) & (seconds > 0)
    told &= _together(cases, worker, told)
    if not told.any():
        return {}
    used, worker = np.unique(worker[told], return_inverse=True)
    _, case = np.unique(cases[told], return_inverse=True)
    fit = _fit(case, worker, np.log(seconds[told]))
    if fit is None:
        return {}
    slowness, errors = fit
    runs = np.bincount(worker)
    return {
        str(names[number]): Score(
            speed=exp(-slow),
            low=exp(-slow - _WIDE * error),
            high=exp(-slow + _WIDE * error),
            runs=int(count),
        )
        for number, slow, error, count in zip(used, slowness, errors, runs, strict=True)
    }


def _fit(case: Whole, worker: Whole, values: Floats) -> tuple[Floats, Floats] | None:
    """By worker: how slow it is, around a mean of zero, and the standard error of that."""
    count, cases, workers = len(values), int(case.max()) + 1, int(worker.max()) + 1
    freedom = count - cases - workers + 1
    if freedom < LEAST_FREEDOM:
        return None
    # Residuals of a fit are smaller than the noise: each case has taken up one run.
    widening = (count / freedom) ** 0.5
    slowness = np.zeros(workers)
    weights = np.ones(count)
    lengths = _medians(case, values)
    for _ in range(3):
        slowness = _medians(worker, values - lengths[case])
        lengths = _medians(case, values - slowness[worker])
    rest = values - lengths[case] - slowness[worker]
    # Where half of the runs agree to the digit, any bound will do.
    bound = _BOUND * (spread(rest) * widening or 1e-9)
    for _ in range(_ROUNDS):
        weights = np.minimum(1.0, bound / np.maximum(np.abs(rest), 1e-300))
        before, slowness = slowness, _solve(case, worker, values, weights)
        lengths = np.bincount(case, weights * (values - slowness[worker])) / np.bincount(
            case, weights
        )
        rest = values - lengths[case] - slowness[worker]
        if np.abs(slowness - before).max() < _CLOSE:
            break
    inside = float(np.mean(np.abs(rest) < bound)) or 1 / count
    noise = float(np.sum(np.clip(rest, -bound, bound) ** 2)) / freedom / inside**2
    variance = noise * np.diag(_inverse(_laplacian(case, worker, np.ones(count))))
    return slowness, np.sqrt(np.maximum(variance, 0.0))


def _solve(case: Whole, worker: Whole, values: Floats, weights: Floats) -> Floats:
    """Weighted least squares for the workers, the cases' own lengths eliminated."""
    means = np.bincount(case, weights * values) / np.bincount(case, weights)
    pull = np.bincount(worker, weights * (values - means[case]))
    # Of all solutions that differ by a constant, the one whose mean is zero.
    return _inverse(_laplacian(case, worker, weights)) @ pull


def _inverse(laplacian: NDArray[np.float64]) -> NDArray[np.float64]:
    """On all that sums to zero, for workers that are linked.

    `pinv` guesses from rounding which direction has no answer, and guessed wrong with 100 workers.
    """
    ones = np.full_like(laplacian, 1 / len(laplacian))
    scale = float(np.trace(laplacian)) / len(laplacian)
    return np.linalg.inv(laplacian + scale * ones) - ones / scale


def _laplacian(case: Whole, worker: Whole, weights: Floats) -> NDArray[np.float64]:
    shares = coo_array((weights, (case, worker))).tocsr()
    totals = np.bincount(case, weights)
    scaled = shares.multiply(1 / totals[:, None]).tocsr()
    return np.diag(np.bincount(worker, weights)) - (shares.T @ scaled).toarray()


def _shared(cases: Whole, worker: Whole) -> NDArray[np.bool_]:
    """Runs of cases that more than one worker ran."""
    pairs = np.unique(np.stack([cases, worker]), axis=1)
    ran, times = np.unique(pairs[0], return_counts=True)
    return np.isin(cases, ran[times > 1])


def _together(cases: Whole, worker: Whole, told: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Runs of the largest set of workers that are linked by cases: no others can be compared."""
    if not told.any():
        return told
    _, case = np.unique(cases, return_inverse=True)
    first = int(worker.max()) + 1
    size = first + int(case.max()) + 1
    links = coo_array((told.astype(np.int8), (worker, first + case)), shape=(size, size))
    _, sets = connected_components(links, directed=False)
    mine = sets[worker]
    return mine == np.bincount(mine[told]).argmax()


def _medians(groups: Whole, values: Floats) -> Floats:
    """The median of each group."""
    order = np.lexsort((values, groups))
    ordered = values[order]
    ends = np.cumsum(np.bincount(groups))
    starts = np.concatenate(([0], ends[:-1]))
    size = ends - starts
    low, high = starts + (size - 1) // 2, starts + size // 2
    return (ordered[low] + ordered[high]) / 2
