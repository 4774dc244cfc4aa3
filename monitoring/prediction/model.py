"""From features to quantiles: gradient boosting where there is enough to learn from, calibrated.

Everything here is in spreads of a case around its level, so that a case of a millisecond and one
of an hour can teach each other. Split-conformal calibration on cases that nothing was learned
from makes the interval hold what it promises, whatever the model is worth.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .levels import Flags, Floats

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

# Nine of ten runs.
LOW, HIGH = 0.05, 0.95
# Their bounds in a normal distribution, in standard deviations.
NINE_IN_TEN = 1.645
# Fewer examples than this teach a model nothing that a plain level does not know.
ENOUGH = 400
# More than this and learning takes longer and knows no more.
_MOST = 12_000
# Fewer than this say nothing of one in twenty.
_ENOUGH_TO_CALIBRATE = 40
# What a tail is taken for until anything is measured: of the normal distribution, and then some.
_TAIL = 2.5
# A learned median that makes errors hardly smaller on cases aside was lucky with them: on three
# real histories the plain level was nearer to the next run.
WORTH = 0.9
_ROUNDS = 60
_SEED = 20240501


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Runs with what was known before each."""

    # A row a run; NaN where nothing is known.
    features: Floats
    # How far the run was from its level, in spreads.
    apart: Floats
    # The strata that are calibrated each for itself.
    stratum: Flags
    # Cases set aside for calibration.
    aside: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """By case: the median and the ends of the interval, in spreads around the level."""

    middle: Floats
    low: Floats
    high: Floats


class Model:
    """Learned and calibrated on the same examples, of which a part was set aside."""

    def __init__(self, examples: Examples) -> None:
        self._low: HistGradientBoostingRegressor | None = None
        self._middle: HistGradientBoostingRegressor | None = None
        self._high: HistGradientBoostingRegressor | None = None
        self._columns = np.zeros(0, dtype=np.intp)
        # How far the learned median is followed; 0 leaves the level alone.
        self.weight = {True: 0.0, False: 0.0}
        self._shift = {True: 0.0, False: 0.0}
        self._trusted = {True: False, False: False}
        self._widen = {True: (0.0, 0.0), False: (0.0, 0.0)}
        if (~examples.aside).sum() >= ENOUGH:
            self._learn(examples)
        self._calibrate(examples)

    def predict(self, features: Floats, stratum: Flags) -> Quantiles:
        raw = self._raw(features, stratum)
        low, high = raw.low.copy(), raw.high.copy()
        for which, (down, up) in self._widen.items():
            here = stratum == which
            low[here] -= down
            high[here] += up
        return Quantiles(
            middle=raw.middle,
            low=np.minimum(low, raw.middle),
            high=np.maximum(high, raw.middle),
        )

    def _learn(self, examples: Examples) -> None:
        # Takes a second to import: never where a campaign waits.
        from sklearn.ensemble import HistGradientBoostingRegressor

        taught = np.flatnonzero(~examples.aside)
        if len(taught) > _MOST:
            taught = np.random.default_rng(_SEED).choice(taught, _MOST, replace=False)
        features, apart = examples.features[taught], examples.apart[taught]
        # What is unknown of all of them: learning refuses such columns.
        self._columns = np.flatnonzero(~np.isnan(features).all(axis=0))
        features = features[:, self._columns]

        def fit(quantile: float) -> HistGradientBoostingRegressor:
            return HistGradientBoostingRegressor(
                loss="quantile",
                quantile=quantile,
                max_iter=_ROUNDS,
                max_leaf_nodes=12,
                min_samples_leaf=40,
                l2_regularization=1.0,
                early_stopping=False,  # pyright: ignore[reportArgumentType] - documented as a bool
                random_state=_SEED,
            ).fit(features, apart)

        with _one_thread():
            self._low, self._middle, self._high = fit(LOW), fit(0.5), fit(HIGH)

    def _calibrate(self, examples: Examples) -> None:
        aside = examples.aside
        if aside.sum() < _ENOUGH_TO_CALIBRATE:
            # Too few cases to set any aside: better calibrated on all than not.
            aside = np.ones(len(examples.apart), dtype=bool)
        apart = examples.apart[aside]
        features, stratum = examples.features[aside], examples.stratum[aside]
        for which in (True, False):
            here = stratum == which
            if here.sum() < _ENOUGH_TO_CALIBRATE:
                # What was learned of a thousand short cases made a dozen long ones worse.
                self._widen[which] = (
                    _one_in_twenty(-NINE_IN_TEN - apart),
                    _one_in_twenty(apart - NINE_IN_TEN),
                )
                continue
            self.weight[which] = self._best_weight(features[here], apart[here])
            self._trusted[which] = self.weight[which] > 0
            raw = self._raw(features[here], stratum[here])
            if self._trusted[which]:
                self._shift[which] = float(np.median(apart[here] - raw.middle))
            self._widen[which] = (
                _one_in_twenty(raw.low - apart[here]),
                _one_in_twenty(apart[here] - raw.high),
            )

    def _best_weight(self, features: Floats, apart: Floats) -> float:
        """A learned median is followed only as far as it helps on cases it has not seen."""
        if self._middle is None:
            return 0.0
        with _one_thread():
            learned = np.asarray(self._middle.predict(features[:, self._columns]))
        missed = {w: float(np.abs(apart - w * learned).mean()) for w in (0.0, 0.5, 1.0)}
        best = min(missed, key=lambda w: missed[w])
        return best if missed[best] < WORTH * missed[0.0] else 0.0

    def _raw(self, features: Floats, stratum: Flags) -> Quantiles:
        none = np.zeros(len(features))
        shift = np.where(stratum, self._shift[True], self._shift[False])
        plain = Quantiles(middle=none + shift, low=none - NINE_IN_TEN, high=none + NINE_IN_TEN)
        if self._low is None or self._middle is None or self._high is None or not len(features):
            return plain
        trusted = np.where(stratum, self._trusted[True], self._trusted[False])
        weight = np.where(stratum, self.weight[True], self.weight[False])
        features = features[:, self._columns]
        with _one_thread():
            return Quantiles(
                middle=weight * np.asarray(self._middle.predict(features)) + shift,
                low=np.where(trusted, np.asarray(self._low.predict(features)), plain.low),
                high=np.where(trusted, np.asarray(self._high.predict(features)), plain.high),
            )


def _one_thread() -> AbstractContextManager[object]:
    """It works beside tests: threads that wait for each other in loops took four times the CPU."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def _one_in_twenty(beyond: Floats) -> float:
    """What to add to an end so that one run in twenty lies beyond it."""
    if len(beyond) < _ENOUGH_TO_CALIBRATE // 2:
        return _TAIL - NINE_IN_TEN
    # As many as the rank among one more that is to come.
    level = min(1.0, HIGH * (len(beyond) + 1) / len(beyond))
    return float(np.quantile(beyond, level))
