"""How strong the evidence for a shift is.

A candidate is tested between its neighbours, on the ranks of those two segments alone, with
the noise of each side and with the memory of the noise: runs that resemble their predecessors
count for less than independent ones. All of it for one series, or for the rows of a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .ranks import Floats, Ints, gaussian_equivalent, normal_scores
from .segments import (
    FEW,
    Ranked,
    blocks,
    clipped_rows,
    edges,
    inner,
    residual_rows,
    row_means,
    side_by_side,
)

# Count, sum and sum of squares, of one side of a shift or of many.
_Sums = tuple[Floats | float, Floats | float, Floats | float]
# Each side's variance is drawn towards the common one as if by so many points.
_PRIOR = 6.0
_LAGS = (2, 3, 4, 5)
# The share of the smaller steps that a typical one is taken from, at the most and at the least; and
# how many of the longest steps a shift is in, with one to spare.
_SMALLER, _SMALLEST = 0.9, 0.5
_SPOILED = 6
_GRID = np.linspace(-0.5, 0.97, 148)
_GROWTH = np.mean([np.sum([_GRID**j for j in range(lag)], axis=0) for lag in _LAGS], axis=0)
# Memory that lasts longer cannot be told from shifts: from so few levels, what lags beyond show is
# chance and the shifts that were missed.
_LONGEST_LAG = 8
# What a shift costs in the comparison of descriptions: about the square of a convincing deviate.
SHIFT_PRICE = 14.0


def memory_factor(values: Floats) -> float:
    """How many dependent points carry as much evidence as one independent point.

    Taken from the smaller steps over one to five points, so that shifts hardly touch it; the
    steps' growth with distance gives the AR(1) coefficient that would make it.
    """
    return float(memory_factors(values[None])[0])


def memory_factors(rows: Floats, *, shifts: int = 0) -> Floats:
    """The memory of each row, whose level may have moved so often."""
    n = rows.shape[1]
    if n < 20 or not len(rows):
        return np.ones(len(rows))
    # A shift is in as many of the steps as they are long, a large share of those of a short row.
    share = max(min(_SMALLER, 1 - shifts * _SPOILED / (n - _LAGS[-1])), _SMALLEST)
    return np.concatenate([_memory_factors(rows[at], n, share) for at in blocks(rows)])


def _memory_factors(rows: Floats, n: int, share: float) -> Floats:
    first, *rest = (_typical_squares(rows[:, k:] - rows[:, :-k], share) for k in (1, *_LAGS))
    known = first > 0
    growth = sum(rest, np.zeros(len(rows))) / len(_LAGS) / np.where(known, first, 1.0)
    # What chance alone makes of white noise is taken off.
    phi = np.interp(growth, _GROWTH, _GRID) - 1 / n**0.5
    return np.where(known & (phi > 0), (1 + phi) / (1 - phi), 1.0)


def _typical_squares(steps: Floats, share: float) -> Floats:
    """The mean of the smaller of the squares; a quantile jumps on coarse values.

    Half the bytes are parted in half the time, and a mean needs no more digits.
    """
    at = int(share * steps.shape[1])
    with np.errstate(over="ignore"):
        sizes = steps.astype(np.float32)
    np.abs(sizes, out=sizes)
    sizes.partition(at, axis=1)
    return row_means(sizes[:, :at].astype(float) ** 2)[:, 0]


def lasting_memories(rows: Floats, cuts: Sequence[int]) -> Floats:
    """The same factor for each row from what the levels leave, over as many points as it lasts.

    Noise that wanders slowly beneath quick noise shows little memory from step to step. Here
    the autocorrelations are summed until chance could have made them; each is raised by what
    taking off the levels took.
    """
    count, n = rows.shape
    if n < 20:
        return np.ones(count)
    rest = held_residuals(rows, cuts)
    own = np.einsum("ij,ij->i", rest, rest)
    segment = n / (np.bincount(np.asarray(cuts, np.intp) // n, minlength=count) + 1)
    chance, total = 1 / n**0.5, np.zeros(count)
    going, last = own > 0, np.minimum(_LONGEST_LAG, (segment / 3).astype(np.intp))
    scale = np.where(going, own, 1.0)
    for lag in range(1, _LONGEST_LAG + 1):
        shared = np.einsum("ij,ij->i", rest[:, lag:], rest[:, :-lag])
        correlation = shared / scale + 1 / segment
        going = going & (lag <= last) & (correlation >= chance)
        if not going.any():
            break
        total[going] += correlation[going]
    return np.where(own > 0, np.maximum(1.0, 1 + 2 * total - 2 * chance), 1.0)


def strengths(
    values: Floats,
    cuts: Sequence[int],
    memory: float | Floats,
    ranked: Ranked | None = None,
) -> list[float]:
    """How strong each cut is between its neighbours; `memory` of the series or of each row."""
    bounds = edges(values, cuts)
    at = inner(values, bounds)
    return strengths_between(
        ranked or Ranked(values), (bounds[at - 1], bounds[at], bounds[at + 1]), memory
    )


def strengths_between(
    ranked: Ranked, where: tuple[Ints, Ints, Ints], memory: float | Floats
) -> list[float]:
    """The normal deviate as unlikely as the difference of the two sides, if nothing changed."""
    (starts, cuts, ends), values = where, ranked.values
    factors = np.broadcast_to(memory, values.size // values.shape[-1]).take(
        cuts // values.shape[-1]
    )
    if len(cuts) <= FEW:
        flat = values.reshape(-1)
        keys = zip(starts.tolist(), cuts.tolist(), ends.tolist(), factors.tolist(), strict=True)
        return [_strength(flat[a:b], at - a, factor) for a, at, b, factor in keys]
    out, n = np.empty(len(cuts)), ranked.points
    for side in side_by_side(starts, ends):
        which = side.which
        scores, places = ranked.scores(side)
        # To choose costs several times as much as to multiply.
        left = scores * (places < (cuts[which] % n).astype(places.dtype)[:, None])
        n1 = (cuts[which] - starts[which]).astype(float)
        lengths, sums1 = side.lengths.astype(float), left.sum(axis=1)
        squares1 = np.einsum("ij,ij->i", left, left)
        # Scores have mean zero and variance one, so that one side tells the other.
        out[which] = _deviates(
            (n1, sums1, squares1), (lengths - n1, -sums1, lengths - squares1), factors[which]
        )
    return out.tolist()


def _strength(values: Floats, split: int, memory: float) -> float:
    """The same for one."""
    scores = normal_scores(values)
    left, right = scores[:split], scores[split:]
    one = split, float(np.add.reduce(left)), float(left @ left)
    other = len(values) - split, float(np.add.reduce(right)), float(right @ right)
    return float(_deviates(one, other, memory))


def _deviates(one: _Sums, other: _Sums, memory: Floats | float) -> Floats | float:
    """From count, sum and sum of squares of each side."""
    (n1, sum1, square1), (n2, sum2, square2) = one, other
    square1, square2 = square1 - sum1 * sum1 / n1, square2 - sum2 * sum2 / n2
    common = (square1 + square2) / (n1 + n2 - 2)
    free1, free2 = n1 - 1 + _PRIOR, n2 - 1 + _PRIOR
    # Where nothing wavers at all, it counts as next to nothing.
    part1 = (square1 + _PRIOR * common) / (free1 * n1) + 1e-12
    part2 = (square2 + _PRIOR * common) / (free2 * n2) + 1e-12
    # Satterthwaite's degrees of freedom: a short side that happens to be calm is not trusted.
    freedom = (part1 + part2) ** 2 / (part1 * part1 / free1 + part2 * part2 / free2)
    noise = (part1 + part2) * memory
    gap = sum2 / n2 - sum1 / n1
    # Variances suffer less from memory than means do: AR(1) noise has this many fewer points.
    freedom /= (memory * memory + 1) / (2 * memory)
    return gaussian_equivalent(gap * gap / noise, freedom)


def misfits(rest: Floats) -> Floats:
    """How badly each row is described, from what its levels leave: smaller is better.

    Twice the negative log likelihood of noise that is Gaussian but for its outliers.
    """
    size = np.abs(rest)
    bound = 3 * row_means(size)
    held = row_means(np.minimum(size, bound) ** 2)[:, 0]
    with np.errstate(divide="ignore"):
        return rest.shape[1] * np.log(held)


def held_residuals(rows: Floats, cuts: Sequence[int]) -> Floats:
    return clipped_rows(residual_rows(rows, cuts))
