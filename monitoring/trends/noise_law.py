"""The noise of a series as a law of its own: whatever shape its values have, and its memory.

Two modes, a sharp lower edge or coarse values say much more about where a shift happened than a
spread does; and where runs resemble their predecessors, the step stands out of what they predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .ranks import Floats, Ints
from .segments import residual_rows, row_spreads

# Residuals are counted in bins, in standard deviations; beyond the last only the tails speak.
_BINS = 256
_HALF = 6.0
_WIDTH = 2 * _HALF / _BINS
# Kernels to choose from; the one that best predicts each value from all others is taken.
_KERNELS = (0.08, 0.12, 0.18, 0.27, 0.4, 0.6)
# How much of the law is heavy tails, whatever was seen.
_TAILS = 0.15
# Points so near to a shift may be on its wrong side: they say nothing about the noise.
_BESIDE = 5
_FEWEST = 24
# So many rows at a time: all kernels' spectra of one take 50 kB, and stay near the processor.
_ROWS = 16
_HELD = 3.0
_LONGEST_MEMORY = 0.9


def _kernels() -> tuple[Floats, NDArray[np.complex128]]:
    """The kernels at their middle; their spectra on twice the bins, so that none comes round."""
    apart = _WIDTH * np.minimum(np.arange(2 * _BINS), 2 * _BINS - np.arange(2 * _BINS))
    # A bin is as wide as a little noise.
    sizes = np.hypot(np.array(_KERNELS), _WIDTH / 12**0.5)[:, None]
    table = np.exp(-0.5 * (apart / sizes) ** 2) / (sizes * (2 * np.pi) ** 0.5)
    return table[:, 0], np.fft.rfft(table)


_OWN, _SPECTRA = _kernels()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLaws:
    """How likely a deviation from the level is in each row, given its predecessor's."""

    # Where too few points tell, or nothing is left, there is no law.
    known: NDArray[np.bool_]
    # Of what a run's predecessor does not predict.
    scale: Floats
    # How much of a run's deviation the next one shares, and the largest deviation that counts.
    memory: Floats
    bound: Floats
    density: Floats

    def log_chance(self, rows: Ints, off: Floats, before: Floats) -> Floats:
        """Log density of deviations in these rows, up to a constant."""
        bound = self.bound[rows][:, None]
        shared = self.memory[rows][:, None] * np.minimum(np.maximum(before, -bound), bound)
        size = (off - shared) / self.scale[rows][:, None]
        seen = self.density[rows[:, None], _bins(size)] * (np.abs(size) < _HALF)
        return np.log((1 - _TAILS) * seen + _TAILS * _tails(size))


def noise_laws(rows: Floats, cuts: Sequence[int]) -> NoiseLaws | None:
    """The law of what the levels leave in each row; none if no row has one."""
    count, n = rows.shape
    rest = residual_rows(rows, cuts)
    sure = np.ones(rows.shape, dtype=bool)
    for at in cuts:
        row, here = divmod(at, n)
        sure[row, max(0, here - _BESIDE) : here + _BESIDE] = False
    noise = row_spreads(rest)
    known = (sure.sum(axis=1) >= _FEWEST) & (noise > 0)
    if not known.any():
        return None
    bound = np.where(known, _HELD * noise, 1.0)
    held = np.minimum(np.maximum(rest, -bound[:, None]), bound[:, None])
    segments = np.bincount(np.asarray(cuts, np.intp) // n, minlength=count) + 1
    memory = _memories(held, segments)
    rest[:, 1:] -= memory[:, None] * held[:, :-1]
    scale = row_spreads(rest)
    scale = np.where(known, np.where(scale > 0, scale, noise), 1.0)
    density = np.zeros((count, _BINS))
    all_known = np.flatnonzero(known)
    for at in range(0, len(all_known), _ROWS):
        some = all_known[at : at + _ROWS]
        density[some] = _densities(rest[some] / scale[some][:, None], sure[some])
    return NoiseLaws(known=known, scale=scale, memory=memory, bound=bound, density=density)


def _memories(rest: Floats, levels: Ints) -> Floats:
    n = rest.shape[1]
    own = np.einsum("ij,ij->i", rest, rest)
    seen = np.einsum("ij,ij->i", rest[:, 1:], rest[:, :-1]) / np.where(own > 0, own, 1.0)
    # What taking off the levels took from it.
    seen += (1 + 3 * seen) * levels / n
    return np.where(seen > 2 / n**0.5, np.minimum(seen, _LONGEST_MEMORY), 0.0)


def _densities(sizes: Floats, sure: NDArray[np.bool_]) -> Floats:
    """At the bins, with the kernel that predicts each size best from all the others."""
    rows, bins, counts = np.arange(len(sizes)), _bins(sizes), sure.sum(axis=1)
    cells = (bins + _BINS * rows[:, None])[sure]
    seen = np.bincount(cells, minlength=_BINS * len(sizes)).reshape(-1, _BINS)
    spectrum = np.fft.rfft(seen, 2 * _BINS)
    around = np.maximum(np.fft.irfft(spectrum[:, None] * _SPECTRA)[:, :, :_BINS], 0.0)
    tails, firsts = _TAILS * _tails(sizes[sure]), np.cumsum(counts) - counts
    share = ((1 - _TAILS) / (counts - 1)).repeat(counts)
    fit = np.empty((len(_KERNELS), len(sizes)))
    for kernel, own in enumerate(_OWN.tolist()):
        others = around[:, kernel].reshape(-1).take(cells)
        others -= own
        np.maximum(others, 0.0, out=others)
        others *= share
        others += tails
        fit[kernel] = np.add.reduceat(np.log(others, out=others), firsts)
    return around[rows, fit.argmax(axis=0)] / counts[:, None]


def _bins(sizes: Floats) -> Ints:
    places = (sizes + _HALF) / _WIDTH
    return np.minimum(np.maximum(places, 0), _BINS - 1).astype(np.intp)


def _tails(sizes: Floats) -> Floats:
    """Student's density with four degrees of freedom."""
    base = 1 / (1 + sizes * sizes / 4)
    return 0.375 * base * base * np.sqrt(base)
