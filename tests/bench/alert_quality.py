"""What reaches people, end to end: screened after every run, run again if suspected, then told.

Re-runs are drawn from the process that made the history, on a day of its own: modes stick, and
neighbours resemble each other, from one re-run to the next as from one run to the next. On top of
that today's machine is faster or slower by as much as the noise, which both commits share. Where
the case can only run as it stands, half of the noise's variance is the day's. The product's own
tests decide: `in_turns`, `run_again`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from histories import NOISES, Floats, Rng
from quality_tables import print_table
from trend_histories import CI_NOISES

from proctor.flows.trending.confirm import Result, in_turns
from proctor.flows.trending.measure import Run
from proctor.flows.trending.rerun import Beside, run_again
from proctor.monitoring.trends.known_levels import FEWEST_BEFORE, Levels, Side
from proctor.monitoring.trends.measured_before import MeasuredBefore
from proctor.monitoring.trends.online import confirmed_shift
from proctor.monitoring.trends.screening import suspicion

# As `proctor trends --confirm` does it.
_MOST = 15
_WARM_UP = 2
_SMALLEST = 0.03
RUNS_A_WEEK = 25
_CALM = 300
# Their noise depends on how long the history is: re-runs of one hour have none of that.
_OF_THE_HISTORY = {"drift": "gaussian", "changing variance": "gaussian"}
_AGAIN = 700


@dataclass(slots=True, kw_only=True)
class Case:
    """A case with its history, and what runs again would take."""

    values: Floats
    level: float
    share: float
    again: Floats
    rng: Rng
    # The run with which it got slower, and by how much.
    at: int
    step: float
    used: int = 0

    def measure(self) -> Callable[[str], Run]:
        """Runs of today: on a machine as fast as it is today, at either commit."""
        today = 1 + self.share * float(self.rng.normal())

        def run(commit: str) -> Run:
            return Run(seconds=self._seconds(int(commit), today, 1.0))

        return run

    def as_it_stands(self, newest: int) -> Callable[[], Beside]:
        """Runs of today at the newest commit; half of what varies is the day."""
        today = 1 + self.share * float(self.rng.normal()) * np.sqrt(0.5)

        def run() -> Beside:
            took = self._seconds(newest, today, np.sqrt(0.5))
            return Beside(seconds={"case": took}, host="here", worker_class="")

        return run

    def _seconds(self, commit: int, today: float, part: float) -> float:
        noise = part * float(self.again[self.used % len(self.again)])
        self.used += 1
        slower = 1 + self.step if commit >= self.at else 1.0
        return max(self.level * today * slower * (1 + self.share * noise), 1e-9)


@dataclass(slots=True)
class Counts:
    """What one way of alerting did."""

    alerts: int = 0
    suspicions: int = 0
    reruns: int = 0
    undecided: int = 0
    places: list[int] = field(default_factory=list[int])


def a_case(kind: str, n: int, rng: Rng, *, share: float, at: int, step: float) -> Case:
    like = _OF_THE_HISTORY.get(kind)
    if like is None:
        noise = NOISES[kind](n + _AGAIN, rng)
        noise, again = noise[:n], noise[n:]
    else:
        noise, again = NOISES[kind](n, rng), NOISES[like](_AGAIN, rng)
    level = float(np.exp(rng.uniform(-3, 5)))
    values = level * (1 + share * noise)
    values[at:] *= 1 + step
    return Case(values=values, level=level, share=share, again=again, rng=rng, at=at, step=step)


@dataclass(frozen=True, slots=True)
class _Suspected:
    low: int
    high: int
    index: int
    step: float


Confirm = Callable[[Case, Floats, _Suspected], tuple[Result, int]]


def both_in_turns(case: Case, values: Floats, seen: _Suspected) -> tuple[Result, int]:
    """Both commits, as where there is a checkout."""
    del values
    again = in_turns(
        case.measure(),
        str(seen.low - 1),
        str(seen.high),
        suspected=max(seen.step, 0.02),
        most=_MOST,
        say=lambda _: None,
    )
    return again.result, again.runs + _WARM_UP


def as_it_stands(case: Case, values: Floats, seen: _Suspected) -> tuple[Result, int]:
    """The case alone beside its history, as where there is none."""
    before, after = values[max(seen.index - 30, 0) : seen.index], values[seen.index :]
    if len(before) < FEWEST_BEFORE or min(values) <= 0:
        return Result.UNDECIDED, 0
    known = MeasuredBefore(
        case="case",
        worker_class="",
        levels=Levels(before=np.log(before), after=np.log(after)),
        yardsticks={},
        seconds=float(np.median(before)),
        speeds={"here": 1.0},
        worker="",
    )
    run = case.as_it_stands(len(values))
    again = run_again(known, run, most=_MOST, commit="", say=lambda _: None)
    results = {Side.AFTER: Result.CONFIRMED, Side.BEFORE: Result.REFUTED}
    return results.get(again.sided.side, Result.UNDECIDED), again.runs + 1


def followed(
    case: Case,
    looks: range,
    *,
    screened: bool = True,
    confirming: Confirm | None = None,
) -> Counts:
    """Ask after each run, as in use; `looks` are the numbers of values known then."""
    told = Counts()
    since = cleared = 0
    for n in looks:
        values = case.values[:n]
        found = confirmed_shift(values, since=since)
        if found is not None and found.after <= found.before:
            # It got faster, which is no alert, and the level of now.
            since = found.index
            continue
        if found is not None and found.index >= cleared:
            low, high, index, step = found.low, found.high, found.index, found.relative
        elif screened:
            seen = suspicion(values[since:], since=max(cleared - since, 0))
            if seen is None or seen.after / seen.before - 1 < _SMALLEST:
                continue
            low, high, index = seen.low + since, seen.high + since, seen.index + since
            step = seen.after / seen.before - 1
        else:
            continue
        told.suspicions += 1
        result = Result.CONFIRMED
        if confirming is not None:
            result, runs = confirming(case, values, _Suspected(low, high, index, step))
            told.reruns += runs
        if result is Result.CONFIRMED or (result is Result.UNDECIDED and found is not None):
            told.alerts += 1
            told.places.append(n)
            since = index
        told.undecided += result is Result.UNDECIDED
        cleared = high + 1
    return told


# The last is not done: it shows why a hint alone is run in turns only.
_WAYS: Mapping[str, Mapping[str, Any]] = {
    "found": {"screened": False},
    "found, in turns": {"screened": False, "confirming": both_in_turns},
    "both, in turns": {"confirming": both_in_turns},
    "both, as it stands": {"confirming": as_it_stands},
}


def alerts(rng: Rng, options: argparse.Namespace) -> None:
    """A/A histories and shifts of 10 %, at noise of 3 to 5 %; 25 runs a week."""
    rows = list[Sequence[object]]()
    for way, how in _WAYS.items():
        each = [_of_kind(kind, options.size, how, rng) for kind in CI_NOISES]
        rows += [(way, kind, *row) for kind, row in zip(CI_NOISES, each, strict=True)]
        rows.append((way, "all", *np.mean(each, axis=0).tolist()))
    header = (
        *("alerts by", "noise of 3-5 %", "A/A alerts/1,000 weeks", "run again/1,000 weeks"),
        *("re-runs/week", "undecided", "10 % within 10", "within 5", "re-runs of a shift"),
    )
    print_table("Alerts, all the way", header, rows)
    newest(rng, options)


def _of_kind(kind: str, size: int, how: Mapping[str, Any], rng: Rng) -> tuple[float, ...]:
    calm, moved = Counts(), list[Counts]()
    for _ in range(size):
        share = float(rng.uniform(0.03, 0.05))
        case = a_case(kind, _CALM, rng, share=share, at=_CALM, step=0.0)
        one = followed(case, range(20, _CALM + 1), **how)
        calm.alerts += one.alerts
        calm.suspicions += one.suspicions
        calm.reruns += one.reruns
        calm.undecided += one.undecided
        at = int(rng.integers(60, 180))
        share = float(rng.uniform(0.03, 0.05))
        case = a_case(kind, at + 10, rng, share=share, at=at, step=0.1)
        # What was looked at before the shift may stand in its way.
        one = followed(case, range(at - 20, at + 11), **how)
        one.places = [n - at for n in one.places if n > at]
        moved.append(one)
    weeks = size * _CALM / RUNS_A_WEEK
    return (
        1000 * calm.alerts / weeks,
        1000 * calm.suspicions / weeks,
        calm.reruns / weeks,
        calm.undecided / max(calm.suspicions, 1),
        float(np.mean([bool(one.places) for one in moved])),
        float(np.mean([any(n <= 5 for n in one.places) for one in moved])),
        float(np.mean([one.reruns for one in moved])),
    )


def newest(rng: Rng, options: argparse.Namespace) -> None:
    """The newest shift of 3 sigma, told within four points, with noise of all kinds."""
    rows = list[Sequence[object]]()
    for kind in NOISES:
        calm, found = Counts(), 0
        for _ in range(options.size):
            share = float(rng.uniform(0.03, 0.05))
            case = a_case(kind, _CALM, rng, share=share, at=_CALM, step=0.0)
            one = followed(case, range(20, _CALM + 1), confirming=both_in_turns)
            calm.alerts += one.alerts
            calm.suspicions += one.suspicions
            calm.reruns += one.reruns
            at = int(rng.integers(40, 200))
            case = a_case(kind, at + 4, rng, share=share, at=at, step=3 * share)
            one = followed(case, range(at - 20, at + 5), confirming=both_in_turns)
            found += any(n > at for n in one.places)
        points = options.size * _CALM
        rows.append(
            (
                kind,
                found / options.size,
                1000 * calm.alerts / points,
                1000 * calm.suspicions / points,
                calm.reruns / points,
            )
        )
    rows.append(("all", *np.mean([r[1:] for r in rows], axis=0).tolist()))
    header = (
        *("kind", "within 4 points", "false alerts/1,000 points"),
        *("run again/1,000 points", "re-runs/point"),
    )
    print_table("Newest shift of 3 sigma, screened and confirmed", header, rows)
