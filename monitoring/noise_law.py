"""The noise of a series as a law of its own: whatever shape its values have, and its memory.

Two modes, a sharp lower edge or coarse values say much more about where a shift happened than a
spread does; and where runs resemble their predecessors, the step stands out of what they predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .ranks import Floats, Ints
from .robust import residuals, spread

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
_HELD = 3.0
_LONGEST_MEMORY = 0.9


def _kernels() -> Floats:
    apart = _WIDTH * (np.arange(_BINS)[:, None] - np.arange(_BINS))
    # A bin is as wide as a little noise.
    sizes = np.hypot(np.array(_KERNELS), _WIDTH / 12**0.5)[:, None, None]
    return np.exp(-0.5 * (apart / sizes) ** 2) / (sizes * (2 * np.pi) ** 0.5)


_KERNEL_TABLE = _kernels()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLaw:
    """How likely a value is, given the level, its predecessor and the predecessor's level."""

    # Of what a run's predecessor does not predict.
    scale: float
    # How much of a run's deviation the next one shares, and the largest deviation that counts.
    memory: float
    bound: float
    density: Floats

    def log_chance(self, values: Floats, level: float, previous: Floats, beneath: float) -> Floats:
        """Log density of the values, up to a constant."""
        shared = self.memory * np.clip(previous - beneath, -self.bound, self.bound)
        size = (values - level - shared) / self.scale
        seen = self.density.take(_bins(size)) * (np.abs(size) < _HALF)
        return np.log((1 - _TAILS) * seen + _TAILS * _tails(size))


def noise_law(values: Floats, shifts: Sequence[int]) -> NoiseLaw | None:
    """The law of what the levels leave; none where too few points tell, or nothing is left."""
    rest = residuals(values, shifts)
    sure = np.ones(len(values), dtype=bool)
    for at in shifts:
        sure[max(0, at - _BESIDE) : at + _BESIDE] = False
    noise = spread(rest)
    if int(sure.sum()) < _FEWEST or noise <= 0:
        return None
    held = np.clip(rest, -_HELD * noise, _HELD * noise)
    memory = _memory(held, len(shifts) + 1)
    fresh = rest.copy()
    fresh[1:] -= memory * held[:-1]
    scale = spread(fresh) or noise
    return NoiseLaw(
        scale=scale,
        memory=memory,
        bound=_HELD * noise,
        density=_density(fresh[sure] / scale),
    )


def _memory(rest: Floats, levels: int) -> float:
    n = len(rest)
    seen = float(rest[1:] @ rest[:-1]) / float(rest @ rest)
    # What taking off the levels took from it.
    seen += (1 + 3 * seen) * levels / n
    return min(seen, _LONGEST_MEMORY) if seen > 2 / n**0.5 else 0.0


def _density(sizes: Floats) -> Floats:
    """At the bins, with the kernel that predicts each size best from all the others."""
    n, bins = len(sizes), _bins(sizes)
    around = _KERNEL_TABLE @ np.bincount(bins, minlength=_BINS)
    own = _KERNEL_TABLE[:, 0, 0]
    others = np.maximum(around[:, bins] - own[:, None], 0) / (n - 1)
    fit = np.log((1 - _TAILS) * others + _TAILS * _tails(sizes)).sum(axis=1)
    return around[int(fit.argmax())] / n


def _bins(sizes: Floats) -> Ints:
    return np.clip((sizes + _HALF) / _WIDTH, 0, _BINS - 1).astype(np.intp)


def _tails(sizes: Floats) -> Floats:
    """Student's density with four degrees of freedom."""
    return 0.375 * (1 + sizes * sizes / 4) ** -2.5
