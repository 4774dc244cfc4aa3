"""Bar 3, from what chaos.py left: when work flowed again after each kill, by what was killed.

    python tests/bench/chaos.py --seeds 21-200 --results FILE --keep DIR
    python tests/bench/flow_again.py DIR/state

Work flows again with the first case that begins on a worker after the kill and passes. Before the
kill of a campaign's process its workers run on: there what is counted is until its successor wrote
the first result of its own. Other faults of a schedule may fall into that time, so the worst ones
are not the killed part's alone; none is left out. What the time is made of stands below: until a
successor opened the ledger (of a campaign's process), until workers were there, until the first
batch was sent.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from proctor.infra.faults.lease import FaultFiles

LIMIT_SECONDS = 10.0
STEPS = {("open", ""): "opened", ("worker", "joined"): "joined", ("batch", ""): "sent"}
PARTS = ("scheduler", "supervisor", "campaign", "worker", "runner")


class Kill(NamedTuple):
    """One process, or all of a kind, at a moment."""

    at: float
    part: str


class Again(NamedTuple):
    """Seconds from a kill until work flowed, and until each step on the way."""

    part: str
    seconds: float
    until: dict[str, float]


class Result(NamedTuple):
    """A case that passed."""

    epoch: int
    started: float
    written: float


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Those that were written to their ends."""
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def kills(state: Path) -> list[Kill]:
    """All that were done, in order."""
    found = [
        Kill(line["t"], line["target"].partition(":")[0])
        for path in FaultFiles(state=state).recorders.glob("*.jsonl")
        for line in lines(path)
        if line.get("event") == "injected" and line["fault"] in {"kill", "restart"}
    ]
    return sorted(found)


def flow(directory: Path, all_kills: Sequence[Kill]) -> Iterator[Again]:
    """Each kill in the middle of this campaign after which work flowed again."""
    results: list[Result] = []
    steps: list[tuple[float, int, str]] = []
    opened, closed = float("inf"), 0.0
    for path in sorted(directory.glob("ledger-*.jsonl")):
        epoch = int(path.stem.partition("-")[2])
        for line in lines(path):
            opened = min(opened, line["t"])
            if line["k"] == "close":
                closed = line["t"]
            if line["k"] == "attempt" and line["outcome"] == "passed":
                results.append(Result(epoch, line["started"], line["t"]))
            if step := STEPS.get((line["k"], line.get("event", ""))):
                steps.append((line["t"], epoch, step))
    results.sort(key=lambda each: each.written)
    steps.sort()
    for kill in all_kills:
        if not opened < kill.at < closed:
            continue
        before = max((each.epoch for each in results if each.written <= kill.at), default=1)
        later = [
            each.written
            for each in results
            if each.written > kill.at
            and (each.epoch > before if kill.part == "campaign" else each.started > kill.at)
        ]
        # None: everything had begun before, and the campaign ended with that.
        if later:
            until: dict[str, float] = {}
            for at, epoch, step in steps:
                if kill.at < at <= later[0] and (epoch > before or kill.part != "campaign"):
                    until.setdefault(step, at - kill.at)
            yield Again(kill.part, later[0] - kill.at, until)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("state", type=Path)
    told = parser.parse_args(argv)
    all_kills = kills(told.state)
    found: dict[str, list[Again]] = defaultdict(list)
    for directory in sorted((told.state / "campaigns").iterdir()):
        for again in flow(directory, all_kills):
            found[again.part].append(again)
    for part in PARTS:
        if not found[part]:
            continue
        print(json.dumps({"killed": part, **figures([each.seconds for each in found[part]])}))
        for step in STEPS.values():
            if until := [each.until[step] for each in found[part] if step in each.until]:
                print(json.dumps({"  until": step, **figures(until)}))
    return 0


def figures(seconds: Sequence[float]) -> dict[str, float]:
    """What is told of so many of them."""
    ordered = sorted(seconds)
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 2),
        "p90": round(ordered[int(0.9 * len(ordered))], 2),
        "max": round(ordered[-1], 2),
        "beyond 10 s": sum(each > LIMIT_SECONDS for each in ordered),
    }


if __name__ == "__main__":
    raise SystemExit(main())
