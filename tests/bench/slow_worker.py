"""What it is worth to know that a worker is slow: makespans of simulated campaigns.

    python tests/bench/slow_worker.py [--seeds 20]

The same suites on the same fleets, dispatched by the code that runs campaigns: without a look at
how fast workers are, with what the campaign learns of them, and with what earlier ones knew.
Makespans are given as multiples of the bound below which no schedule is.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import numpy as np

from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.dispatching.pace import Pace
from proctor.infra.predictions import Predictions
from proctor.infra.records import Case, WorkerFacts
from proctor.infra.simulation.campaign import simulate

NOISE = 0.1
# Speeds of workers with one slot each.
FLEETS = {
    "4 equal": (1.0,) * 4,
    "16 equal": (1.0,) * 16,
    "1 of 2 at a quarter": (1.0, 0.25),
    "1 of 4 at half": (1.0, 1.0, 1.0, 0.5),
    "1 of 4 at a quarter": (1.0, 1.0, 1.0, 0.25),
    "2 of 8 at a third": (1.0,) * 6 + (1 / 3,) * 2,
    "half of 8 at half": (1.0,) * 4 + (0.5,) * 4,
}


class Blind(Pace):
    """Takes all workers and all campaigns for alike."""

    def learn(self, worker: str, foreseen: float, measured: float) -> None:
        pass

    def meet(self, worker: str, speed: float) -> None:
        pass

    def seen(self, worker: str) -> int:
        return 1_000


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A suite: how many files of how many cases, and how their lengths vary."""

    files: int
    cases: int
    median: float
    spread: float


SHAPES = {
    "unit tests": Shape(files=60, cases=40, median=0.02, spread=1.2),
    "some long": Shape(files=40, cases=10, median=0.15, spread=1.5),
    "few and long": Shape(files=12, cases=4, median=3.0, spread=1.0),
}


def made(shape: Shape, rng: np.random.Generator) -> tuple[list[Case], dict[str, float]]:
    cases = [
        Case(id=f"test_{file}.py::test_{number}", group=f"test_{file}.py", index=index)
        for index, (file, number) in enumerate(
            (file, number) for file in range(shape.files) for number in range(shape.cases)
        )
    ]
    logs = rng.normal(np.log(shape.median), shape.spread, len(cases))
    return cases, dict(zip((case.id for case in cases), np.exp(logs).tolist(), strict=True))


def makespan(
    cases: list[Case],
    usual: dict[str, float],
    speeds: tuple[float, ...],
    *,
    how: str,
    rng: np.random.Generator,
) -> float:
    workers = [
        WorkerFacts(
            name=f"w{number}",
            incarnation="1",
            worker_class="cpu",
            slots=1,
            cpu=1.0,
            memory_bytes=1,
            host=f"h{number}",
        )
        # The slow ones join first: nothing is won by luck.
        for number in reversed(range(len(speeds)))
    ]
    told = (
        {f"h{number}/cpu": speed for number, speed in enumerate(speeds)} if how == "known" else {}
    )
    noise = {case.id: float(np.exp(rng.normal(0, NOISE))) for case in cases}
    done = simulate(
        cases,
        workers,
        seconds=lambda case: usual[case.id] * noise[case.id],
        durations=Durations(
            cases={name: CaseHistory(seconds=seconds) for name, seconds in usual.items()},
            predicted=Predictions(speeds=told),
            pace=Blind() if how == "blind" else Pace(),
        ),
        speed=lambda name: speeds[int(name[1:])],
    )
    bound = max(max(usual.values()) / max(speeds), sum(usual.values()) / sum(speeds))
    return done.makespan / bound


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    told = parser.parse_args()
    fine = True
    for suite, shape in SHAPES.items():
        for fleet, speeds in FLEETS.items():
            found: dict[str, float] = {}
            for how in ("blind", "learned", "known"):
                each: list[float] = []
                for seed in range(told.seeds):
                    rng = np.random.default_rng(seed)
                    cases, usual = made(shape, rng)
                    each.append(makespan(cases, usual, speeds, how=how, rng=rng))
                found[how] = round(float(np.mean(each)), 3)
            fine &= found["learned"] <= found["blind"] * 1.01
            print(json.dumps({"suite": suite, "fleet": fleet, **found}), flush=True)
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
