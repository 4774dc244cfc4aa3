"""Change points: where a series moved to another level for good, how far, and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from .background import Background
from .chances import Chances
from .descriptions import describe_rows
from .evidence import strengths
from .far_mode import usual_runs
from .location import places, settle
from .ranks import Floats, Ints
from .segments import edges, inner, levels, residual_rows, row_spreads
from .thresholds import false_alarm_chance, threshold

# How many times per 1,000 points a series without change may be said to shift.
ALARMS = 0.04
# How likely a shift has to be where it is told, or one beside. Many of those that are less sure are
# none, or lie elsewhere; without them weaker ones can be told.
SURE = 0.62
# What is asked instead where a shift is told with its range, and other series may know its place.
_RANGED_ALARMS = 0.02
# So many points and series are looked at together: more save no calls worth the memory.
_POINTS = 150_000
_SERIES = 600
# Values beyond this, or below one part of it, are brought nearer to 1 first.
_LARGE = 1e100
# Bytes and points: see `_keep_memory`.
_KEPT = 31 << 20
_MANY = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One shift of the level."""

    # The first point of the new level, and the range that holds it with 95 %.
    index: int
    low: int
    high: int
    before: float
    after: float
    # In standard deviations of the noise beside it.
    effect: float
    # As a normal deviate, and how often a series without change would show as much.
    strength: float
    p_value: float
    # How likely each first point is, where that was told.
    chances: Chances | None = field(default=None, compare=False, repr=False)

    @property
    def relative(self) -> float:
        """The size as a share of the old level."""
        return (self.after - self.before) / abs(self.before) if self.before else np.inf

    @property
    def probability(self) -> float:
        return 1.0 - self.p_value

    def scaled(self, power: int) -> Change:
        """The same in a series whose values are that power of two times as large."""
        before, after = np.ldexp((self.before, self.after), power).tolist()
        return replace(self, before=before, after=after)

    def later(self, points: int) -> Change:
        """The same in a series that began so many points before."""
        return replace(
            self,
            index=self.index + points,
            low=self.low + points,
            high=self.high + points,
            chances=self.chances and self.chances.moved(points),
        )

    def among(self, places: Ints) -> Change:
        """The same in a series that has other points between, which say nothing of the shift."""
        return replace(
            self,
            index=int(places[self.index]),
            low=int(places[self.low - 1]) + 1,
            high=int(places[self.high]),
            chances=self.chances and self.chances.among(places.tolist()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Levels with a background: one way to explain a series."""

    # What is left of the values without the background.
    values: Floats
    shifts: tuple[int, ...]
    background: Background
    memory: float


def find_changes(
    values: Floats | Sequence[float], *, alarms: float = ALARMS, sure: float = SURE
) -> tuple[Change, ...]:
    """The shifts of one series of finite values.

    `alarms` is how many times per 1,000 points a series without change may be said to shift; `sure`
    how likely a shift has to be at the place that is told of it, or one beside.
    """
    return find_all_changes([np.asarray(values, float)], alarms=alarms, sure=sure)[0]


def find_ranged_changes(series: Sequence[Floats]) -> list[tuple[Change, ...]]:
    """The surer shifts of each of many series, however wide the range that holds each."""
    return find_all_changes(series, alarms=_RANGED_ALARMS, sure=0.0)


def find_all_changes(
    series: Sequence[Floats], *, alarms: float = ALARMS, sure: float = SURE
) -> list[tuple[Change, ...]]:
    """The shifts of each of many series; those of one length are looked at together."""
    powers = [_power(values) for values in series]
    series = [
        np.ldexp(values, -power) if power else values
        for values, power in zip(series, powers, strict=True)
    ]
    out, usual = list[tuple[Change, ...]]([()] * len(series)), dict[int, Ints]()
    for which, rows in _together(series):
        for i, found in zip(which, _changes(rows, alarms, sure), strict=True):
            out[i] = found
        usual |= {which[row]: places for row, places in usual_runs(rows).items()}
    far = list(usual)
    for which, rows in _together([series[i][usual[i]] for i in far]):
        for k, found in zip(which, _changes(rows, alarms, sure), strict=True):
            i = far[k]
            out[i] = _joined(out[i], [each.among(usual[i]) for each in found])
    for i, power in enumerate(powers):
        if power:
            out[i] = tuple(each.scaled(power) for each in out[i])
    return out


def _power(values: Floats) -> int:
    """The power of two that a series is divided by; 0 for nearly all.

    The squares of what is recorded may be too small or too large for a number: p-values, say.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not largest or not np.isfinite(largest) or 1 / _LARGE < largest < _LARGE:
        return 0
    return int(np.frexp(largest)[1])


def _together(series: Sequence[Floats]) -> Iterator[tuple[list[int], Floats]]:
    """Which series to look at together, and their table."""
    same = dict[int, list[int]]()
    for i, values in enumerate(series):
        same.setdefault(len(values), []).append(i)
    for n, alike in same.items():
        count = min(_SERIES, max(1, _POINTS // max(n, 1)))
        for at in range(0, len(alike), count):
            which = alike[at : at + count]
            yield which, np.array([series[i] for i in which], float)


def _joined(all_runs: Sequence[Change], usual: Sequence[Change]) -> tuple[Change, ...]:
    """What the usual runs show, and what else all show: there the same shift is seen dimly."""

    def seen(change: Change) -> bool:
        return any(change.low <= each.high and each.low <= change.high for each in usual)

    more = [change for change in all_runs if not seen(change)]
    return tuple(sorted([*more, *usual], key=lambda change: change.index))


def describe(values: Floats, *, alarms: float = ALARMS) -> Description:
    """The simplest convincing explanation: levels alone, or with a slope or waves."""
    told = describe_rows(values[None], alarms)
    return Description(
        values=told.rows[0],
        shifts=tuple(settle(told.rows, told.cuts)),
        background=told.backgrounds[0],
        memory=float(told.memory[0]),
    )


@cache
def _keep_memory() -> None:
    """Have the C library keep as much memory as large tables come and go with.

    Until it has seen a table as large go, it gives what they held back to the system each time;
    the pages that then come anew, and cleared, are a tenth of the time.
    """
    np.empty(_KEPT, np.uint8)


def _changes(rows: Floats, alarms: float, sure: float) -> list[tuple[Change, ...]]:
    out = list[tuple[Change, ...]]([()] * len(rows))
    n = rows.shape[1]
    if rows.size > _MANY:
        _keep_memory()
    told = describe_rows(rows, alarms)
    told = told.only(np.unique(np.asarray(told.cuts, np.intp) // max(n, 1)))
    if not told.cuts:
        return out
    found = places(told.rows, told.cuts, memory=told.memory)
    cuts = [place.at for place in found]
    bounds = edges(told.rows, cuts)
    which = inner(told.rows, bounds)
    level = levels(told.rows, bounds[:-1], bounds[1:])
    noise = row_spreads(residual_rows(told.rows, cuts))[bounds[which] // n]
    apart = level[which] - level[which - 1]
    effect = np.where(
        noise > 0, apart / np.where(noise > 0, noise, 1.0), np.copysign(np.inf, apart)
    )
    columns = zip(
        found,
        level[which - 1].tolist(),
        level[which].tolist(),
        effect.tolist(),
        strengths(told.rows, cuts, told.memory),
        strict=True,
    )
    changes, limit = dict[int, list[Change]](), threshold(n, alarms)
    for place, before, after, size, strength in columns:
        # Where it was placed at last it has to convince as well.
        if strength < limit or place.chances.near(place.at) < sure:
            continue
        row = place.at // n
        changes.setdefault(row, []).append(
            Change(
                index=place.at - row * n,
                low=place.low - row * n,
                high=place.high - row * n,
                before=before,
                after=after,
                effect=size,
                strength=strength,
                p_value=false_alarm_chance(strength, n),
                chances=place.chances.moved(-row * n),
            )
        )
    for row, of_row in changes.items():
        out[int(told.sources[row])] = tuple(of_row)
    return out
