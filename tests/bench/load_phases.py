"""Four phases of load on a fleet that sizes itself, from this machine or from a real work pool.

    python tests/bench/load_phases.py --provider local
    python tests/bench/load_phases.py --provider process
    python tests/bench/load_phases.py --provider docker

Campaigns are typed as a person types them. Of each phase: the most workers that were wanted, how
many there came to be and after how long. At the end: whether anybody busy was told to leave,
whether sizes flapped, whether each decision says why, and whether each case ran exactly once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from auto_fleets import Lookout, decisions, flaps, size, turns
from pool_fleets import PROVIDERS, fleet_arguments
from real_campaigns import executions, type_in, write_project
from waiting import wait_until

from proctor.deployments.standing.services import down
from proctor.infra.fleet.files import FleetFiles
from proctor.infra.ledgers.ledger import list_campaigns, read_campaign
from proctor.infra.scaling.policy import ScalingRules

MOST = 5
CASE_SECONDS = 0.5
# Seconds in which the work should be done once workers are there: pools boot for longer.
HORIZON = {"local": "4s", "process": "10s", "docker": "10s"}
CASES = {"local": (4, 30, 90), "process": (4, 60, 240), "docker": (4, 60, 240)}
PATIENCE = 300.0


@dataclass
class Row:
    phase: str
    cases: int
    took: float
    wanted: int
    reached: int
    # From the first decision of the phase until the wanted size ran.
    after: float | None
    made: list[dict[str, Any]]


def suite(cases: int) -> dict[str, str]:
    return {
        "test_some.py": f"""\
            import time, pytest
            from executions import ran
            @pytest.mark.parametrize("n", range({cases}))
            def test_it(n):
                time.sleep({CASE_SECONDS})
                ran(f"{{n}}")
            """
    }


def type_or_end(*arguments: str, cwd: Path) -> None:
    done = type_in(*arguments, cwd=cwd, timeout=PATIENCE)
    if done.returncode:
        raise SystemExit(
            f"proctor {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )


def measured(
    phase: str, cases: int, lookout: Lookout, state: Path, *, began: float, before: int
) -> Row:
    ended = time.time()
    made = [each for each in decisions(state) if each["t"] >= began]
    wanted = max([before, *(each["to"] for each in made)]) if cases else 0
    there = [(at, running) for at, running in lookout.seen if began <= at <= ended]
    reached = [running for _, running in there] or [size(state)]
    first = next((at for at, running in there if running == wanted), None)
    return Row(
        phase=phase,
        cases=cases,
        took=ended - began,
        wanted=wanted,
        reached=max(reached) if cases else size(state),
        after=first - made[0]["t"] if made and first is not None else None,
        made=made,
    )


def four_phases(provider: str, place: Path, state: Path) -> tuple[list[Row], list[str]]:
    """What each phase came to, and everything that should not have been."""
    names = ("low", "steady", "spike")
    cases = dict(zip(names, CASES[provider], strict=True))
    projects = {name: write_project(place / name / "p", suite(cases[name])) for name in names}
    arguments = fleet_arguments(provider, place, most=MOST, idle="3s")
    began = time.monotonic()
    type_or_end(
        *("up", *arguments, "--horizon", HORIZON[provider], "--state", str(state)), cwd=place
    )
    print(f"up after {time.monotonic() - began:.1f} s", flush=True)
    wait_until(
        lambda: decisions(state) and size(state) == 0,
        timeout=PATIENCE,
        what="the first worker to go unused",
    )
    lookout = Lookout(FleetFiles(state=state))
    rows: list[Row] = []
    with ThreadPoolExecutor() as pool:
        watching = pool.submit(lookout.watch)
        try:
            for name in names:
                start, before = time.time(), size(state)
                type_or_end("run", "--state", str(state), cwd=projects[name])
                rows.append(measured(name, cases[name], lookout, state, began=start, before=before))
                print(f"{name} took {rows[-1].took:.1f} s", flush=True)
            start = time.time()
            wait_until(lambda: size(state) == 0, timeout=PATIENCE, what="the fleet to be empty")
            rows.append(measured("cool-down", 0, lookout, state, began=start, before=0))
        finally:
            lookout.end()
            watching.result()
    return rows, faults(state, lookout, projects, cases)


def faults(
    state: Path, lookout: Lookout, projects: dict[str, Path], cases: dict[str, int]
) -> list[str]:
    made = decisions(state)
    found = [f"{name} was busy when it was told to leave" for name in lookout.drained_busy]
    found += [
        f"{each['id']} does not say why"
        for each in made
        if not each["reason"] or not each["inputs"]
    ]
    found += flaps(made, seconds=ScalingRules().stabilisation_seconds)
    for name, project in projects.items():
        ran = executions(project)
        if len(ran) != cases[name] or set(ran.values()) != {1}:
            found.append(f"of {cases[name]} cases of {name} {sum(ran.values())} executions")
    for summary in list_campaigns(state):
        record = read_campaign(summary.directory)
        outcomes = {str(each.outcome) for row in record.attempts.values() for each in row}
        if outcomes != {"passed"}:
            found.append(f"{summary.id} has attempts {sorted(outcomes)}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--provider", choices=PROVIDERS, default="local")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave all files there")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="proctor-bench-") as folder:
        place = (told.keep or Path(folder)).absolute()
        place.mkdir(parents=True, exist_ok=True)
        state = place / "state"
        try:
            rows, found = four_phases(told.provider, place, state)
            gaps = [later - earlier for earlier, later in pairwise(turns(decisions(state)))]
        finally:
            began = time.monotonic()
            down(state, now=False, deadline_seconds=30)
            print(f"down after {time.monotonic() - began:.1f} s\n", flush=True)
    print(f"| {told.provider} | cases | took | wanted | reached | after | decisions |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        after = "-" if row.after is None else f"{row.after:.1f} s"
        print(f"| {row.phase} | {row.cases or ''} | {row.took:.1f} s | {row.wanted} | {row.reached}"
              f" | {after} | {len(row.made)} |")  # fmt: skip
        found += [f"{row.phase} did not reach its size"] * (row.wanted != row.reached)
    print(f"\nturns apart: {', '.join(f'{gap:.1f} s' for gap in gaps) or 'at most one turn'}")
    for row in rows:
        for each in row.made:
            print(f"  {row.phase}: {each['from']} -> {each['to']}: {each['reason']}")
    print(
        "\n".join(found)
        or "nothing busy was told to leave, no flapping, all explained, all ran once"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
