"""The scaling policy beside one like Dask's Adaptive and one like Kubernetes' HPA.

    python tests/bench/scaling_policies.py [--json] [--seeds 2] [--workload "day and night"]

The same days, the same boot times, the same dispatcher, each policy over a range of its one knob:
what it costs in worker seconds, and how long cases wait. Two policies are compared at equal waits
and at equal costs, between the points of each other's curve.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from baseline_policies import CLASS, LikeDaskAdaptive, LikeHpa
from rich.console import Console
from rich.table import Table
from scaling_workloads import DAY, HOUR, SHAPES, Workload, workload

from proctor.infra.planning.simulated import ByPolicy, Sizing, simulate_fleet
from proctor.infra.scaling.policy import ScalingRules
from proctor.infra.worker_classes import WorkerClass
from proctor.monitoring.trends.forecast import expected_load

BOOT_SECONDS = 60.0
MOST = 80
CLASSES = {
    CLASS: WorkerClass(
        name=CLASS, slots=1, boot_seconds=BOOT_SECONDS, maximum=MOST, idle_seconds=15.0
    )
}
OURS, AHEAD, DASK, HPA = "ours", "ours, ahead", "like Dask's Adaptive", "like HPA"
POLICIES: Mapping[str, Sequence[tuple[float, Callable[[float], Sizing]]]] = {
    OURS: [
        (horizon, lambda each: ByPolicy(ScalingRules(horizon_seconds=each, ahead=False)))
        for horizon in (5, 20, 60, 150, 400, 1000)
    ],
    AHEAD: [
        (horizon, lambda each: ByPolicy(ScalingRules(horizon_seconds=each, ahead=True)))
        for horizon in (5, 20, 60, 150, 400, 1000)
    ],
    DASK: [
        (target, lambda each: LikeDaskAdaptive(target_seconds=each))
        for target in (5, 60, 180, 400, 900, 2000)
    ],
    HPA: [(length, lambda each: LikeHpa(per_worker=each)) for length in (1, 4, 10, 25, 60, 150)],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One policy with one setting on one day."""

    policy: str
    knob: float
    worker_seconds: float
    wait_p50: float
    wait_p95: float
    launches: int
    drained_busy: int
    utilisation: float


def play(day: Workload, policy: str, knob: float, make: Callable[[float], Sizing]) -> Point:
    sizing = make(knob)
    if isinstance(sizing, LikeDaskAdaptive):
        # It learns the mean of a kind of task from what ran: let it have learnt already.
        sizing.mean_seconds = float(np.mean(list(day.seconds.values())))
    done = simulate_fleet(
        day.arrivals,
        CLASSES,
        sizing,
        seconds=lambda case: day.seconds[case.id],
        durations=day.durations(),
        until=DAY,
        expected=partial(_expected, _forecast(day)) if policy == AHEAD else None,
    )
    waits = np.array(list(done.waits.values()))
    return Point(
        policy=policy,
        knob=knob,
        worker_seconds=done.worker_seconds[CLASS],
        wait_p50=float(np.median(waits)),
        wait_p95=float(np.percentile(waits, 95)),
        launches=done.launches,
        drained_busy=done.drained_busy,
        utilisation=done.busy_seconds / done.worker_seconds[CLASS],
    )


def _forecast(day: Workload) -> list[float]:
    return [each.value for each in expected_load(np.array(day.past_hours), 24)]


def _expected(hours: Sequence[float], now: float) -> Callable[[str, float], float]:
    def workers(_name: str, ahead: float) -> float:
        hour = int((now + ahead) // HOUR)
        return hours[hour] / HOUR if hour < len(hours) else 0.0

    return workers


def at_equal(points: Sequence[Point], x: str, y: str, value: float) -> float | None:
    """The least `y` that a policy reaches at no more than this `x`, between its points."""
    front: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda each: (getattr(each, x), getattr(each, y))):
        if not front or getattr(point, y) < front[-1][1]:
            front.append((getattr(point, x), getattr(point, y)))
    xs, ys = np.log([a for a, _ in front]), np.log([b for _, b in front])
    if np.log(value) < xs[0]:
        return None
    return float(np.exp(np.interp(np.log(value), xs, ys)))


def best_gain(ours: Sequence[Point], theirs: Sequence[Point], x: str, y: str) -> float | None:
    """By how much our `y` is lower at equal `x`: the median over the points of both curves."""
    gains = []
    for value in sorted({getattr(each, x) for each in (*ours, *theirs)}):
        mine, other = at_equal(ours, x, y, value), at_equal(theirs, x, y, value)
        if mine is not None and other is not None:
            gains.append(1 - mine / other)
    return float(np.median(gains)) if gains else None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workload", choices=list(SHAPES), action="append")
    told = parser.parse_args(argv)
    document = []
    for name in told.workload or SHAPES:
        day = workload(name, told.seed)
        began = time.perf_counter()
        points = [
            play(day, policy, knob, make) for policy in POLICIES for knob, make in POLICIES[policy]
        ]
        took = time.perf_counter() - began
        by = {policy: [each for each in points if each.policy == policy] for policy in POLICIES}
        gains = {
            f"{mine} against {other}": {
                "fewer_worker_seconds_at_equal_wait": best_gain(
                    by[mine], by[other], "wait_p95", "worker_seconds"
                ),
                "less_wait_at_equal_cost": best_gain(
                    by[mine], by[other], "worker_seconds", "wait_p95"
                ),
            }
            for mine, other in ((OURS, DASK), (OURS, HPA), (AHEAD, OURS))
        }
        document.append(
            {"workload": name, "cases": day.cases, "points": list(map(asdict, points)),
             "gains": gains, "seconds": took}
        )  # fmt: skip
        if not told.json:
            show(name, day, points, gains)
    if told.json:
        print(json.dumps(document))
    return 0


def show(name: str, day: Workload, points: Sequence[Point], gains: Mapping[str, object]) -> None:
    console = Console()
    total = sum(day.seconds.values())
    table = Table(title=f"{name}: {day.cases} cases, {total:.0f} s of work, boot 60 s")
    for heading in ("policy", "knob", "worker s", "p50 wait", "p95 wait", "launches", "used"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for each in points:
        table.add_row(
            each.policy, f"{each.knob:g}", f"{each.worker_seconds:.0f}", f"{each.wait_p50:.0f}",
            f"{each.wait_p95:.0f}", str(each.launches), f"{each.utilisation:.0%}",
        )  # fmt: skip
    console.print(table)
    for pair, gain in gains.items():
        console.print(f"{pair}: {gain}")


if __name__ == "__main__":
    sys.exit(main())
