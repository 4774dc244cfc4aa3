"""Bars 2 and 3: how soon a dead or a frozen worker is noticed, and when its work goes on elsewhere.

    python tests/bench/detection.py [--kills 30] [--freezes 8] [--schedulers 5] [--busy 60]
                                    [--burn 4] [--restless] [--results FILE] [--minutes 8]

A resident fleet runs a campaign of short cases; faults hit it, and its ledger says when what was
noticed. `--busy` keeps all cores busy for so many seconds and counts workers that were suspected
though nothing was done to them. What a worker ran when it was lost is counted from the notice on:
until it was sent again, and until it ran again. Where at that moment no other worker had finished
a case since it joined, so that every session was only starting, nobody could have begun sooner than
that start: those stand in a row of their own. `--restless` makes them: it hits again as soon
as somebody works, without waiting for the others. With `--results` a run is one part of many: what
was measured is kept there, and the table is that of all parts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
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
COMMIT_SECONDS = 0.5


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

    def held(self, worker: str, *, since: float) -> dict[int, str]:
        """The cases that ran on it when it was lost."""
        self.read()
        index = {line["id"]: line["index"] for line in self.lines if line["k"] == "case"}
        return {
            index[line["case"]]: line["case"]
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
            if len(self.at_work()) >= workers:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"waited in vain for {workers} workers at work")
            time.sleep(0.02)

    def at_work(self, *, until: float = float("inf")) -> set[str]:
        """The workers that had finished a case by then, and were not lost since."""
        there: set[str] = set()
        working: set[str] = set()
        for line in self.lines:
            if line["t"] > until:
                break
            if line["k"] == "worker":
                working.discard(line["worker"])
                (there.add if line["event"] == "joined" else there.discard)(line["worker"])
            elif line["k"] == "attempt" and line["outcome"] == "passed":
                working.add(line["worker"])
        # A frozen one that goes on says what it ran before it joins again.
        return working & there

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """One worker's loss: seconds to the notice, and from it until its work went on."""

    kind: str
    noticed: float
    # Nothing where it ran nothing when it was lost.
    sent: float | None = None
    ran: float | None = None
    # How many other workers had finished a case since they joined.
    ready: int = 0


def notice(
    fleet: FaultyFleet,
    ledger: Ledger,
    kind: str,
    *,
    event: str,
    seconds: float,
    trace: bool = False,
    at_work: int = WORKERS,
) -> Noticed:
    """Do it to a busy worker: how soon it was noticed, and its work ran elsewhere."""
    fleet.await_workers(at_work)
    ledger.await_work(at_work)
    before = len(ledger.lines)
    lease = fleet.inject(kind, "worker:busy", seconds=seconds, seed=before)
    worker = lease.target.partition(":")[2]
    acted = _acted(lease)
    found = ledger.await_line(
        lambda line: line["k"] == "worker" and line["event"] == event and line["t"] >= acted
        and line["worker"] == worker, f"{event} of {worker}",
    )  # fmt: skip
    # The loss and what it cost are committed together, or within a commit of each other: once the
    # ledger tells of later things, all of it is there.
    ledger.await_line(
        lambda line: line["t"] >= found["t"] + COMMIT_SECONDS, f"what follows {event} of {worker}"
    )
    held = ledger.held(worker, since=acted)
    ready = ledger.at_work(until=found["t"]) - {worker}
    sent = ran = None
    if held:
        sent = ledger.await_line(
            lambda line: line["k"] == "batch" and line["t"] >= found["t"]
            and bool(held.keys() & set(line["cases"])), "its batch elsewhere",
        )["t"] - found["t"]  # fmt: skip
        ran = ledger.await_line(
            lambda line: line["k"] == "attempt" and line["t"] >= found["t"]
            and line["outcome"] == "passed" and line["case"] in held.values(), "its case elsewhere",
        )["started"] - found["t"]  # fmt: skip
    fleet.undo(lease)
    if trace:
        print(_trace(ledger.lines[before:], set(held), found["t"]), flush=True)
    return Noticed(kind=kind, noticed=found["t"] - acted, sent=sent, ran=ran, ready=len(ready))


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


def figures(name: str, values: Sequence[float], limit: float | None) -> bool:
    """Print median and worst; whether the worst hundredth is within the limit."""
    if not values:
        return True
    ordered = sorted(values)
    at = min(len(ordered) - 1, round(0.99 * len(ordered)))
    holds = limit is None or ordered[at] <= limit
    told = {
        "what": name,
        "n": len(values),
        "p50": round(statistics.median(values), 3),
        "p99": round(ordered[at], 3),
        "max": round(ordered[-1], 3),
        "limit": limit,
        "holds": holds,
    }
    print(json.dumps(told), flush=True)
    return holds


def table(all_noticed: Sequence[Noticed]) -> bool:
    """All rows of what was noticed; whether every limit holds."""
    holds = True
    for kind, word, limit in (("kill", "dead", 3.0), ("freeze", "frozen", 10.0)):
        mine = [each for each in all_noticed if each.kind == kind]
        holds &= figures(f"{word} worker noticed", [each.noticed for each in mine], limit)
        for row, within, some in (
            ("", 1.0, [each for each in mine if each.ready]),
            (", though all others only started", None, [each for each in mine if not each.ready]),
        ):
            sent = [each.sent for each in some if each.sent is not None]
            ran = [each.ran for each in some if each.ran is not None]
            holds &= figures(f"{word}: its work sent again{row}", sent, within)
            holds &= figures(f"{word}: its work runs again{row}", ran, within)
        print(f"{sum(each.sent is None for each in mine)} of {len(mine)} ran nothing just then")
    return holds


def kept(results: Path | None) -> list[Noticed]:
    """What earlier parts measured."""
    if results is None or not results.exists():
        return []
    return [Noticed(**json.loads(line)) for line in results.read_text().splitlines()]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--freezes", type=int, default=8)
    parser.add_argument("--schedulers", type=int, default=5)
    parser.add_argument("--busy", type=float, default=60.0)
    parser.add_argument("--burn", type=int, default=0, help="processes that burn meanwhile")
    parser.add_argument("--trace", action="store_true", help="tell what happened in between")
    parser.add_argument("--restless", action="store_true", help="hit again while others start")
    parser.add_argument("--results", type=Path, help="what was noticed, kept from part to part")
    parser.add_argument("--minutes", type=float, default=60.0, help="of noticing, in this part")
    told = parser.parse_args(argv)
    holds, suspected = True, 0
    before = kept(told.results)
    wanted = [("kill", "lost", 5.0)] * told.kills + [("freeze", "suspected", 40.0)] * told.freezes
    for done in before:
        one = next((one for one in wanted if one[0] == done.kind), None)
        if one is not None:
            wanted.remove(one)
    measured = list(before)
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
                ends = time.monotonic() + told.minutes * 60
                for kind, event, seconds in wanted:
                    if time.monotonic() > ends:
                        break
                    measured.append(
                        notice(
                            fleet, ledger, kind, event=event, seconds=seconds, trace=told.trace,
                            at_work=1 if told.restless else WORKERS,
                        )
                    )  # fmt: skip
                    if told.results:
                        with told.results.open("a") as file:
                            file.write(json.dumps(asdict(measured[-1])) + "\n")
                holds = table(measured)
                flows = [scheduler_loss(fleet, ledger) for _ in range(told.schedulers)]
                holds &= figures("work after a scheduler's death", flows, 10.0)
                if told.busy:
                    suspected = false_suspicions(fleet, ledger, told.busy)
                    print(
                        json.dumps({"false suspicions": suspected, "busy_seconds": told.busy}),
                        flush=True,
                    )
            finally:
                run.kill()
                run.wait()
    return 1 if suspected or not holds else 0


if __name__ == "__main__":
    raise SystemExit(main())
