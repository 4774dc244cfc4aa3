"""How close the simulator comes to this machine, and how fast it is.

    python tests/bench/simulated_makespan.py [--rounds 3] [--slots 2] [--json]

Runs made suites on a fleet of its own, and plays each campaign again with what was measured; then
simulates 100,000 cases on 1,000 workers.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import made_suites

from proctor.flows.campaigns.conduct import conduct, prepare
from proctor.flows.campaigns.request import RunRequest
from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.planning.what_if import measured, own_fleet, replay
from proctor.infra.records import Case, WorkerFacts
from proctor.infra.simulation.campaign import lower_bound, simulate


def compare(suite: Path, state: Path, slots: int) -> dict[str, float]:
    """One campaign and its replay on the same fleet."""
    flags = {"state": str(state), "prefect": "off", "slots": str(slots)}
    conducted = conduct(prepare(RunRequest(directory=str(suite), flags=flags)))
    assert conducted.record is not None
    told = measured(conducted.record)
    own = own_fleet(conducted.record)
    played = replay(
        told,
        {name: each for name, (each, _) in own.items()},
        {name: n for name, (_, n) in own.items()},
    )
    return {
        "real": told.makespan,
        "simulated": played.makespan,
        "off": played.makespan / told.makespan - 1,
    }


def speed(cases: int, workers: int) -> dict[str, float]:
    """How long it takes to simulate so much."""
    rng = random.Random(1)
    made = [Case(id=f"t{i // 50}.py::{i}", group=f"t{i // 50}.py", index=i) for i in range(cases)]
    seconds = {case.id: rng.lognormvariate(0, 1.5) for case in made}
    fleet = [
        WorkerFacts(
            name=f"w-{i}", incarnation="", worker_class="cpu", slots=1, cpu=1, memory_bytes=1
        )
        for i in range(workers)
    ]
    known = Durations(cases={case: CaseHistory(seconds=each) for case, each in seconds.items()})
    began = time.perf_counter()
    done = simulate(made, fleet, seconds=lambda case: seconds[case.id], durations=known)
    return {
        "cases": cases,
        "workers": workers,
        "seconds": time.perf_counter() - began,
        "makespan_over_bound": done.makespan / lower_bound(seconds.values(), workers),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args(argv)
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="proctor-bench-") as place:
        makes = {"short": made_suites.short, "skewed": made_suites.skewed, "warm": made_suites.warm}
        for name, make in makes.items():
            suite = make(Path(place) / name)
            found[name] = [
                compare(suite, Path(place) / "state", told.slots) for _ in range(told.rounds)
            ]
    fast = speed(100_000, 1_000)
    if told.json:
        print(json.dumps({"makespans": found, "speed": fast}))
        return 0
    for name, rounds in found.items():
        for each in rounds:
            print(
                f"{name:8} real {each['real']:6.2f} s  simulated {each['simulated']:6.2f} s"
                f"  {each['off']:+.1%}"
            )
    print(
        f"{fast['cases']:.0f} cases on {fast['workers']:.0f} workers simulated in"
        f" {fast['seconds']:.1f} s; makespan {fast['makespan_over_bound']:.4f} of the lower bound"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
