"""Whole command against whole command, in turns: pytest, pytest-xdist in its modes, Proctor.

    python tests/bench/speed.py --python VENV/bin/python DIR [pytest arguments]

`cold` is Proctor with a fresh state directory, `warm` has the inventory and the history of the
cold runs. Each round runs every contestant once, so that a disturbance hits all of them.

The environment counts for all contestants alike. With PYTHONDONTWRITEBYTECODE set (as container
images do) Proctor keeps compiled files and the others cannot; PYTHONHASHSEED=0 takes out what
suites such as sympy's owe to chance (one of its tests takes 18 to 27 s by seed and order).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from contestants import XDIST_MODES, Ours, Proctor, Suite, run_plain, run_pytest
from measured import Measurement, middle, wait_for_quiet

from proctor.infra.fleet.local_fleet import LocalFleet, WorkerClass

COLD = "proctor cold"
WARM = "proctor warm"
FLEET = "proctor warm, fleet up"


@dataclass(slots=True, kw_only=True)
class Speed:
    """What one suite took under each contestant."""

    suite: str
    slots: int
    # Total case time over slots, or the longest case, from plain pytest's own durations.
    bound: float
    wall: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    cpu: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    disturbed: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    exit_codes: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    # From Enter, of Proctor's runs; and the makespan over the bound that it tells.
    first_case: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    ratio: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, name: str, measured: Measurement) -> None:
        self.wall.setdefault(name, []).append(measured.wall_seconds)
        self.cpu.setdefault(name, []).append(measured.cpu_seconds)
        self.disturbed.setdefault(name, []).append(measured.disturbed)
        self.exit_codes.setdefault(name, []).append(measured.exit_code)

    def add_ours(self, name: str, ours: Ours) -> None:
        self.add(name, ours.measurement)
        self.first_case.setdefault(name, []).append(ours.first_case_seconds)
        self.ratio.setdefault(name, []).append(ours.ratio)

    @property
    def best_xdist(self) -> tuple[float, str]:
        return min((middle(self.wall[name]), name) for name in XDIST_MODES)

    def gap_closed(self, name: str) -> float:
        """Of the time between the best of pytest-xdist and the bound."""
        best = self.best_xdist[0]
        return (best - middle(self.wall[name])) / (best - self.bound)


def measure(suite: Suite, *, slots: int, rounds: int, state: Path, quiet: float) -> Speed:
    """Take turns for some rounds."""
    plain = run_plain(suite)
    speed = Speed(suite=suite.title, slots=slots, bound=plain.bound(slots))
    history = state / "warm"
    for number in range(rounds):
        wait_for_quiet(quiet)
        speed.add("plain", run_pytest(suite))
        for mode in XDIST_MODES:
            wait_for_quiet(quiet)
            speed.add(mode, run_pytest(suite, "-n", str(slots), "--dist", mode))
        wait_for_quiet(quiet)
        fresh = state / f"cold-{number}"
        speed.add_ours(COLD, Proctor(slots=slots, state=fresh).run(suite))
        if number == 0:
            # What follows has a history: that of a cold run, and then its own.
            shutil.copytree(fresh, history, symlinks=True)
        wait_for_quiet(quiet)
        speed.add_ours(WARM, Proctor(slots=slots, state=history).run(suite))
        workers = [WorkerClass(name="cpu", slots=slots).facts(1)]
        with LocalFleet(workers=workers, scratch=state / "scratch") as fleet:
            address = fleet.address()
            wait_for_quiet(quiet)
            proctor = Proctor(slots=slots, state=history, fleet=address)
            speed.add_ours(FLEET, proctor.run(suite))
    return speed


def show(speed: Speed) -> None:
    best, mode = speed.best_xdist
    print(f"{speed.suite}: bound {speed.bound:.1f} s, best of xdist {best:.1f} s ({mode})")
    print(
        f"  {'':24}{'wall':>8}{'cpu':>8}{'gap':>7}{'first':>7}{'ratio':>7}{'other':>7}  exit  all"
    )
    for name, walls in speed.wall.items():
        gap = f"{speed.gap_closed(name):.0%}"
        first = f"{middle(speed.first_case[name]):.1f}" if name in speed.first_case else ""
        ratio = f"{middle(speed.ratio[name]):.3f}" if name in speed.ratio else ""
        print(
            f"  {name:24}{middle(walls):8.2f}{middle(speed.cpu[name]):8.1f}{gap:>7}{first:>7}"
            f"{ratio:>7}{max(speed.disturbed[name]):7.0%}  {set(speed.exit_codes[name])}"
            f"  {' '.join(f'{wall:.1f}' for wall in walls)}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--python", default=sys.executable, help="interpreter with the suite")
    parser.add_argument("-n", dest="slots", type=int, default=2)
    parser.add_argument("-k", "--rounds", type=int, default=3)
    parser.add_argument(
        "--quiet", type=float, default=20, help="seconds to wait for a quiet machine"
    )
    parser.add_argument("--json", action="store_true")
    told, rest = parser.parse_known_args(argv)
    suite = Suite(directory=told.directory.resolve(), python=told.python, arguments=tuple(rest))
    with tempfile.TemporaryDirectory(prefix="proctor-speed-", ignore_cleanup_errors=True) as place:
        speed = measure(
            suite, slots=told.slots, rounds=told.rounds, state=Path(place), quiet=told.quiet
        )
    if told.json:
        print(json.dumps(asdict(speed), indent=1))
    else:
        show(speed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
