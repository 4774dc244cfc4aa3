"""The scaling policy beside Dask's Adaptive, one like Kubernetes' HPA, and tuned kinds of both.

    python tests/bench/scaling_policies.py [--json] [--seed 2] [--workload "day and night"]

The same days, the same boot times, the same dispatcher, each policy over a range of its one knob:
what it costs in worker seconds, and how long cases wait. Two policies are compared at equal waits
and at equal costs, between the points of each other's curve: `median` is over all points of both
curves, the others at waits and costs that somebody would choose.

"Dask's Adaptive" is the installed code of distributed, as a farm of tests would meet it: every
case is a task of one name. "a name for each project" and "patient" (a wait count of a minute) are
what somebody gets who knows it well, "tuned" is both; "idealised" is told the true mean duration of
the day in advance, which nobody gets. Campaigns begin in the order in which they came, as Dask has
it; within one all policies have the dispatcher of this project, which spreads work better than
theirs would.
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
from baseline_policies import CLASS, IdealisedAdaptive, LikeHpa
from dask_adaptive import INTERVAL_SECONDS, DaskAdaptive
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
        name=CLASS,
        slots=1,
        cpu=1,
        memory_bytes=2**32,
        boot_seconds=BOOT_SECONDS,
        maximum=MOST,
        # As long as Adaptive leaves idle workers by default: three looks of a second.
        idle_seconds=3.0,
    )
}
# In life the supervisor looks every second too.
PASS_SECONDS = 2.0
PATIENT = 60
OURS, AHEAD, DASK, HPA = "ours", "ours, ahead", "Dask's Adaptive", "like HPA"
NAMED, CALM, TUNED, IDEAL = (
    "Adaptive, a name for each project", "Adaptive, patient", "Adaptive, tuned",
    "Adaptive, idealised",
)  # fmt: skip
# Waits at which somebody would want to be told the price, in seconds.
WAITS = (180.0, 300.0, 600.0)


@dataclass(frozen=True, slots=True)
class Policy:
    """One to compare, over a range of its knob."""

    knobs: Sequence[float]
    make: Callable[[Workload, float], Sizing]


def _ours(_day: Workload, horizon: float, *, ahead: bool) -> Sizing:
    return ByPolicy(ScalingRules(horizon_seconds=horizon, ahead=ahead))


def _dask(day: Workload, target: float, *, named: bool = False, patience: int = 0) -> Sizing:
    sizing = DaskAdaptive(
        CLASS,
        target_seconds=target,
        maximum=MOST,
        **({"prefix_of": day.project} if named else {}),
    )
    if patience:
        sizing.core.wait_count = patience
    return sizing


def _ideal(day: Workload, target: float) -> Sizing:
    return IdealisedAdaptive(float(np.mean(list(day.seconds.values()))), target)


HORIZONS = (5, 20, 60, 150, 400, 1000)
TARGETS = (5, 60, 300, 900, 3000, 10_000, 30_000)
POLICIES: Mapping[str, Policy] = {
    OURS: Policy(HORIZONS, partial(_ours, ahead=False)),
    AHEAD: Policy(HORIZONS, partial(_ours, ahead=True)),
    DASK: Policy(TARGETS, _dask),
    NAMED: Policy(TARGETS, partial(_dask, named=True)),
    CALM: Policy(TARGETS, partial(_dask, patience=PATIENT)),
    TUNED: Policy(TARGETS, partial(_dask, named=True, patience=PATIENT)),
    IDEAL: Policy((5, 60, 180, 400, 900, 2000), _ideal),
    HPA: Policy((1, 4, 10, 25, 60, 150), lambda _day, length: LikeHpa(per_worker=length)),
}
PAIRS = (*((OURS, other) for other in (DASK, NAMED, CALM, TUNED, HPA, IDEAL)), (AHEAD, OURS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One policy with one setting on one day."""

    policy: str
    knob: float
    worker_seconds: float
    wait_mean: float
    wait_p50: float
    wait_p95: float
    # From submission to its last case's end, of nineteen campaigns in twenty.
    campaign_p95: float
    launches: int
    drained_busy: int
    utilisation: float


def play(day: Workload, policy: str, knob: float) -> Point:
    sizing = POLICIES[policy].make(day, knob)
    done = simulate_fleet(
        day.arrivals,
        CLASSES,
        sizing,
        seconds=lambda case: day.seconds[case.id],
        durations=day.durations(),
        until=DAY,
        pass_seconds=INTERVAL_SECONDS if isinstance(sizing, DaskAdaptive) else PASS_SECONDS,
        expected=partial(_expected, _forecast(day)) if policy == AHEAD else None,
        witness=sizing if isinstance(sizing, DaskAdaptive) else None,
        in_order=True,
    )
    waits = np.array(list(done.waits.values()))
    took = [
        max(done.waits[case.index] + day.seconds[case.id] for case in arrival.cases)
        for arrival in day.arrivals
    ]
    return Point(
        policy=policy,
        knob=knob,
        worker_seconds=done.worker_seconds[CLASS],
        wait_mean=float(np.mean(waits)),
        wait_p50=float(np.median(waits)),
        wait_p95=float(np.percentile(waits, 95)),
        campaign_p95=float(np.percentile(took, 95)),
        launches=done.launches,
        drained_busy=done.drained_busy,
        utilisation=done.busy_seconds / done.worker_seconds[CLASS],
    )


def _forecast(day: Workload) -> list[float]:
    # As the flow that scales hands it over.
    return [each.low for each in expected_load(np.array(day.past_hours), 24)]


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


def gain_at(
    ours: Sequence[Point], theirs: Sequence[Point], x: str, y: str, value: float
) -> float | None:
    """By how much our `y` is lower there; None where one of both never gets there."""
    mine, other = at_equal(ours, x, y, value), at_equal(theirs, x, y, value)
    return None if mine is None or other is None else 1 - mine / other


def median_gain(ours: Sequence[Point], theirs: Sequence[Point], x: str, y: str) -> float | None:
    """By how much our `y` is lower at equal `x`: the median over the points of both curves."""
    values = sorted({getattr(each, x) for each in (*ours, *theirs)})
    gains = [gain_at(ours, theirs, x, y, value) for value in values]
    known = [each for each in gains if each is not None]
    return float(np.median(known)) if known else None


def gains_of(ours: Sequence[Point], theirs: Sequence[Point]) -> dict[str, float | None]:
    """Fewer worker seconds at equal p95 waits, less p95 wait at equal worker seconds.

    And fewer worker seconds at equal mean waits, for what is ready before its work is felt there.
    """
    cheaper = {
        f"cheaper_at_{wait:.0f}s": gain_at(ours, theirs, "wait_p95", "worker_seconds", wait)
        for wait in WAITS
    }
    return {
        "cheaper_median": median_gain(ours, theirs, "wait_p95", "worker_seconds"),
        **cheaper,
        "sooner_median": median_gain(ours, theirs, "worker_seconds", "wait_p95"),
        "cheaper_by_mean": median_gain(ours, theirs, "wait_mean", "worker_seconds"),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workload", choices=list(SHAPES), action="append")
    parser.add_argument("--policy", choices=list(POLICIES), action="append")
    told = parser.parse_args(argv)
    document = []
    for name in told.workload or SHAPES:
        day = workload(name, told.seed)
        began = time.perf_counter()
        by = {
            policy: [play(day, policy, knob) for knob in POLICIES[policy].knobs]
            for policy in told.policy or POLICIES
        }
        gains = {
            f"{mine} against {other}": gains_of(by[mine], by[other])
            for mine, other in PAIRS
            if mine in by and other in by
        }
        row = {
            "workload": name,
            "seed": told.seed,
            "cases": day.cases,
            "points": [asdict(each) for points in by.values() for each in points],
            "gains": gains,
            "seconds": time.perf_counter() - began,
        }
        document.append(row)
        if not told.json:
            show(name, day, by, gains)
    if told.json:
        print(json.dumps(document))
    return 0


def show(
    name: str,
    day: Workload,
    by: Mapping[str, Sequence[Point]],
    gains: Mapping[str, Mapping[str, float | None]],
) -> None:
    console = Console()
    total = sum(day.seconds.values())
    table = Table(title=f"{name}: {day.cases} cases, {total:.0f} s of work, boot 60 s")
    headings = (
        "policy", "knob", "worker s", "mean wait", "p50 wait", "p95 wait", "p95 campaign",
        "launches", "used",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for each in (point for points in by.values() for point in points):
        table.add_row(
            each.policy, f"{each.knob:g}", f"{each.worker_seconds:.0f}", f"{each.wait_mean:.0f}",
            f"{each.wait_p50:.0f}", f"{each.wait_p95:.0f}", f"{each.campaign_p95:.0f}",
            str(each.launches), f"{each.utilisation:.0%}",
        )  # fmt: skip
    console.print(table)
    compared = Table(title="fewer worker seconds at equal p95 waits, less p95 wait at equal cost")
    compared.add_column("pair")
    for heading in (
        "fewer: median",
        *(f"at {wait:.0f} s" for wait in WAITS),
        "less: median",
        "by mean",
    ):
        compared.add_column(heading, justify="right")
    for pair, gain in gains.items():
        told = ("-" if each is None else f"{each:.0%}" for each in gain.values())
        compared.add_row(pair, *told)
    console.print(compared)


if __name__ == "__main__":
    sys.exit(main())
