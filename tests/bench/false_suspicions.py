"""Bar 2: nobody is taken for dead or frozen though every core is busy; and how near it came.

    python tests/bench/false_suspicions.py [--minutes 10] [--times 6] [--workers 3]

A resident fleet runs a campaign of cases that last: a worker says no more of them than that it
lives, once a second. Meanwhile `times` as many processes as there are cores burn, at the same
priority. What is counted is real time: ten minutes are no hour. What stands for
the rest of an hour is the load, six times what the machine can do, and the distance: how long the
longest silence of a busy worker was, as the campaign hears it, against the one that is suspicious.
From the tail of these silences an estimate is made of how many an hour would bring, by an
exponential tail over the longest hundredth; it is an estimate and is called one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import orjson
import psutil
from detection import Ledger
from distributed import Client
from faulty_fleets import faulty_fleet
from real_campaigns import begin, write_project

from proctor.infra.engine import dask_settings
from proctor.infra.engine.patience import SILENCE_SECONDS
from proctor.infra.fleet.files import FleetFiles, read_record
from proctor.infra.fleet.roster import read_roster
from proctor.infra.runners.orders import topic_of

SUITE = """\
    import time
    import pytest

    @pytest.mark.parametrize("n", range(1000))
    def test_case(n):
        time.sleep(6 + n % 5)
    """
TELL_SECONDS = 30.0


class Ear:
    """Hears what workers say to a campaign, when the campaign hears it."""

    def __init__(self, address: str, campaign: str) -> None:
        dask_settings.apply()
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._gaps: list[float] = []
        self._client = Client(address, set_as_default=False)
        self._client.subscribe_topic(topic_of(campaign), self._heard)

    def _heard(self, event: tuple[float, Any]) -> None:
        now = time.monotonic()
        speakers = {message["w"] for message in orjson.loads(event[1])}
        with self._lock:
            for worker in speakers:
                if worker in self._last:
                    self._gaps.append(now - self._last[worker])
                self._last[worker] = now

    def gaps(self) -> list[float]:
        with self._lock:
            return sorted(self._gaps)

    def close(self) -> None:
        self._client.close(timeout=2)


def expected_in_an_hour(gaps: Sequence[float], *, limit: float, seconds: float) -> float:
    """How many silences beyond the limit an hour would have, by an exponential tail."""
    tail = gaps[int(0.99 * len(gaps)) :]
    if len(tail) < 2 or seconds <= 0:
        return math.nan
    threshold = tail[0]
    excess = sum(gap - threshold for gap in tail) / len(tail)
    if excess <= 0:
        return 0.0
    return len(tail) * 3600 / seconds * math.exp(-(limit - threshold) / excess)


def at(gaps: Sequence[float], share: float) -> float:
    return round(gaps[min(len(gaps) - 1, int(share * len(gaps)))], 3) if gaps else math.nan


def false_alarms(lines: Sequence[dict[str, Any]]) -> int:
    """Workers given up though nothing was done to them."""
    return sum(line["k"] == "worker" and line["event"] in {"suspected", "lost"} for line in lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=6, help="burning processes for each core")
    parser.add_argument("--workers", type=int, default=3)
    told = parser.parse_args(argv)
    burning = told.times * (os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="proctor-suspicions-") as place:
        root = Path(place)
        state = root / "state"
        folder = write_project(root / "p", {"test_long.py": SUITE, "test_longer.py": SUITE})
        with faulty_fleet(state, "--cpu", str(told.workers)) as fleet:
            fleet.await_workers(told.workers)
            run = begin(
                ["run", "--state", str(state), "--prefect", "off"], cwd=folder, log=root / "log"
            )
            try:
                ledger = Ledger(state)
                ledger.await_line(lambda line: line["k"] == "attempt", "the first result")
                (campaign,) = (path.name for path in (state / "campaigns").iterdir())
                record = read_record(FleetFiles(state=state).record)
                assert record is not None
                ear = Ear(record.address, campaign)
                fleet.inject("cpu", "host", seconds=told.minutes * 60 + 60, processes=burning)
                psutil.cpu_percent()
                ledger.read()
                before, began, due = len(ledger.lines), time.monotonic(), 0.0
                loads: list[float] = []
                while time.monotonic() - began < told.minutes * 60:
                    ledger.read()
                    if time.monotonic() > due:
                        due = time.monotonic() + TELL_SECONDS
                        loads.append(psutil.cpu_percent())
                    time.sleep(0.2)
                gaps, took = ear.gaps(), time.monotonic() - began
                seen = len(read_roster(fleet.files.roster).workers)
                ear.close()
            finally:
                run.kill()
                run.wait()
            alarms = false_alarms(ledger.lines[before:])
            figures = {
                "false suspicions": alarms,
                "minutes": round(took / 60, 2),
                "burning": burning,
                "cores": os.cpu_count(),
                "cpu percent": round(sum(loads[1:]) / max(1, len(loads) - 1), 1),
                "workers at the end": seen,
                "results": sum(line["k"] == "attempt" for line in ledger.lines[before:]),
                "silences": len(gaps),
                "p50": at(gaps, 0.5),
                "p99": at(gaps, 0.99),
                "p99.9": at(gaps, 0.999),
                "longest": at(gaps, 1.0),
                "suspicious after": SILENCE_SECONDS,
                "estimate for an hour": float(
                    f"{expected_in_an_hour(gaps, limit=SILENCE_SECONDS, seconds=took):.2g}"
                ),
            }
            print(json.dumps(figures), flush=True)
    return 1 if alarms or seen != told.workers else 0


if __name__ == "__main__":
    raise SystemExit(main())
