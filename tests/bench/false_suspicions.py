"""Bar 2: nobody is taken for dead or frozen though every core is busy; and how near it came.

    python tests/bench/false_suspicions.py [--minutes 10] [--times 6] [--workers 3]

A resident fleet runs a campaign of cases that last: a worker says no more of them than that it
lives, once a second. Meanwhile `times` as many processes as there are cores burn, at the same
priority. What is counted is real time: ten minutes are no hour. What stands for
the rest of an hour is the load, six times what the machine can do, and the distance: how long the
longest silence of a busy worker was against the one that is suspicious, as another client of the
scheduler hears it, and as the campaign's own process counts it: there its `Patience` is looked at
from within, with what it excuses because the campaign was itself away. From the tail of these silences an estimate is made of how many an hour would bring, by an
exponential tail over the longest hundredth; it is an estimate and is called one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).parents[1]))

import orjson
import psutil
from detection import Ledger
from distributed import Client
from faulty_fleets import faulty_fleet
from real_campaigns import environment, write_project

from proctor.deployments import cli
from proctor.infra.engine import dask_settings, waits
from proctor.infra.engine.patience import SILENCE_SECONDS, Patience
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
AS_CAMPAIGN = "--as-campaign"


class WatchedPatience(Patience):
    """The campaign's own, in its own process, that writes down what it counts."""

    gaps: ClassVar[list[float]] = []
    longest: ClassVar[dict[str, float]] = {"silence": 0.0, "away": 0.0}
    file: ClassVar[Path]
    _told = 0.0

    def take_turn(self, now: float) -> None:
        if self._turn:
            self._note("away", now - self._turn)
        super().take_turn(now)

    def spoke(self, worker: str, now: float) -> None:
        if worker in self._last_word:
            self.gaps.append(now - self._last_word[worker])
        super().spoke(worker, now)

    def silent(self, busy: Iterable[str], now: float) -> list[tuple[str, float]]:
        names = list(busy)
        found = super().silent(names, now)
        for name in names:
            self._note("silence", now - self._last_word[name])
        if now > self._told + 2.0:
            self._told = now
            told = {"gaps": self.gaps, **self.longest}
            fresh = self.file.with_suffix(".new")
            fresh.write_text(json.dumps(told))
            fresh.replace(self.file)
        return found

    def _note(self, what: str, seconds: float) -> None:
        self.longest[what] = max(self.longest[what], seconds)


def watched_campaign(arguments: Sequence[str]) -> int:
    """`proctor` in this process, its suspicion watched: FILE ARGUMENTS."""
    WatchedPatience.file = Path(arguments[0])
    waits.Patience = WatchedPatience
    return cli.main(list(arguments[1:]))


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
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == [AS_CAMPAIGN]:
        return watched_campaign(given[1:])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=6, help="burning processes for each core")
    parser.add_argument("--workers", type=int, default=3)
    told = parser.parse_args(given)
    burning = told.times * (os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="proctor-suspicions-") as place:
        root = Path(place)
        state = root / "state"
        folder = write_project(root / "p", {"test_long.py": SUITE, "test_longer.py": SUITE})
        with faulty_fleet(state, "--cpu", str(told.workers)) as fleet:
            fleet.await_workers(told.workers)
            inside = root / "inside.json"
            with (root / "log").open("wb") as log:
                run = subprocess.Popen(
                    [
                        *(sys.executable, __file__, AS_CAMPAIGN, str(inside)),
                        *("run", "--state", str(state), "--prefect", "off"),
                    ],
                    cwd=folder,
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            try:
                ledger = Ledger(state)
                ledger.await_line(lambda line: line["k"] == "attempt", "the first result")
                (name,) = (path.name for path in (state / "campaigns").iterdir())
                record = read_record(FleetFiles(state=state).record)
                assert record is not None
                ear = Ear(record.address, name)
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
                heard = json.loads(inside.read_text())
                seen = len(read_roster(fleet.files.roster).workers)
                ear.close()
            finally:
                run.kill()
                run.wait()
            alarms = false_alarms(ledger.lines[before:])
            figures = {
                "false suspicions": alarms,
                "minutes": round(took / 60, 2),
                "worker minutes": round(told.workers * took / 60, 1),
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
                "inside: words": len(heard["gaps"]),
                "inside: p50": at(sorted(heard["gaps"]), 0.5),
                "inside: p99": at(sorted(heard["gaps"]), 0.99),
                "inside: longest between words": at(sorted(heard["gaps"]), 1.0),
                "inside: longest silence counted": round(heard["silence"], 3),
                "inside: longest turn of its loop": round(heard["away"], 3),
                "suspicious after": SILENCE_SECONDS,
                "estimate for an hour": float(
                    f"{expected_in_an_hour(gaps, limit=SILENCE_SECONDS, seconds=took):.2g}"
                ),
            }
            print(json.dumps(figures), flush=True)
    return 1 if alarms or seen != told.workers else 0


if __name__ == "__main__":
    raise SystemExit(main())
