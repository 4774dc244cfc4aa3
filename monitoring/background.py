"""What moves a series besides shifts: a creep, a season. Found and taken off before judging."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .evidence import held_residuals
from .ranks import Floats
from .robust import clipped, residuals, spread

# A wave must come round so often before it counts as one.
_ROUNDS = 2
_PAD = 4
_FEWEST = 32
# In bins of the padded spectrum: the width of a peak, and of the neighbourhood it must exceed.
_PEAK = 10
_NEAR = 50
_STANDS_OUT = 3.0
# What they cost in the comparison of descriptions.
WAVE_PRICE = 14.0
SLOPE_PRICE = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Waves (in rounds per point) and whether there is a slope."""

    waves: tuple[float, ...] = ()
    slope: bool = False

    @property
    def price(self) -> float:
        """What its parameters cost in the comparison of descriptions."""
        return WAVE_PRICE * len(self.waves) + SLOPE_PRICE * self.slope


def wave_in(values: Floats, shifts: Sequence[int]) -> float | None:
    """The frequency of a wave in what the levels leave."""
    if len(values) < _FEWEST:
        return None
    rest = held_residuals(values, shifts)
    return _peak(_spectrum(rest), len(values))


def wave_in_steps(values: Floats) -> float | None:
    """The frequency of a wave in the steps from point to point, where a shift is one outlier.

    Levels may have followed a slow wave already; here they have had no chance to.
    """
    if len(values) < _FEWEST:
        return None
    steps = values[1:] - values[:-1]
    spectrum = _spectrum(clipped(steps - steps.mean()))
    pitch = np.sin(np.pi * np.arange(len(spectrum)) / (_PAD * len(steps)))
    spectrum[1:] /= 4 * pitch[1:] ** 2
    return _peak(spectrum, len(steps))


def _spectrum(values: Floats) -> Floats:
    n = len(values)
    found = np.abs(np.fft.rfft((values - values.mean()) * np.hanning(n), _PAD * n))
    return found * found


def _peak(spectrum: Floats, n: int) -> float | None:
    """Where the spectrum rises far above its neighbourhood, in rounds per point.

    The neighbourhood is the geometric mean of both sides, so that the fall of a spectrum with
    shifts in it is no peak, and hides none.
    """
    low, high = _PAD * _ROUNDS, len(spectrum) - _PAD
    logs = np.log(np.maximum(spectrum, 1e-300))
    sums = np.concatenate(([0.0], np.cumsum(logs)))
    at = np.arange(low, high)
    left, right = np.maximum(at - _NEAR, 1), np.maximum(at - _PEAK, 2)
    first, last = np.minimum(at + _PEAK, high - 1), np.minimum(at + _NEAR, high)
    around = (sums[right] - sums[left]) / (right - left) + (sums[last] - sums[first]) / (
        last - first
    )
    rise = logs[low:high] - around / 2
    top = low + int(rise.argmax())
    # The mean logarithm of exponential noise lies Euler's constant below that of its mean.
    if rise[top - low] - np.euler_gamma < math.log(_STANDS_OUT + 0.7 * math.log(n)):
        return None
    top += int(logs[top - 2 : top + 3].argmax()) - 2
    before, here, after = logs[top - 1 : top + 2].tolist()
    bend = before - 2 * here + after
    if here < max(before, after) or bend >= 0:
        return None
    return (top + (before - after) / (2 * bend)) / (_PAD * n)


def slope_strength(values: Floats, shifts: Sequence[int]) -> float:
    """The common slope of all segments as a normal deviate."""
    rest = held_residuals(values, shifts)
    lean = reach = 0.0
    for a, b in pairwise((0, *shifts, len(values))):
        m = b - a
        time = np.arange(m) - (m - 1) / 2
        lean += float(time @ rest[a:b])
        reach += m * (m * m - 1) / 12
    noise = float(np.sqrt(rest @ rest / len(rest)))
    return lean / (noise * reach**0.5) if noise > 0 and reach > 0 else 0.0


def shifts_beside_slope(values: Floats, shifts: Sequence[int], price: float) -> tuple[int, ...]:
    """The shifts that are still worth their price when a slope explains its part.

    A staircase follows a creep, and leaves next to no slope inside its steps; so the steps are
    taken away one by one, cheapest first, and the best stage of all is kept. Where a slope does
    not pay at all, every shift stays.
    """
    n, kept = len(values), list(shifts)
    rest = residuals(values, shifts)
    held = values - rest + clipped(rest)
    edges = np.array((0, *shifts, n))
    counts = np.diff(edges).astype(float)
    times = (edges[1:] + edges[:-1] - 1) / 2
    means = np.add.reduceat(held, edges[:-1]) / counts
    inside = held - np.repeat(means, edges[1:] - edges[:-1])
    # Sums of squares and products inside the segments; joining two adds what is between them.
    tt, ty = float((counts * (counts**2 - 1)).sum()) / 12, float(np.arange(n) @ inside)
    yy = float(inside @ inside)
    floor = 1e-12 * max(float(held @ held), 1e-300)
    start = n * np.log(max(yy, floor)) + price * len(kept)
    best, best_cost = kept.copy(), start
    while kept:
        weight = counts[1:] * counts[:-1] / (counts[1:] + counts[:-1])
        apart_t, apart_y = times[1:] - times[:-1], means[1:] - means[:-1]
        tts, tys = tt + weight * apart_t**2, ty + weight * apart_t * apart_y
        yys = yy + weight * apart_y**2
        left = np.maximum(yys - tys * tys / tts, floor)
        i = int(left.argmin())
        tt, ty, yy = float(tts[i]), float(tys[i]), float(yys[i])
        share = counts[i] / (counts[i] + counts[i + 1])
        times[i] += (1 - share) * apart_t[i]
        means[i] += (1 - share) * apart_y[i]
        counts[i] += counts[i + 1]
        times, means, counts = (np.delete(x, i + 1) for x in (times, means, counts))
        del kept[i]
        cost = n * np.log(float(left[i])) + price * len(kept) + SLOPE_PRICE
        if cost < best_cost:
            best, best_cost = kept.copy(), cost
    return tuple(best)


def take_off(values: Floats, shifts: Sequence[int], background: Background) -> Floats:
    """The values without the background, fitted robustly beside the levels of the segments."""
    n = len(values)
    time = np.arange(n)
    columns = [(time - n / 2) / n] if background.slope else []
    for wave in background.waves:
        columns += [np.sin(2 * np.pi * wave * time), np.cos(2 * np.pi * wave * time)]
    shape = np.array(columns)
    # A trace of ridge keeps two waves that are nearly one from blowing up.
    ridge = 1e-6 * n * np.eye(len(shape))
    inside = shape.copy()
    for a, b in pairwise((0, *shifts, n)):
        inside[:, a:b] -= inside[:, a:b].mean(axis=1, keepdims=True)
    rest = residuals(values, shifts)
    fit = np.zeros(len(shape))
    for _ in range(3):
        left = rest - fit @ inside
        bound = 2 * spread(left)
        weight = np.minimum(1.0, bound / np.maximum(np.abs(left), 1e-300))
        weighted = inside * weight
        fit = np.linalg.solve(weighted @ inside.T + ridge, weighted @ rest)
    return values - fit @ shape
