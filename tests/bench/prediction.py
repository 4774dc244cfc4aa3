"""Bar 4: how well the next runs are foreseen, beside the last value and the median of all.

    python tests/bench/prediction.py [--suites 4] [--cases 1500] [--campaigns 7] [--state DIR]

Generated suites have a truth that is known; `--state` takes the runs of real campaigns from state
directories instead, which must hold four or more of a project. Counted are cases over 0.1 s.
"paced" is what a campaign foresees of a case when that begins: by then it knows from the cases
that finished how slow it is as a whole. The two simple predictors are given the same help.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from histories import NOISES, Floats
from labelled_suite import labelled
from prediction_histories import generate

from proctor.monitoring.prediction.grade import paces
from proctor.monitoring.prediction.levels import Whole
from proctor.monitoring.prediction.predictor import (
    LONG_SECONDS,
    Measured,
    Suite,
    foresee,
    last_value,
    median_of_all,
)
from proctor.monitoring.prediction.source import newest_campaigns, used_by
from proctor.monitoring.store import Store

MOST_ERROR = 0.15
COVERAGE = (0.85, 0.95)
LEAST_RIGHT = 0.95
# What a case has behind it when it is judged.
RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What was known, and what came then."""

    name: str
    suite: Suite
    known: Measured
    case: Whole
    seconds: Floats
    # When each run began, on which worker.
    started: Floats
    workers: tuple[str, ...]
    # Of what a case is made, for a table by kind of noise; empty where nobody knows.
    kinds: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Missed:
    """By how much each predictor missed, and whether the interval held the run."""

    by: dict[str, list[Floats]] = field(default_factory=lambda: defaultdict(list))
    inside: list[Floats] = field(default_factory=list)
    inside_paced: list[Floats] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def add(self, task: Task) -> None:
        foreseen = foresee(task.suite, task.known)
        number = len(task.suite.case_ids)
        table = np.full((number, 3), np.nan)
        narrow = np.full((number, 3), np.nan)
        for row, case_id in enumerate(task.suite.case_ids):
            if (one := foreseen.cases.get(case_id)) is not None:
                table[row] = one.seconds, one.low_seconds, one.high_seconds
                sure = one.at(1.0, shared=foreseen.shared)
                narrow[row] = sure.seconds, sure.low_seconds, sure.high_seconds
        runs = np.bincount(task.known.case, minlength=number)
        counted = (task.seconds >= LONG_SECONDS) & (runs[task.case] >= min(RUNS, runs.max()))
        if not counted.any():
            return
        seconds = task.seconds[counted]
        for name, told in (
            ("predictor", table[:, 0]),
            ("last value", last_value(task.known, cases=number)),
            ("median of all", median_of_all(task.known, cases=number)),
        ):
            usual = told[task.case]
            pace = self._paces(task, usual)
            self.by[name].append((np.abs(usual - task.seconds) / task.seconds)[counted])
            paced = (np.abs(usual * pace - task.seconds) / task.seconds)[counted]
            self.by[f"{name}, paced"].append(paced)
            if name == "predictor":
                bounds = (narrow[task.case] * pace[:, None])[counted]
                self.inside_paced.append(_held(bounds, seconds))
        self.inside.append(_held(table[task.case][counted], seconds))
        self.kinds.extend(task.kinds[each] for each in task.case[counted].tolist() if task.kinds)

    def _paces(self, task: Task, usual: Floats) -> Floats:
        return paces(
            np.nan_to_num(usual),
            seconds=task.seconds,
            started=task.started,
            workers=task.workers,
            speeds={},
        )

    def row(self, name: str) -> dict[str, object]:
        def half(errors: list[Floats]) -> float:
            return round(float(np.median(np.concatenate(errors))), 4)

        # The worst and the best single campaign: they miss together.
        each = [float(part.mean()) for part in self.inside if len(part)]
        return {
            "what": name,
            "runs": sum(map(len, self.inside)),
            **{which: half(errors) for which, errors in self.by.items()},
            "coverage": round(float(np.concatenate(self.inside).mean()), 4),
            "coverage by campaign": [round(min(each), 3), round(max(each), 3)],
            "coverage, paced": round(float(np.concatenate(self.inside_paced).mean()), 4),
        }


def _held(bounds: Floats, seconds: Floats) -> Floats:
    return ((bounds[:, 1] <= seconds) & (seconds <= bounds[:, 2])).astype(np.float64)


def generated(
    told: argparse.Namespace, *, known: int, ahead: int, steadiness: float = 1.0
) -> Iterator[Task]:
    """Every campaign that has so many before it, predicted from those that end `ahead` earlier."""
    for seed in range(told.suites):
        rng = np.random.default_rng(told.seed + seed)
        ran = generate(cases=told.cases, campaigns=told.campaigns, rng=rng, steadiness=steadiness)
        for later in range(known + ahead - 1, told.campaigns):
            until = later - ahead + 1
            yield Task(
                name=f"suite {seed}",
                suite=ran.suite,
                known=ran.measured(until - known, until),
                case=np.arange(told.cases),
                seconds=ran.seconds[:, later],
                started=_some_order(ran.seconds[:, later], rng),
                workers=("cpu-1",) * told.cases,
                kinds=ran.kinds,
            )


def _some_order(seconds: Floats, rng: np.random.Generator) -> Floats:
    """When each began: on four slots, in any order."""
    started = np.zeros(len(seconds))
    for part in np.array_split(rng.permutation(len(seconds)), 4):
        started[part] = np.cumsum(seconds[part]) - seconds[part]
    return started


def recorded(state: Path) -> Iterator[Task]:
    """The campaigns of a state directory, each predicted from the three before it."""
    with Store(state).reading() as connection:
        projects = {name: used_by(connection, name) for name in newest_campaigns(connection)}
    for name, used in projects.items():
        everything = used.measured()
        for later in range(RUNS, len(used.campaigns)):
            before = (everything.campaign >= later - RUNS) & (everything.campaign < later)
            now = used.passed & (used.campaign == later)
            if not before.any() or not now.any():
                continue
            known = {
                column: getattr(everything, column)[before]
                for column in ("case", "seconds", "cpu_seconds", "peak_bytes", "moved_bytes")
            }
            yield Task(
                name=name,
                suite=used.suite,
                known=replace(
                    everything,
                    campaign=everything.campaign[before] - (later - RUNS),
                    slowness=None,
                    **known,
                ),
                case=used.case[now],
                seconds=used.seconds[now],
                started=used.started[now],
                workers=tuple(used.worker[now].tolist()),
            )


def judged(name: str, tasks: Iterator[Task]) -> tuple[dict[str, object], Missed]:
    missed = Missed()
    for task in tasks:
        missed.add(task)
    if not missed.inside:
        raise SystemExit(f"{name}: no case has {RUNS} runs before its last one")
    row = missed.row(name)
    print(json.dumps(row), flush=True)
    return row, missed


def holds(row: dict[str, object]) -> bool:
    error, coverage = float(str(row["predictor"])), float(str(row["coverage"]))
    others = float(str(row["last value"])), float(str(row["median of all"]))
    return error <= MOST_ERROR and COVERAGE[0] <= coverage <= COVERAGE[1] and error <= min(others)


def by_noise(missed: Missed) -> None:
    """What is hard: each kind of noise for itself."""
    kinds = np.array(missed.kinds)
    names = ("predictor", "last value", "median of all")
    columns = [np.concatenate(missed.by[name]) for name in names]
    inside = np.concatenate(missed.inside)
    for kind in NOISES:
        here = kinds == kind
        errors = [round(float(np.median(column[here])), 3) for column in columns]
        told = dict(zip(names, errors, strict=True))
        print(json.dumps({"noise": kind, **told, "coverage": round(float(inside[here].mean()), 3)}))


def classes(seeds: int) -> bool:
    """Whether cases that declared nothing go where they belong, run by run."""
    right = [[labelled(seed=seed, runs=runs) for seed in range(seeds)] for runs in range(5)]
    for runs, results in enumerate(right):
        sent = [float(each.right) for each in results]
        kinds = [float(each.kinds) for each in results]
        told = {"runs": runs, "right class, worst and mean": [min(sent), np.mean(sent).round(4)]}
        print(json.dumps({**told, "right kind, mean": np.mean(kinds).round(4)}), flush=True)
    return min(float(each.right) for each in right[RUNS]) >= LEAST_RIGHT


def speed() -> None:
    """How long 50,000 cases take."""
    ran = generate(cases=50_000, campaigns=12, rng=np.random.default_rng(0))
    measured = ran.measured(0, 12)
    began = time.monotonic()
    foresee(ran.suite, measured)
    print(json.dumps({"50,000 cases, 12 runs each, seconds": round(time.monotonic() - began, 2)}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suites", type=int, default=4)
    parser.add_argument("--cases", type=int, default=1500)
    parser.add_argument("--campaigns", type=int, default=7)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument(
        "--state", type=Path, nargs="+", help="real campaigns instead of generated ones"
    )
    told = parser.parse_args()
    if told.state is not None:
        rows = [judged(f"recorded in {each}", recorded(each))[0] for each in told.state]
        return 0 if all(map(holds, rows)) else 1
    row, missed = judged("three runs, the next one", generated(told, known=RUNS, ahead=1))
    by_noise(missed)
    judged("three runs, the third next", generated(told, known=RUNS, ahead=3))
    judged("one run, the next one", generated(told, known=1, ahead=1))
    judged("six runs, the next one", generated(told, known=6, ahead=1))
    judged("three runs, twice the noise", generated(told, known=RUNS, ahead=1, steadiness=0.5))
    right = classes(5)
    speed()
    return 0 if holds(row) and right else 1


if __name__ == "__main__":
    raise SystemExit(main())
