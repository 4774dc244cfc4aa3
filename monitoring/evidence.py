"""How strong the evidence for a shift is, and which candidates lack it.

A candidate is tested between its neighbours, on the ranks of those two segments alone, with
the noise of each side and with the memory of the noise: runs that resemble their predecessors
count for less than independent ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .ranks import Floats, gaussian_equivalent, normal_scores
from .robust import clipped, level, median, residuals, spread

# Each side's variance is drawn towards the common one as if by so many points.
_PRIOR = 6.0
_LAGS = (2, 3, 4, 5)
_GRID = np.linspace(-0.5, 0.97, 148)
_GROWTH = np.mean([np.sum([_GRID**j for j in range(lag)], axis=0) for lag in _LAGS], axis=0)
# Memory that lasts longer cannot be told from shifts.
_LONGEST_LAG = 16
# What a shift costs in the comparison of descriptions: about the square of a convincing deviate.
SHIFT_PRICE = 14.0
# An excursion shorter than this that leads back to where it came from is a burst.
_EXCURSION = 6


def memory_factor(values: Floats) -> float:
    """How many dependent points carry as much evidence as one independent point.

    Taken from the smaller steps over one to five points, so that shifts hardly touch it; the
    steps' growth with distance gives the AR(1) coefficient that would make it.
    """
    n = len(values)
    if n < 20:
        return 1.0
    at = [_typical_square(values[k:] - values[:-k]) for k in (1, *_LAGS)]
    if at[0] <= 0:
        return 1.0
    growth = sum(at[1:]) / len(_LAGS) / at[0]
    # What chance alone makes of white noise is taken off.
    phi = float(np.interp(growth, _GROWTH, _GRID)) - 1 / n**0.5
    return (1 + phi) / (1 - phi) if phi > 0 else 1.0


def lasting_memory(values: Floats, shifts: Sequence[int]) -> float:
    """The same factor from what the levels leave, over as many points as it lasts.

    Noise that wanders slowly beneath quick noise shows little memory from step to step. Here
    the autocorrelations are summed until chance could have made them; each is raised by what
    taking off the levels took.
    """
    rest = held_residuals(values, shifts)
    n, own = len(rest), float(rest @ rest)
    if n < 20 or own <= 0:
        return 1.0
    segment, chance = n / (len(shifts) + 1), 1 / n**0.5
    total = 0.0
    for lag in range(1, min(_LONGEST_LAG, int(segment / 3)) + 1):
        correlation = float(rest[lag:] @ rest[:-lag]) / own + 1 / segment
        if correlation < chance:
            break
        total += correlation
    return max(1.0, 1 + 2 * total - 2 * chance)


def _typical_square(steps: Floats) -> float:
    """The mean of the smaller nine tenths of the squares; a quantile jumps on coarse values."""
    squares = steps * steps
    at = int(0.9 * len(squares))
    return float(np.partition(squares, at)[:at].mean())


def strength(values: Floats, split: int, memory: float) -> float:
    """The normal deviate as unlikely as the difference of the two sides, if nothing changed."""
    scores = normal_scores(values)
    n1, n2 = split, len(values) - split
    left, right = scores[:split], scores[split:]
    sum1 = float(left.sum())
    square1 = float(left @ left) - sum1 * sum1 / n1
    sum2 = float(right.sum())
    square2 = float(right @ right) - sum2 * sum2 / n2
    common = (square1 + square2) / (n1 + n2 - 2)
    free1, free2 = n1 - 1 + _PRIOR, n2 - 1 + _PRIOR
    part1 = max((square1 + _PRIOR * common) / (free1 * n1), 1e-12)
    part2 = max((square2 + _PRIOR * common) / (free2 * n2), 1e-12)
    # Satterthwaite's degrees of freedom: a short side that happens to be calm is not trusted.
    freedom = (part1 + part2) ** 2 / (part1 * part1 / free1 + part2 * part2 / free2)
    noise = (part1 + part2) * memory
    gap = sum2 / n2 - sum1 / n1
    # Variances suffer less from memory than means do: AR(1) noise has this many fewer points.
    freedom /= (memory * memory + 1) / (2 * memory)
    return float(gaussian_equivalent(gap * gap / noise, freedom))


def strengths(values: Floats, shifts: Sequence[int], memory: float) -> list[float]:
    edges = (0, *shifts, len(values))
    return [
        strength(values[a:b], at - a, memory)
        for a, at, b in zip(edges, edges[1:], edges[2:], strict=False)
    ]


def prune(values: Floats, shifts: Sequence[int], *, threshold: float, memory: float) -> list[int]:
    """Drop the weakest candidate until all that are left convince."""
    kept = list(shifts)
    found = strengths(values, kept, memory)
    while kept:
        i = min(range(len(kept)), key=found.__getitem__)
        if found[i] >= threshold:
            break
        del kept[i], found[i]
        edges = (0, *kept, len(values))
        # Only the two neighbours of what went have a new segment beside them.
        for j in (i - 1, i):
            if 0 <= j < len(kept):
                a, b = edges[j], edges[j + 2]
                found[j] = strength(values[a:b], kept[j] - a, memory)
    return kept


def without_slopes(values: Floats, shifts: Sequence[int]) -> list[int]:
    """Drop candidates where a straight line explains both sides better than a step."""
    kept = list(shifts)
    while kept:
        edges = (0, *kept, len(values))
        better = [
            _line_over_step(values[a:b], at - a)
            for a, at, b in zip(edges, edges[1:], edges[2:], strict=False)
        ]
        i = max(range(len(kept)), key=better.__getitem__)
        if better[i] <= 0:
            break
        del kept[i]
    return kept


def _line_over_step(values: Floats, split: int) -> float:
    """How much smaller the line's residual sum of squares is, in points of noise."""
    left, right = values[:split], values[split:]
    before, after = level(left), level(right)
    low, high = min(before, after), max(before, after)
    noise = spread(np.concatenate((left - before, right - after)))
    held = np.clip(values, low - 2.5 * noise, high + 2.5 * noise)
    held -= held.mean()
    time = np.arange(len(held)) - (len(held) - 1) / 2
    total = float(held @ held)
    line = total - float(time @ held) ** 2 / float(time @ time)
    step = total - float(held[:split].sum()) ** 2 * (1 / split + 1 / (len(held) - split))
    return (step - line) / max(step, 1e-300) * len(held)


def without_bursts(values: Floats, shifts: Sequence[int]) -> list[int]:
    """Drop pairs of candidates that enclose a few points between equal levels."""
    kept = list(shifts)
    i = 0
    while i + 1 < len(kept):
        edges = (0, *kept, len(values))
        before, during, after = (values[a:b] for a, b in pairwise(edges[i : i + 4]))
        away = abs(median(during) - (median(before) + median(after)) / 2)
        if len(during) < _EXCURSION and abs(median(after) - median(before)) < away / 4:
            del kept[i : i + 2]
        else:
            i += 1
    return kept


def penalised_misfit(values: Floats, shifts: Sequence[int], *, memory: float) -> float:
    """How badly levels between these shifts describe the values: smaller is better.

    Twice the negative log likelihood of noise that is Gaussian but for its outliers, plus what
    the shifts cost.
    """
    square = residuals(values, shifts) ** 2
    bound = 9 * float(np.sqrt(square).mean()) ** 2
    held = float(np.minimum(square, bound).mean())
    misfit = len(square) * np.log(held) if held > 0 else -np.inf
    return float(misfit) / memory + SHIFT_PRICE * len(shifts)


def held_residuals(values: Floats, shifts: Sequence[int]) -> Floats:
    return clipped(residuals(values, shifts))
