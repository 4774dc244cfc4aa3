"""Generated histories whose truth is known: noise of many kinds, shifts, outliers, trends, load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rng = np.random.Generator
MARGIN = 5
# Shifts nearer to each other, or to an end, than this are not asked for.
GAP = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One series and what truly happened in it."""

    kind: str
    values: Floats
    # Index of the first point after each shift.
    changes: tuple[int, ...] = ()
    # Size of each shift in standard deviations of the noise.
    sizes: tuple[float, ...] = ()
    outliers: tuple[int, ...] = field(default=())


def _gaussian(n: int, rng: Rng) -> Floats:
    return rng.normal(size=n)


def _log_normal(n: int, rng: Rng) -> Floats:
    s = rng.uniform(0.4, 0.8)
    raw = np.exp(s * rng.normal(size=n))
    mean, var = np.exp(s * s / 2), (np.exp(s * s) - 1) * np.exp(s * s)
    return (raw - mean) / np.sqrt(var)


def _heavy(n: int, rng: Rng) -> Floats:
    return rng.standard_t(3, size=n) / np.sqrt(3.0)


def _outliers(n: int, rng: Rng) -> Floats:
    hit = rng.random(n) < rng.uniform(0.01, 0.05)
    sign = 1.0 if rng.random() < 0.7 else -1.0
    return rng.normal(size=n) + hit * sign * rng.uniform(5, 15, size=n)


def _two_modes(n: int, rng: Rng) -> Floats:
    share, apart = rng.uniform(0.15, 0.5), rng.uniform(3, 5)
    raw = rng.normal(size=n) + apart * (rng.random(n) < share)
    return (raw - share * apart) / np.sqrt(1 + apart**2 * share * (1 - share))


def _sticky_modes(n: int, rng: Rng) -> Floats:
    """The machine stays in a mode for a few runs: hits the same core, the same cache state."""
    apart = rng.uniform(2, 4)
    leave = 1 / rng.uniform(2, 6), 1 / rng.uniform(2, 6)
    mode, modes = 0, np.zeros(n)
    for i, u in enumerate(rng.random(n)):
        mode = 1 - mode if u < leave[mode] else mode
        modes[i] = mode
    share = leave[0] / (leave[0] + leave[1])
    raw = rng.normal(size=n) + apart * modes
    return (raw - share * apart) / np.sqrt(1 + apart**2 * share * (1 - share))


def _season(n: int, rng: Rng) -> Floats:
    period, height = rng.choice([7, 12, 24, 48]), rng.uniform(0.8, 2.0)
    wave = height * np.sin(2 * np.pi * (np.arange(n) + rng.integers(period)) / period)
    return (rng.normal(size=n) + wave) / np.sqrt(1 + height**2 / 2)


def _drift(n: int, rng: Rng) -> Floats:
    """A slow creep over the whole history, which is a trend and no shift."""
    return rng.normal(size=n) + rng.choice([-1, 1]) * rng.uniform(2, 6) * np.linspace(0, 1, n)


def _ar1(n: int, rng: Rng) -> Floats:
    phi = rng.uniform(0.3, 0.7)
    steps, out = rng.normal(size=n) * np.sqrt(1 - phi**2), np.empty(n)
    last = rng.normal()
    for i in range(n):
        last = phi * last + steps[i]
        out[i] = last
    return out


def _changing_variance(n: int, rng: Rng) -> Floats:
    factor, calm = rng.uniform(2, 4), np.ones(n)
    at = np.sort(rng.integers(0, n, size=2))
    calm[at[0] : at[1]] = factor
    raw = rng.normal(size=n) * calm
    return raw / np.sqrt(np.mean(calm**2))


def _quantised(n: int, rng: Rng) -> Floats:
    step = rng.uniform(0.7, 2.0)
    return np.round(rng.normal(size=n) / step + rng.random()) * step


def _skewed(n: int, rng: Rng) -> Floats:
    shape = rng.uniform(1.0, 4.0)
    return (rng.gamma(shape, size=n) - shape) / np.sqrt(shape)


def _bursts(n: int, rng: Rng) -> Floats:
    """Two or three bad runs in a row now and then, as on a machine that someone else uses."""
    raw = rng.normal(size=n)
    for at in rng.integers(0, n, size=rng.poisson(n / 100)):
        raw[at : at + rng.integers(1, 4)] += rng.uniform(4, 8)
    return raw


def _mixed(n: int, rng: Rng) -> Floats:
    parts = rng.choice([_gaussian, _log_normal, _heavy, _two_modes, _ar1, _season], size=2)
    weight = rng.uniform(0.3, 0.7)
    raw = np.sqrt(weight) * parts[0](n, rng) + np.sqrt(1 - weight) * parts[1](n, rng)
    return raw + (rng.random(n) < 0.01) * rng.uniform(4, 10, size=n)


NOISES: dict[str, Callable[[int, Rng], Floats]] = {
    "gaussian": _gaussian,
    "log-normal": _log_normal,
    "heavy tails": _heavy,
    "outliers": _outliers,
    "two modes": _two_modes,
    "sticky modes": _sticky_modes,
    "season": _season,
    "drift": _drift,
    "ar1": _ar1,
    "changing variance": _changing_variance,
    "quantised": _quantised,
    "skewed": _skewed,
    "bursts": _bursts,
    "mixed": _mixed,
}


def far_modes(n: int, rng: Rng) -> Floats:
    """A third of all runs on one side and so far away that one spread cannot describe all.

    A disk that is throttled, a cache that is cold; now by chance in each run, now for a few runs.
    """
    share, stay = rng.uniform(0.2, 0.42), rng.choice([1.0, 3.0])
    # Left after so many runs on average, and entered as often as the share asks.
    leave = (1 - share) / stay
    enter = leave * share / (1 - share)
    away, far = np.zeros(n, bool), bool(rng.random() < share)
    for i, u in enumerate(rng.random(n)):
        far = u >= leave if far else u < enter
        away[i] = far
    distance = rng.choice([-1, 1]) * rng.uniform(20, 400)
    return rng.normal(size=n) + away * distance * np.abs(rng.normal(size=n))


def shift_places(n: int, count: int, rng: Rng, *, gap: int = GAP) -> tuple[int, ...]:
    """`count` places with at least `gap` points before, between and after them, if they fit."""
    room = n - gap * (count + 1)
    if count <= 0 or room <= 0:
        return ()
    cuts = np.sort(rng.integers(0, room + 1, size=count))
    return tuple(int(c) + gap * (i + 1) for i, c in enumerate(cuts))


def shifted(
    noise: Floats, rng: Rng, *, kind: str, count: int, sizes: tuple[float, float] = (1.5, 6.0)
) -> History:
    """The noise with shifts put in; sizes are in standard deviations, log-uniform."""
    places = shift_places(len(noise), count, rng)
    values, said = noise.copy(), list[float]()
    level = 0.0
    for place in places:
        size = float(np.exp(rng.uniform(*np.log(sizes))))
        # Regressions get fixed: a step that leads back is likelier the further we went.
        up = rng.random() < 1 / (1 + np.exp(level / 6))
        jump = size if up else -size
        level += jump
        said.append(jump)
        values[place:] += jump
    return History(kind=kind, values=values, changes=places, sizes=tuple(said))


def change_history(kind: str, n: int, rng: Rng, *, count: int | None = None) -> History:
    """A history of this kind, scaled as a benchmark would be: about 100, noise of 1 to 5 %."""
    asked = max(1, int(rng.poisson(n / 140))) if count is None else count
    raw = shifted(NOISES[kind](n, rng), rng, kind=kind, count=asked)
    level, spread = float(np.exp(rng.uniform(-3, 7))), rng.uniform(0.005, 0.02)
    return History(
        kind=kind, values=level * (1 + spread * raw.values), changes=raw.changes, sizes=raw.sizes
    )


def match(found: Sequence[int], true: Sequence[int], margin: int = MARGIN) -> list[tuple[int, int]]:
    """Pairs (found, true), one to one, nearest first."""
    pairs = sorted(
        (abs(f - t), i, j)
        for i, f in enumerate(found)
        for j, t in enumerate(true)
        if abs(f - t) <= margin
    )
    used_f, used_t, out = set[int](), set[int](), list[tuple[int, int]]()
    for _, i, j in pairs:
        if i not in used_f and j not in used_t:
            used_f.add(i)
            used_t.add(j)
            out.append((found[i], true[j]))
    return out
