"""What a trivial case costs: at the margin over plain pytest in one process, and 50,000 of them.

python tests/bench/overhead.py [--cases 50000]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import made_suites
from contestants import Ours, Proctor, Suite, run_pytest
from measured import Measurement, middle, wait_for_quiet

FEW, MANY = 5_000, 20_000
# Bar 4.
MOST_MILLISECONDS = 1.0
MOST_COORDINATOR_BYTES = 500_000_000


def marginal(root: Path, rounds: int) -> dict[str, float]:
    """Milliseconds a further trivial case costs, wall and CPU."""
    suites = {
        count: Suite(directory=made_suites.trivial(root / f"trivial-{count}", count))
        for count in (FEW, MANY)
    }
    states = {count: root / f"state-{count}" for count in suites}
    contestants: dict[str, Callable[[int], Measurement]] = {
        "plain": lambda count: run_pytest(suites[count]),
        "proctor cold": lambda count: _fresh(suites[count]).measurement,
        "proctor warm": lambda count: _run(suites[count], states[count]).measurement,
    }
    for count, suite in suites.items():
        _run(suite, states[count])
    taken: dict[tuple[str, int], list[Measurement]] = {}
    for _ in range(rounds):
        for name, run in contestants.items():
            for count in suites:
                wait_for_quiet()
                taken.setdefault((name, count), []).append(run(count))
    found: dict[str, float] = {}
    for name in contestants:
        for kind in ("wall", "cpu"):
            few, many = (
                middle([getattr(each, f"{kind}_seconds") for each in taken[name, count]])
                for count in (FEW, MANY)
            )
            found[f"{name} {kind} ms"] = 1000 * (many - few) / (MANY - FEW)
    for name in ("proctor cold", "proctor warm"):
        found[f"{name} over plain ms"] = found[f"{name} wall ms"] - found["plain wall ms"]
    return found


def large(root: Path, cases: int) -> dict[str, float]:
    """Very many trivial cases on two slots."""
    suite = Suite(directory=made_suites.trivial(root / "large", cases))
    wait_for_quiet()
    plain = run_pytest(suite)
    found: dict[str, float] = {"plain wall s": plain.wall_seconds}
    state = root / "state-large"
    for name in ("cold", "warm"):
        wait_for_quiet()
        ours = _run(suite, state, slots=2)
        found |= {
            f"proctor {name} wall s": ours.measurement.wall_seconds,
            f"proctor {name} cpu s": ours.measurement.cpu_seconds,
            f"coordinator {name} peak MB": ours.measurement.peak_bytes / 1e6,
            f"{name} passed": sum(told == "passed" for told in ours.outcomes.values()),
        }
    return found


def _run(suite: Suite, state: Path, slots: int = 1) -> Ours:
    return Proctor(slots=slots, state=state).run(suite)


def _fresh(suite: Suite) -> Ours:
    with tempfile.TemporaryDirectory() as state:
        return _run(suite, Path(state))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("-k", "--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("marginal", "large"))
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args(argv)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(
        prefix="proctor-overhead-", ignore_cleanup_errors=True
    ) as place:
        if told.only != "large":
            found |= marginal(Path(place), told.rounds)
        if told.only != "marginal":
            found |= large(Path(place), told.cases)
    if told.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:32}{value:12.3f}")
    holds = all(
        value <= MOST_MILLISECONDS
        for name, value in found.items()
        if name.endswith("over plain ms")
    ) and all(
        value * 1e6 <= MOST_COORDINATOR_BYTES
        for name, value in found.items()
        if name.endswith("peak MB")
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
