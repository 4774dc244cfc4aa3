"""Flaky or broken: how likely a case fails by chance, and how many re-runs tell.

A case is in order or broken at a commit, and stays so until somebody changes it; when in
order, a flaky one still fails at its own rate. The rate's posterior comes from the forward
algorithm over commits, once for each rate of a grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import betaln

from .ranks import Floats

# Failure rates a case in order may have; the first is everybody's share of bad luck.
_RATES = np.array([0.0005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.4, 0.55, 0.7, 0.85])
_FLAKY_SHARE = 0.08
_PRIOR = np.concatenate(([1 - _FLAKY_SHARE], np.full(len(_RATES) - 1, 1.0)))
_PRIOR[1:] *= _FLAKY_SHARE / (len(_RATES) - 1)
# A broken case passes once in a while too: by a cached result, by an unlucky assertion.
_BROKEN_RATE = 0.99
_BREAKS = 0.01
_FIXED = 0.15
# How sure the re-runs must make us, and how many there may be at most.
_SURE = 0.95
_MOST_RERUNS = 12
# Of a failure without any history: that the case is broken.
_BROKEN_AT_FIRST = 0.1
# Rates that runs under harmless circumstances may share, and how many circumstances harm.
_SHARED_RATES = np.array([0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.45])
_OWN_RATE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRuns:
    """How the runs of a case at one commit ended."""

    runs: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flakiness:
    """What the history says of one case."""

    # That it fails by chance at all.
    probability: float
    # How often it does, if in order: mean, and the interval that holds 90 %.
    rate: float
    low: float
    high: float
    # That it is broken at the last commit.
    broken: float
    # The posterior over the grid of rates, for the sequential test.
    posterior: tuple[float, ...]


def flakiness(history: Iterable[CommitRuns]) -> Flakiness:
    """Judge a case by its runs, oldest commit first."""
    state = np.array([np.full(len(_RATES), 1 - _BREAKS), np.full(len(_RATES), _BREAKS)])
    last, log_seen = state, np.zeros(len(_RATES))
    for commit in history:
        passes = commit.runs - commit.failures
        good = _RATES**commit.failures * (1 - _RATES) ** passes
        bad = _BROKEN_RATE**commit.failures * (1 - _BROKEN_RATE) ** passes
        state = state * np.array([good, np.full(len(_RATES), bad)])
        total = np.maximum(state.sum(axis=0), 1e-300)
        log_seen += np.log(total)
        now = state / total
        state = np.array(
            [
                now[0] * (1 - _BREAKS) + now[1] * _FIXED,
                now[0] * _BREAKS + now[1] * (1 - _FIXED),
            ]
        )
        last = now
    weight = _PRIOR * np.exp(log_seen - log_seen.max())
    weight /= weight.sum()
    cumulated = np.cumsum(weight)
    return Flakiness(
        probability=float(weight[1:].sum()),
        rate=float(weight @ _RATES),
        low=float(_RATES[int(np.searchsorted(cumulated, 0.05))]),
        high=float(_RATES[min(int(np.searchsorted(cumulated, 0.95)), len(_RATES) - 1)]),
        broken=float(weight @ last[1]),
        posterior=tuple(weight.tolist()),
    )


class Told(StrEnum):
    """What the re-runs of a failed case say."""

    FLAKY = "flaky"
    BROKEN = "broken"
    # Run it again.
    OPEN = "open"


def tell(failed: Sequence[bool], known: Flakiness | None = None) -> tuple[Told, float]:
    """Flaky or broken after these re-runs of a failure, and how probable that is.

    Wald's sequential test with the case's own history as the alternative: a case known to fail
    half the time needs more re-runs than one that never did.
    """
    rates = np.array(known.posterior if known else _PRIOR)
    prior_broken = max(known.broken, _BREAKS) if known else _BROKEN_AT_FIRST
    fails = sum(failed)
    passes = len(failed) - fails
    # The failure that started it counts for both.
    flaky = (1 - prior_broken) * float(rates @ (_RATES ** (fails + 1) * (1 - _RATES) ** passes))
    broken = prior_broken * _BROKEN_RATE ** (fails + 1) * (1 - _BROKEN_RATE) ** passes
    chance = broken / (flaky + broken)
    if chance >= _SURE:
        return Told.BROKEN, chance
    if passes and 1 - chance >= _SURE:
        return Told.FLAKY, 1 - chance
    if len(failed) >= _MOST_RERUNS:
        return (Told.BROKEN, chance) if chance >= 0.5 else (Told.FLAKY, 1 - chance)
    return Told.OPEN, max(chance, 1 - chance)


class Cause(StrEnum):
    """What the failures of a flaky case go with."""

    ORDER = "order"
    TIME = "time"
    RESOURCE = "resource"
    INFRASTRUCTURE = "infrastructure"
    PRODUCT = "product"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """One run of a case: how it ended, and under what circumstances."""

    failed: bool
    commit: str = ""
    # The case that ran before it in the same process.
    predecessor: str = ""
    worker: str = ""
    # Unix time of its start.
    started: float = 0.0
    # How busy the worker was, from 0 to 1: the larger of its shares of CPU and memory in use.
    pressure: float = 0.0


def likely_cause(runs: Sequence[Circumstances]) -> tuple[Cause, float]:
    """The circumstance that failures go with, and its probability among all explanations.

    Each explanation splits the runs into groups with failure rates of their own; its evidence
    is the likelihood if most groups share one rate, which charges for every group by itself.
    """
    failed = np.array([r.failed for r in runs], float)
    if len(runs) < 8 or not failed.any() or failed.all():
        return Cause.UNKNOWN, 1.0
    pressure = np.array([r.pressure for r in runs])
    hours = np.array([r.started for r in runs]) // 3600 % 24
    splits: dict[Cause, Sequence[object]] = {
        Cause.ORDER: [r.predecessor for r in runs],
        Cause.TIME: (hours // 4).tolist(),
        Cause.RESOURCE: np.digitize(pressure, (0.5, 0.75, 0.9)).tolist(),
        Cause.INFRASTRUCTURE: [r.worker for r in runs],
        Cause.PRODUCT: [r.commit for r in runs],
    }
    evidence = {Cause.UNKNOWN: _evidence(failed, [0] * len(runs))}
    for cause, groups in splits.items():
        if len(set(groups)) > 1:
            evidence[cause] = _evidence(failed, groups)
    logs = np.array(list(evidence.values()))
    # Half of all flakes have no cause that shows here.
    prior = np.array([0.5 if c is Cause.UNKNOWN else 0.1 for c in evidence])
    weight = prior * np.exp(logs - logs.max())
    weight /= weight.sum()
    best = int(weight.argmax())
    return list(evidence)[best], float(weight[best])


def _evidence(failed: Floats, groups: Sequence[object]) -> float:
    """The log likelihood if most groups share a small rate and some have one of their own."""
    _, member = np.unique([str(g) for g in groups], return_inverse=True)
    runs = np.bincount(member)
    fails = np.bincount(member, weights=failed)
    own = np.log(_OWN_RATE) + betaln(fails + 1, runs - fails + 1)
    shared = np.log(_SHARED_RATES)[:, None] * fails
    shared += np.log1p(-_SHARED_RATES)[:, None] * (runs - fails)
    if len(runs) == 1:
        return float(np.logaddexp.reduce(shared.sum(axis=1) - np.log(len(_SHARED_RATES))))
    each = np.logaddexp(np.log(1 - _OWN_RATE) + shared, own)
    return float(np.logaddexp.reduce(each.sum(axis=1) - np.log(len(_SHARED_RATES))))
