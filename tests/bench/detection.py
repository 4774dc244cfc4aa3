"""Bars 2 and 3: how soon a dead or a frozen worker is noticed, and when its work goes on elsewhere.

    python tests/bench/detection.py [--kills 30] [--freezes 8] [--schedulers 5] [--busy 60]

A resident fleet runs a campaign of short cases; faults hit it, and its ledger says when what was
noticed. `--busy` keeps all cores busy for so many seconds and counts workers that were suspected
though nothing was done to them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from faulty_fleets import FaultyFleet, faulty_fleet
from real_campaigns import begin, write_project

from proctor.infra.faults.lease import FaultLease
from proctor.infra.ledgers.journal import JournalFollower

WORKERS = 3
PATIENCE_SECONDS = 60.0
CASE_SECONDS = 0.2


class Ledger:
    """The lines of the campaign that runs now, as they are written."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._followers: dict[Path, JournalFollower] = {}
        self.lines: list[dict[str, Any]] = []

    def await_line(self, is_it: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The first line from now on, or already read, that is it."""
        seen = 0
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.read()
            for line in self.lines[seen:]:
                if is_it(line):
                    return line
            seen = len(self.lines)
            if time.monotonic() > deadline:
                raise SystemExit(f"waited in vain for {what}")
            time.sleep(0.005)

    def held(self, worker: str, *, since: float) -> set[int]:
        """The cases that ran on it when it was lost."""
        self.read()
        index = {line["id"]: line["index"] for line in self.lines if line["k"] == "case"}
        return {
            index[line["case"]]
            for line in self.lines
            if line["k"] == "attempt"
            and line["t"] >= since
            and line["outcome"] == "infra-lost"
            and line["worker"] == worker
        }

    def await_work(self, workers: int) -> None:
        """Until so many workers run cases: none collects, and no session is only starting."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.read()
            working: set[str] = set()
            for line in self.lines:
                if line["k"] == "worker":
                    working.discard(line["worker"])
                elif line["k"] == "attempt" and line["outcome"] == "passed":
                    working.add(line["worker"])
            if len(working) >= workers:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"waited in vain for {workers} workers at work")
            time.sleep(0.02)

    def read(self) -> None:
        for path in sorted(self._state.glob("campaigns/*/ledger-*.jsonl")):
            follower = self._followers.setdefault(path, JournalFollower(path))
            self.lines += follower.poll()


def project(folder: Path, cases: int) -> Path:
    """A long campaign of short cases."""
    text = f"""\
        import time
        import pytest

        @pytest.mark.parametrize("n", range({cases // 10}))
        def test_case(n):
            time.sleep({CASE_SECONDS})
        """
    return write_project(folder, {f"test_{number}.py": text for number in range(10)})


def notice(
    fleet: FaultyFleet,
    ledger: Ledger,
    kind: str,
    *,
    event: str,
    seconds: float,
    trace: bool = False,
) -> tuple[float, float]:
    """Do it to a busy worker: seconds until it was noticed, and until its batch ran elsewhere."""
    fleet.await_workers(WORKERS)
    ledger.await_work(WORKERS)
    before = len(ledger.lines)
    lease = fleet.inject(kind, "worker:busy", seconds=seconds, seed=before)
    worker = lease.target.partition(":")[2]
    acted = _acted(lease)
    found = ledger.await_line(
        lambda line: line["k"] == "worker" and line["event"] == event and line["t"] >= acted
        and line["worker"] == worker, f"{event} of {worker}",
    )  # fmt: skip
    # The loss and what it cost are committed together, or within a commit of each other.
    time.sleep(0.5)
    held = ledger.held(worker, since=acted)
    again = found["t"]
    if held:
        again = ledger.await_line(
            lambda line: line["k"] == "batch" and line["t"] >= found["t"]
            and bool(held & set(line["cases"])), "its batch elsewhere",
        )["t"]  # fmt: skip
    fleet.undo(lease)
    if trace:
        print(_trace(ledger.lines[before:], held, found["t"]), flush=True)
    return found["t"] - acted, again - found["t"]


def _trace(lines: Sequence[dict[str, Any]], held: set[int], lost: float) -> str:
    """What the ledger says from the loss until the lost cases were sent again."""
    told: list[str] = []
    for line in lines:
        what = ""
        if line["k"] == "worker":
            what = f"{line['event']} {line['worker']}"
        elif line["k"] == "batch":
            mine = "AGAIN " if held & set(line["cases"]) else ""
            what = f"{mine}{line['batch']} x{len(line['cases'])} to {line['worker']}"
        elif line["k"] == "attempt":
            what = f"{line['outcome']} on {line['worker']} of {line['batch']}"
        elif line["k"] == "note":
            what = line["text"]
        if what and line["t"] >= lost - 0.5:
            told.append(f"{line['t'] - lost:+.3f} {what}")
        if what.startswith("AGAIN"):
            break
    return "; ".join(told)


def _acted(lease: FaultLease) -> float:
    """Lease, reaper and act take some milliseconds; the lease was granted first."""
    return lease.begins


def scheduler_loss(fleet: FaultyFleet, ledger: Ledger) -> float:
    """Seconds from its death to the next result."""
    fleet.await_workers(WORKERS)
    lease = fleet.inject("kill", "scheduler")
    died = lease.begins
    ledger.await_line(
        lambda line: line["k"] == "worker" and line["event"] == "lost" and line["t"] >= died,
        "the loss of workers",
    )
    joined = ledger.await_line(
        lambda line: line["k"] == "worker" and line["event"] == "joined" and line["t"] >= died,
        "workers that join",
    )
    done = ledger.await_line(
        lambda line: (
            line["k"] == "attempt" and line["t"] >= joined["t"] and line["outcome"] == "passed"
        ),
        "work that flows again",
    )
    return done["t"] - died


def false_suspicions(fleet: FaultyFleet, ledger: Ledger, seconds: float) -> int:
    """Workers taken for lost while every core is busy and nothing is done to them."""
    fleet.await_workers(WORKERS)
    ledger.read()
    before = len(ledger.lines)
    lease = fleet.inject("cpu", "host", seconds=seconds + 30, processes=4)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ledger.read()
        time.sleep(0.1)
    fleet.undo(lease)
    return sum(
        line["k"] == "worker" and line["event"] in {"suspected", "lost"}
        for line in ledger.lines[before:]
    )


def figures(name: str, values: Sequence[float], limit: float) -> dict[str, object]:
    """Median, worst, and whether the worst is within the limit."""
    if not values:
        return {}
    ordered = sorted(values)
    at = min(len(ordered) - 1, round(0.99 * len(ordered)))
    told = {
        "what": name,
        "n": len(values),
        "p50": round(statistics.median(values), 3),
        "p99": round(ordered[at], 3),
        "max": round(ordered[-1], 3),
        "limit": limit,
        "holds": ordered[at] <= limit,
    }
    print(json.dumps(told), flush=True)
    return told


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--freezes", type=int, default=8)
    parser.add_argument("--schedulers", type=int, default=5)
    parser.add_argument("--busy", type=float, default=60.0)
    parser.add_argument("--burn", type=int, default=0, help="processes that burn meanwhile")
    parser.add_argument("--trace", action="store_true", help="tell what happened in between")
    told = parser.parse_args(argv)
    results: list[dict[str, object]] = []
    suspected = 0
    with tempfile.TemporaryDirectory(prefix="proctor-detection-") as place:
        root = Path(place)
        state = root / "state"
        # Some minutes of work for three slots; it is cancelled at the end.
        folder = project(root / "p", 20_000)
        with faulty_fleet(state, "--cpu", str(WORKERS)) as fleet:
            fleet.await_workers(WORKERS)
            run = begin(
                ["run", "--state", str(state), "--prefect", "off"], cwd=folder, log=root / "log"
            )
            try:
                ledger = Ledger(state)
                ledger.await_line(lambda line: line["k"] == "attempt", "the first result")
                if told.burn:
                    fleet.inject("cpu", "host", seconds=1800, processes=told.burn)
                dead = [
                    notice(fleet, ledger, "kill", event="lost", seconds=5, trace=told.trace)
                    for _ in range(told.kills)
                ]
                results.append(figures("dead worker noticed", [each for each, _ in dead], 3.0))
                results.append(figures("its batch elsewhere", [each for _, each in dead], 1.0))
                frozen = [
                    notice(fleet, ledger, "freeze", event="suspected", seconds=40)
                    for _ in range(told.freezes)
                ]
                results.append(figures("frozen worker noticed", [each for each, _ in frozen], 10.0))
                results.append(figures("its batch elsewhere", [each for _, each in frozen], 1.0))
                flows = [scheduler_loss(fleet, ledger) for _ in range(told.schedulers)]
                results.append(figures("work after a scheduler's death", flows, 10.0))
                if told.busy:
                    suspected = false_suspicions(fleet, ledger, told.busy)
                    print(
                        json.dumps({"false suspicions": suspected, "busy_seconds": told.busy}),
                        flush=True,
                    )
            finally:
                run.kill()
                run.wait()
    return 1 if suspected or not all(each.get("holds", True) for each in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
