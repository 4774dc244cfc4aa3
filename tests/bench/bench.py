"""Proctor beside plain pytest and pytest-xdist: `make bench`.

Without arguments on suites it makes itself; with `--suite DIR` (more than once) on real ones.

    python tests/bench/bench.py
    python tests/bench/bench.py --suite DIR --python VENV/bin/python -- tests -m "not slow"
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import made_suites
from contestants import Suite
from measured import middle
from rich.console import Console
from rich.table import Table
from speed import COLD, FLEET, WARM, Speed, measure

MADE = {
    "many short cases": made_suites.short,
    "a few long cases": made_suites.skewed,
    "expensive fixtures": made_suites.warm,
}


def table(speeds: Sequence[Speed]) -> Table:
    """One row a suite; everything but the first columns is relative to the best of xdist."""
    shown = Table(title=f"{speeds[0].slots} slots, whole command against whole command")
    for name in ("suite", "plain", "best xdist", "cold", "warm", "fleet up", "bound"):
        shown.add_column(name, justify="left" if name == "suite" else "right")
    shown.add_column("gap closed", justify="right")
    shown.add_column("first case", justify="right")
    shown.add_column("makespan/bound", justify="right")
    for speed in speeds:
        best, mode = speed.best_xdist
        shown.add_row(
            speed.suite,
            f"{middle(speed.wall['plain']):.1f} s",
            f"{best:.1f} s ({mode})",
            *(f"{middle(speed.wall[name]):.1f} s" for name in (COLD, WARM, FLEET)),
            f"{speed.bound:.1f} s",
            f"{speed.gap_closed(WARM):.0%}",
            f"{middle(speed.first_case[COLD]):.1f} / {middle(speed.first_case[FLEET]):.1f} s",
            f"{middle(speed.ratio[COLD]):.2f} / {middle(speed.ratio[WARM]):.2f}",
        )
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", type=Path, action="append", default=[])
    parser.add_argument("--python", default=sys.executable, help="interpreter with the suites")
    parser.add_argument("-n", dest="slots", type=int, default=2)
    parser.add_argument("-k", "--rounds", type=int, default=1)
    parser.add_argument("--quiet", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("pytest_arguments", nargs="*")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="proctor-bench-", ignore_cleanup_errors=True) as place:
        root = Path(place)
        suites = [
            Suite(
                directory=directory.resolve(),
                python=told.python,
                arguments=tuple(told.pytest_arguments),
            )
            for directory in told.suite
        ] or [
            Suite(name=name, directory=make(root / f"suite-{number}"))
            for number, (name, make) in enumerate(MADE.items())
        ]
        speeds: list[Speed] = []
        for number, suite in enumerate(suites):
            print(f"measuring {suite.title} ...", file=sys.stderr)
            state = root / f"state-{number}"
            state.mkdir()
            speeds.append(
                measure(suite, slots=told.slots, rounds=told.rounds, state=state, quiet=told.quiet)
            )
    if told.json:
        print(json.dumps([asdict(speed) for speed in speeds], indent=1))
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(table(speeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
