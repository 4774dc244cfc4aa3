"""What comes next: durations of cases, load of the fleet, and when a limit will be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .experts import DURATION, HOURLY_LOAD, Expert, opinions, weigh
from .ranks import Floats

# Errors of so many past forecasts make the interval.
_REMEMBERED = 200
_FEWEST = 3
# After so many steps an error of an expert counts half: runs of a case, and a week of hours.
DURATION_HALF_LIFE = 12.0
LOAD_HALF_LIFE = 168.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One forecast value with the interval that holds it with the asked probability."""

    ahead: int
    value: float
    low: float
    high: float
    # Share of each expert in it.
    weights: Mapping[str, float]


def expected_duration(seconds: Floats, *, inside: float = 0.9) -> Expected | None:
    """The next duration of a case, from its earlier ones, oldest first."""
    values = np.asarray(seconds, float)
    found = _forecast(values, DURATION, 1, inside=inside, half_life=DURATION_HALF_LIFE)
    return None if found is None else _not_negative(found)


def expected_load(hourly: Floats, hours: int, *, inside: float = 0.9) -> tuple[Expected, ...]:
    """Work-seconds for each of the next hours, from the hours so far."""
    values = np.asarray(hourly, float)
    found = (
        _forecast(values, HOURLY_LOAD, h, inside=inside, half_life=LOAD_HALF_LIFE)
        for h in range(1, hours + 1)
    )
    return tuple(_not_negative(f) for f in found if f is not None)


def past_forecasts(
    values: Floats,
    experts: Mapping[str, Expert],
    ahead: int,
    *,
    half_life: float = DURATION_HALF_LIFE,
) -> Floats:
    """What would have been forecast for each place, `ahead` steps before it."""
    values = np.asarray(values, float)
    opinion = opinions(values, experts, ahead)[:, : len(values)]
    return weigh(opinion, values, ahead, half_life=half_life)[0]


def steps_to(limit: float, values: Floats, *, horizon: int = 100) -> tuple[float, float] | None:
    """How many points until a straight trend reaches the limit: expected and soonest.

    Theil-Sen slope through the recent points; None if it will not happen within the horizon.
    """
    recent = np.asarray(values, float)[-60:]
    n = len(recent)
    if n < 8:
        return None
    i, j = np.triu_indices(n, 1)
    slopes = np.sort((recent[j] - recent[i]) / (j - i))
    slope = float(np.median(slopes))
    now = float(np.median(recent - slope * np.arange(n))) + slope * (n - 1)
    gap = limit - now
    if gap == 0:
        return 0.0, 0.0
    # Kendall's variance gives the interval of the slope (Sen 1968).
    reach = 1.645 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    k = int(np.clip((len(slopes) - reach) / 2, 0, len(slopes) - 1))
    fastest = float(slopes[len(slopes) - 1 - k] if gap > 0 else slopes[k])
    if fastest * gap <= 0 or slope * gap <= 0 or gap / slope > horizon:
        return None
    return gap / slope, gap / fastest


def _forecast(
    values: Floats,
    experts: Mapping[str, Expert],
    ahead: int,
    *,
    inside: float,
    half_life: float,
) -> Expected | None:
    values = values[np.isfinite(values)]
    n = len(values)
    if n == 0:
        return None
    opinion = opinions(values, experts, ahead)
    combined, weight = weigh(opinion, values, ahead, half_life=half_life)
    value = float(combined[n + ahead - 1])
    if not np.isfinite(value):
        value = float(values[-1])
    errors = (values - combined[:n])[-_REMEMBERED:]
    errors = errors[np.isfinite(errors)]
    if len(errors) >= _FEWEST:
        low, high = np.quantile(errors, ((1 - inside) / 2, (1 + inside) / 2))
    else:
        # Too little is known: anything from half to twice.
        low, high = -abs(value) / 2, abs(value)
    shares = dict(zip(experts, np.nan_to_num(weight[:, n + ahead - 1]).tolist(), strict=True))
    return Expected(
        ahead=ahead,
        value=value,
        low=value + min(float(low), 0.0),
        high=value + max(float(high), 0.0),
        weights=shares,
    )


def _not_negative(found: Expected) -> Expected:
    return Expected(
        ahead=found.ahead,
        value=max(found.value, 0.0),
        low=max(found.low, 0.0),
        high=max(found.high, 0.0),
        weights=found.weights,
    )
