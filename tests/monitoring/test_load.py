"""One forecast of the fleet's work: reports show what the scaling is handed."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from proctor.flows import scale
from proctor.infra.fleet.files import FleetFiles, Wanted
from proctor.infra.ledgers.campaigns import campaigns_directory
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.records import Attempt, Case, Outcome, Usage, WorkerFacts
from proctor.infra.scaling.forecast import expected_workers
from proctor.infra.worker_classes import WorkerClass
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
from proctor.monitoring.trends.analyzer import analyze
from proctor.monitoring.trends.load import HOUR_SECONDS, expected_hours


def write_work(state: Path, *, now: float, hours: int, project: str = "p") -> None:
    """Until now, each hour 600 s of work on class cpu, and 60 s on gpu at noon."""
    this = int(now // HOUR_SECONDS)
    work = [
        (hour, {"cpu": 600.0} | ({"gpu": 60.0} if hour % 24 == 12 else {}))
        for hour in range(this - hours, this + 1)
    ]
    _write(state, work, project=project)


def write_bursts(state: Path, *, hours: Sequence[int]) -> None:
    """Ten worker-hours on class cpu in each of these hours, and nothing in the others."""
    _write(state, [(hour, {"cpu": 10 * HOUR_SECONDS}) for hour in hours], project="p")


def _write(state: Path, work: Sequence[tuple[int, Mapping[str, float]]], *, project: str) -> None:
    """Seconds of work by hour and class, in one campaign."""
    clock = [work[0][0] * HOUR_SECONDS]
    ledger = Ledger.open(
        campaigns_directory(state) / project, campaign=project, project=project,
        clock=lambda: clock[0], ttl=1e12,
    )  # fmt: skip
    with ledger:
        ledger.case(Case(id="t", group="t", index=0))
        for name in ("cpu", "gpu"):
            facts = WorkerFacts(
                name=name, incarnation="i", worker_class=name, slots=1, cpu=1, memory_bytes=1
            )
            ledger.worker(facts, event="joined")
        for hour, by_class in work:
            began = clock[0] = hour * HOUR_SECONDS
            for name, seconds in by_class.items():
                ledger.attempt(
                    Attempt(
                        case="t", id=f"{name}-{hour}", outcome=Outcome.PASSED, started=began,
                        finished=began + seconds, usage=Usage(wall_seconds=seconds), worker=name,
                        incarnation="i",
                    )
                )  # fmt: skip
        ledger.write("close", state="completed", exit_code=0)


def store_of(state: Path) -> Store:
    store = Store(state)
    ingest(store)
    return store


def test_each_class_has_its_own_rhythm(tmp_path):
    """A steady one, and one that works at noon only."""
    now = 1.7e9
    write_work(tmp_path, now=now, hours=24 * 10)
    told = expected_hours(store_of(tmp_path), now=now, hours=24)
    assert [each.value for each in told["cpu"]] == [pytest.approx(600)] * 24
    hour = int(now // HOUR_SECONDS)
    by_hour = {(hour + ahead) % 24: each.value for ahead, each in enumerate(told["gpu"])}
    assert max(by_hour, key=by_hour.__getitem__) == 12
    assert by_hour[12] > 30


def test_less_than_a_day_says_nothing(tmp_path):
    """And neither does a store that is not there."""
    write_work(tmp_path, now=1.7e9, hours=20)
    assert expected_hours(Store(tmp_path), now=1.7e9, hours=3) == {}
    assert expected_hours(store_of(tmp_path), now=1.7e9, hours=3) == {}


def test_the_scaling_is_handed_what_the_report_shows_at_least(tmp_path):
    """Hour by hour, and of all projects, for they share the fleet."""
    now = time.time()
    write_work(tmp_path, now=now, hours=72)
    write_work(tmp_path, now=now, hours=60, project="another")
    files = FleetFiles(state=tmp_path)
    files.directory.mkdir(parents=True)
    shown = analyze(store_of(tmp_path), project="p", clock=lambda: now).load["cpu"]
    scale.hand_over_forecast(
        files, Wanted(classes={"cpu": WorkerClass(name="cpu", slots=2)}, auto=True), now=now
    )
    busy = expected_workers(files.forecast, now=now)
    for ahead in range(3):
        assert busy("cpu", ahead * HOUR_SECONDS) == pytest.approx(shown[ahead].low / 3600 / 2)
    assert shown[1].low > 1000


def test_nobody_is_started_for_bursts_that_may_come(tmp_path):
    """On the mean there is work in every hour; most hours have none."""
    now = time.time()
    this = int(now // HOUR_SECONDS)
    # Days of their own: which hours have work is no rhythm.
    busy = sorted(random.Random(1).sample(range(1, 24 * 14), 60))
    write_bursts(tmp_path, hours=[this - ahead for ahead in reversed(busy)])
    files = FleetFiles(state=tmp_path)
    files.directory.mkdir(parents=True)
    shown = analyze(store_of(tmp_path), project="p", clock=lambda: now).load["cpu"]
    assert max(each.value for each in shown) > HOUR_SECONDS
    scale.hand_over_forecast(
        files, Wanted(classes={"cpu": WorkerClass(name="cpu", slots=1)}, auto=True), now=now
    )
    expected = expected_workers(files.forecast, now=now)
    assert max(expected("cpu", ahead * HOUR_SECONDS) for ahead in range(24)) < 1
