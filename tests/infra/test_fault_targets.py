"""What faults are aimed at is what it seems to be."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from proctor.infra.codec import facts_to_json
from proctor.infra.faults.experiment import parse_experiment
from proctor.infra.faults.run import ExperimentRun
from proctor.infra.faults.targets import FaultRefused, Part, Selector, Targets
from proctor.infra.fleet.chaos_mark import edge_directory, mark, unmark
from proctor.infra.fleet.files import FleetFiles, FleetRecord, write_record
from proctor.infra.fleet.roster import Roster, write_roster
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.process_ref import ProcessRef
from proctor.infra.scaling.demand import DEMAND_FILE, Demand, write_demand
from proctor.infra.worker_classes import WorkerClass

ADDRESS = "tcp://127.0.0.1:1"
SLEEPER = "import sys, time; print(flush=True); time.sleep(60)"


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[int]:
    """A process that was started with these arguments."""
    started = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, *request.param], stdout=subprocess.PIPE
    )
    assert started.stdout is not None
    with started.stdout:
        started.stdout.readline()
    yield started.pid
    started.kill()
    started.wait(60)


def hosting(name: str) -> list[str]:
    return ["-m", "proctor.infra.fleet.worker_host", "--facts", json.dumps({"name": name})]


def aimed_at(tmp_path: Path, pid: int) -> list[str]:
    """The workers found when `box-1` says that it is this process."""
    facts = facts_to_json(WorkerClass(name="box", slots=1).facts(1))
    facts["incarnation"] = f"{pid}-0123456789ab"
    files = FleetFiles(state=tmp_path)
    files.roster.parent.mkdir(parents=True)
    standing = {"facts": facts, "busy": 0, "draining": False, "campaigns": []}
    seen = {"address": "tcp://127.0.0.1:1", "last_seen": time.time(), "standing": standing}
    write_roster(files.roster, at=time.time(), workers=[seen])
    return Targets(tmp_path).workers()


@pytest.mark.parametrize("process", [hosting("box-1")], indirect=True)
def test_a_worker_of_this_machine_can_be_aimed_at(tmp_path: Path, process: int) -> None:
    """It was started as that very worker."""
    assert aimed_at(tmp_path, process) == ["box-1"]


@pytest.mark.parametrize("process", [["something", "else"], hosting("cpu-1")], indirect=True)
def test_the_number_of_a_worker_in_a_container_is_somebody_elses(
    tmp_path: Path, process: int
) -> None:
    """Its own process namespace counts anew: here another process has that number."""
    assert aimed_at(tmp_path, process) == []


@pytest.mark.parametrize("process", [hosting("box-1")], indirect=True)
def test_a_scheduler_that_goes_meanwhile_ends_no_search(
    tmp_path: Path, process: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its roster goes with it; a second look at it would know no worker."""
    aimed_at(tmp_path, process)
    targets = Targets(tmp_path)
    looks = iter([targets._roster()])
    nobody = Roster(at=0.0, workers={})
    monkeypatch.setattr(targets, "_roster", lambda: next(looks, nobody))
    with pytest.raises(FaultRefused, match="no worker:busy now"):
        targets.find(Selector(part=Part.WORKER, which="busy"), random.Random(1))


@pytest.mark.parametrize(("fleet", "found"), [(ADDRESS, ["c1"]), ("tcp://127.0.0.1:2", [])])
def test_a_campaign_on_another_fleet_is_no_target(
    tmp_path: Path, fleet: str, found: list[str]
) -> None:
    """Somebody's run in the same state directory has workers of its own, and no mark."""
    me = ProcessRef.of(os.getpid())
    assert me is not None
    write_record(
        FleetFiles(state=tmp_path).record,
        FleetRecord(supervisor=me, scheduler=me, address=ADDRESS),
    )
    ledger = Ledger.open(
        tmp_path / "campaigns" / "c1",
        campaign="c1",
        name="c1",
        root="/srv",
        command=("proctor", "run"),
        settings={},
        clock=time.time,
    )
    ledger.commit()
    demand = Demand(campaign="c1", epoch=1, at=time.time(), fleet=fleet)
    write_demand(ledger.directory / DEMAND_FILE, demand)
    try:
        assert Targets(tmp_path).campaigns() == found
    finally:
        ledger.close()


def test_a_fleet_without_proxies_does_not_seem_to_have_any(tmp_path: Path) -> None:
    """What the workers of an earlier fleet left would let a fault pass that nobody notices."""
    mark(tmp_path)
    edge_directory(tmp_path, "cpu-1").mkdir(parents=True)
    unmark(tmp_path)
    mark(tmp_path)
    assert not edge_directory(tmp_path, "cpu-1").exists()


def test_a_number_that_nobody_has_is_no_target(tmp_path: Path) -> None:
    """The worker has ended since, or runs on another machine."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(60)
    wait_until(lambda: ProcessRef.of(gone.pid) is None, what="the process to be gone")
    assert aimed_at(tmp_path, gone.pid) == []


@pytest.mark.parametrize("target", ["worker", "worker:any", "worker:busy", "worker:all"])
@pytest.mark.parametrize("process", [hosting("box-1")], indirect=True)
def test_whichever_worker_it_will_be_a_fault_has_to_be_possible(
    tmp_path: Path, process: int, target: str
) -> None:
    """One that was there before the fleet was given to be broken has no proxy: that is told now."""
    aimed_at(tmp_path, process)
    me = ProcessRef.of(os.getpid())
    assert me is not None
    files = FleetFiles(state=tmp_path)
    write_record(files.record, FleetRecord(supervisor=me, scheduler=me, address=ADDRESS))
    mark(files.directory)
    given = {
        "title": "t",
        "load": {"arguments": []},
        "method": [{"fault": "latency", "target": target}],
    }
    experiment = parse_experiment(given, source="e", directory=tmp_path)
    run = ExperimentRun(experiment, state=tmp_path, targets=Targets(tmp_path))
    with pytest.raises(FaultRefused, match="worker box-1 has no proxy at its edge"):
        run.check()
    edge_directory(files.directory, "box-1").mkdir(parents=True)
    run.check()
