"""What moves a series besides shifts: a creep, a season. Found and taken off before judging."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .ranks import Floats, Ints
from .segments import blocks, clipped_rows, edges, residual_rows, row_means, row_spreads
from .stairs import SLOPE_PRICE

# A wave must come round so often before it counts as one.
_ROUNDS = 2
_PAD = 4
_FEWEST = 32
# In bins of the padded spectrum: the width of a peak, and of the neighbourhood it must exceed.
_PEAK = 10
_NEAR = 50
_STANDS_OUT = 3.0
# What one costs in the comparison of descriptions.
WAVE_PRICE = 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Waves (in rounds per point) and whether there is a slope."""

    waves: tuple[float, ...] = ()
    slope: bool = False

    @property
    def price(self) -> float:
        """What its parameters cost in the comparison of descriptions."""
        return WAVE_PRICE * len(self.waves) + SLOPE_PRICE * self.slope

    def near(self, other: Background, apart: float) -> bool:
        """Whether both have a slope or none, and waves whose frequencies are so near."""
        return (
            self.slope == other.slope
            and len(self.waves) == len(other.waves)
            and all(
                abs(one - two) < apart
                for one, two in zip(sorted(self.waves), sorted(other.waves), strict=True)
            )
        )


def waves_in(held: Floats) -> list[float | None]:
    """For each row the frequency of a wave in what the levels leave, outliers held."""
    if held.shape[1] < _FEWEST:
        return [None] * len(held)
    return [wave for at in blocks(held) for wave in _peaks(_spectra(held[at]), held.shape[1])]


def waves_in_steps(rows: Floats) -> list[float | None]:
    """For each row the frequency of a wave in the steps, where a shift is one outlier.

    Levels may have followed a slow wave already; here they have had no chance to.
    """
    if rows.shape[1] < _FEWEST:
        return [None] * len(rows)
    count, out = rows.shape[1] - 1, list[float | None]()
    for at in blocks(rows):
        steps = rows[at, 1:] - rows[at, :-1]
        spectra = _spectra(clipped_rows(steps - row_means(steps)))
        pitch = np.sin(np.pi * np.arange(1, spectra.shape[1]) / (_PAD * count))
        spectra[:, 1:] /= 4 * pitch**2
        out += _peaks(spectra, count)
    return out


@lru_cache(maxsize=16)
def _window(n: int) -> Floats:
    return np.hanning(n)


def _spectra(rows: Floats) -> Floats:
    n = rows.shape[1]
    found = np.fft.rfft((rows - row_means(rows)) * _window(n), _PAD * n)
    return found.real**2 + found.imag**2


@lru_cache(maxsize=16)
def _neighbourhood(low: int, high: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Where both sides of each place in the spectrum begin and end."""
    at = np.arange(low, high)
    left, right = np.maximum(at - _NEAR, 1), np.maximum(at - _PEAK, 2)
    return left, right, np.minimum(at + _PEAK, high - 1), np.minimum(at + _NEAR, high)


def _peaks(spectra: Floats, n: int) -> list[float | None]:
    """Where a spectrum rises far above its neighbourhood, in rounds per point.

    The neighbourhood is the geometric mean of both sides, so that the fall of a spectrum with
    shifts in it is no peak, and hides none.
    """
    low, high = _PAD * _ROUNDS, spectra.shape[1] - _PAD
    logs = np.log(np.maximum(spectra, 1e-300))
    sums = np.zeros((len(logs), logs.shape[1] + 1))
    np.cumsum(logs, axis=1, out=sums[:, 1:])
    left, right, first, last = _neighbourhood(low, high)
    around = (sums.take(right, axis=1) - sums.take(left, axis=1)) / (right - left)
    around += (sums.take(last, axis=1) - sums.take(first, axis=1)) / (last - first)
    rise = logs[:, low:high] - around / 2
    tops = rise.argmax(axis=1)
    # The mean logarithm of exponential noise lies Euler's constant below that of its mean.
    high_enough = rise[np.arange(len(rise)), tops] - np.euler_gamma >= math.log(
        _STANDS_OUT + 0.7 * math.log(n)
    )
    out = list[float | None]([None] * len(spectra))
    for row in np.flatnonzero(high_enough).tolist():
        out[row] = _summit(logs[row], low + int(tops[row]), n)
    return out


def _summit(logs: Floats, top: int, n: int) -> float | None:
    """The top of the parabola through a peak and its neighbours; none where there is no top."""
    top += int(logs[top - 2 : top + 3].argmax()) - 2
    before, here, after = logs[top - 1 : top + 2].tolist()
    bend = before - 2 * here + after
    if here < max(before, after) or bend >= 0:
        return None
    return (top + (before - after) / (2 * bend)) / (_PAD * n)


def slope_strengths(held: Floats, cuts: Sequence[int]) -> Floats:
    """For each row the common slope of all its segments as a normal deviate.

    Of what the levels leave, outliers held.
    """
    (count, n), bounds = held.shape, edges(held, cuts)
    lengths = bounds[1:] - bounds[:-1]
    time = np.arange(held.size) - ((bounds[1:] + bounds[:-1] - 1) / 2).repeat(lengths)
    lean = np.einsum("ij,ij->i", time.reshape(held.shape), held)
    parts = lengths * (lengths.astype(float) ** 2 - 1) / 12
    reach = np.bincount(bounds[:-1] // n, parts, minlength=count)
    noise = np.sqrt(np.einsum("ij,ij->i", held, held) / n)
    known = (noise > 0) & (reach > 0)
    return np.where(known, lean / np.where(known, noise * np.sqrt(reach), 1.0), 0.0)


def take_off(rows: Floats, cuts: Sequence[int], backgrounds: Sequence[Background]) -> Floats:
    """The rows without their backgrounds, fitted robustly beside the levels of the segments."""
    rest, bounds = residual_rows(rows, cuts), edges(rows, cuts)
    n, out = rows.shape[1], rows.copy()
    widths = np.array([b.slope + 2 * len(b.waves) for b in backgrounds])
    for width in np.unique(widths[widths > 0]).tolist():
        every = np.flatnonzero(widths == width)
        for at in blocks(rows[every]):
            here = every[at]
            shape = _shapes([backgrounds[i] for i in here.tolist()], n)
            inside = shape - _segment_means(shape, here, bounds, n)
            out[here] -= np.einsum("ij,ijk->ik", _fitted(rest[here], inside), shape)
    return out


def _shapes(backgrounds: Sequence[Background], n: int) -> Floats:
    """Row by row the columns of slope and waves, of which all have as many."""
    time, half = np.arange(n), n / 2
    columns = list[Floats]()
    for each in backgrounds:
        line = [((time - half) / n)[None]] if each.slope else []
        waves = [_wave(wave, n) for wave in each.waves]
        columns.append(np.concatenate((*line, *(part for w in waves for part in (w.imag, w.real)))))
    return np.array(columns)


def _wave(wave: float, n: int) -> NDArray[np.complex128]:
    """Sine and cosine in one row, from those of a few places: the others turn on from there."""
    few = math.isqrt(n) + 1
    start = np.exp(2j * np.pi * wave * np.arange(few))
    far = np.exp(2j * np.pi * wave * few * np.arange(-(-n // few)))
    return (far[:, None] * start).reshape(1, -1)[:, :n]


def _segment_means(shape: Floats, rows: Ints, bounds: Ints, n: int) -> Floats:
    """Of each column over each segment of its row, as long as the column."""
    # The edges of these rows alone, counted through them.
    place = np.full(int(bounds[-1]) // n, -1)
    place[rows] = np.arange(len(rows))
    mine = place[bounds[:-1] // n]
    starts = (mine * n + bounds[:-1] % n)[mine >= 0]
    sizes = np.diff(starts, append=len(rows) * n)
    flat = shape.transpose(1, 0, 2).reshape(shape.shape[1], -1)
    means = np.add.reduceat(flat, starts, axis=1) / sizes
    return means.repeat(sizes, axis=1).reshape(shape.shape[1], -1, n).transpose(1, 0, 2)


def _fitted(rest: Floats, inside: Floats) -> Floats:
    """How much of each column is in what the levels leave; outliers count for less."""
    n = rest.shape[1]
    # A trace of ridge keeps two waves that are nearly one from blowing up.
    ridge = 1e-6 * n * np.eye(inside.shape[1])
    fit = np.zeros(inside.shape[:2])
    for _ in range(3):
        left = rest - np.einsum("ij,ijk->ik", fit, inside)
        bound = 2 * row_spreads(left)[:, None]
        np.abs(left, out=left)
        np.maximum(left, 1e-300, out=left)
        np.divide(bound, left, out=left)
        weighted = inside * np.minimum(left, 1.0, out=left)[:, None]
        # Not by matrix products: threads for so little work only get in each other's way.
        square = np.einsum("ijk,ilk->ijl", weighted, inside) + ridge
        side = np.einsum("ijk,ik->ij", weighted, rest)
        fit = np.linalg.solve(square, side[:, :, None])[:, :, 0]
    return fit
