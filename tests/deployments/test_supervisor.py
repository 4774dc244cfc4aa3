"""A step of the supervisor, without processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from waiting import wait_until

from proctor.deployments.standing import fleet_process, prefect_keeper, supervisor
from proctor.deployments.standing.campaign_keeper import CampaignKeeper
from proctor.deployments.standing.fleet_waiting import _is_hopeless
from proctor.deployments.standing.prefect_keeper import PrefectKeeper
from proctor.deployments.standing.supervisor import SchedulerKeeper, Supervisor
from proctor.infra import process_ref
from proctor.infra.fleet.fake_provider import FakeProvider, Weather
from proctor.infra.fleet.files import FleetFiles, FleetRecord, Wanted, read_record, write_wanted
from proctor.infra.fleet.providers import Instance, Phase
from proctor.infra.fleet.reach import Reach
from proctor.infra.fleet.roster import Roster
from proctor.infra.process_ref import ProcessRef, marked
from proctor.infra.resident_mark import MARK
from proctor.infra.scaling.reconciler import alone
from proctor.infra.worker_classes import WorkerClass

CLASSES = {"cpu": WorkerClass(name="cpu", slots=1)}


class _Scheduler(SchedulerKeeper):
    """One that is there, and dies when it is told to."""

    dies = False
    answering = True  # pyright: ignore[reportAssignmentType]
    ref = None  # pyright: ignore[reportAssignmentType]

    def tend(self, port: int, now: float) -> bool:
        died, self.dies = self.dies, False
        return died


def test_the_history_of_a_server_that_somebody_configured_is_followed(tmp_path):
    """As that of a resident one is, once that answers."""
    keeper = PrefectKeeper(tmp_path)
    keeper.tend("off")
    assert keeper.api_url == ""
    keeper.tend("http://prefect.example/api")
    assert keeper.api_url == "http://prefect.example/api"


class _Fleet:
    def __init__(self, state: Path) -> None:
        self.files = FleetFiles(state=state)
        self.files.directory.mkdir(parents=True)
        self.now = 100.0
        self.provider = FakeProvider(clock=lambda: self.now, weather=Weather(drain_seconds=3))
        self.scheduler = _Scheduler(self.files, Reach(), {})
        self.supervisor = Supervisor(
            self.files,
            provider=self.provider,
            scheduler=self.scheduler,
            prefect=PrefectKeeper(state),
            campaigns=CampaignKeeper(state, environment={}),
            roster=lambda: Roster(at=self.now, workers={}),
            wanted=Wanted(),
        )

    def want(self, count: int, **more: str | float) -> None:
        wanted = Wanted(classes=CLASSES, counts={"cpu": count}, port=1, **more)  # pyright: ignore
        write_wanted(self.files.wanted, wanted)

    def tick(self) -> bool:
        return self.supervisor.tick(self.now)

    def phases(self) -> dict[str, Phase]:
        return {each.name: each.phase for each in self.provider.observe()}

    def record(self) -> FleetRecord:
        record = read_record(self.files.record)
        assert record is not None
        return record


@pytest.fixture
def fleet(tmp_path: Path) -> _Fleet:
    return _Fleet(tmp_path)


def test_what_is_wanted_is_launched_and_said(fleet: _Fleet) -> None:
    """The record is there for everybody to read, with what was launched in this very step."""
    fleet.want(2)
    assert fleet.tick()

    record = fleet.record()
    assert [each.name for each in record.instances] == ["cpu-1", "cpu-2"]
    assert record.counts == {"cpu": 2}
    assert record.supervisor.alive


def test_a_launch_that_fails_is_said_until_it_succeeds(fleet: _Fleet) -> None:
    """And it is not tried at every tick."""
    fleet.provider.weather.quota = 1
    fleet.want(2)
    for _ in range(5):
        fleet.tick()

    (problem,) = fleet.record().problems
    assert "quota of 1 workers is used up" in problem
    assert fleet.provider.launches == ["cpu-1"]
    fleet.want(1)
    fleet.tick()
    assert fleet.record().problems == (), "nobody wants that worker any more"


def test_a_dead_scheduler_takes_its_workers_along_without_blame(fleet: _Fleet) -> None:
    """They would go on without anybody to hear them; new ones start at once."""
    fleet.want(2)
    fleet.tick()
    fleet.now += 1
    fleet.scheduler.dies = True
    fleet.tick()
    fleet.tick()

    assert fleet.provider.launches == ["cpu-1", "cpu-2"] * 2
    assert set(fleet.phases().values()) == {Phase.RUNNING}
    assert set(fleet.record().restarts.values()) == {0}


def test_an_orderly_end_waits_for_the_drain(fleet: _Fleet) -> None:
    """It goes on as long as somebody drains, and says that it is stopping."""
    fleet.want(1)
    fleet.tick()
    fleet.want(1, stop="drain")

    assert fleet.tick()
    assert fleet.phases() == {"cpu-1": Phase.DRAINING}
    assert fleet.record().stopping
    fleet.now += 4
    assert not fleet.tick()


def test_an_orderly_end_has_a_deadline(fleet: _Fleet) -> None:
    """A worker that never gets done does not keep the fleet up."""
    fleet.provider.weather.drain_seconds = 1e9
    fleet.want(1, drain_seconds=10.0)
    fleet.tick()
    fleet.want(1, stop="drain", drain_seconds=10.0)
    assert fleet.tick()
    fleet.now += 20

    assert not fleet.tick()


def test_an_end_at_once_waits_for_nothing(fleet: _Fleet) -> None:
    """What is left the caller ends."""
    fleet.want(1)
    fleet.tick()
    fleet.want(1, stop="now")

    assert not fleet.tick()


def test_a_torn_file_changes_nothing(fleet: _Fleet) -> None:
    """What was wanted before is wanted still."""
    fleet.want(1)
    fleet.tick()
    fleet.files.wanted.write_text('{"classes": {')

    assert fleet.tick()
    assert fleet.phases() == {"cpu-1": Phase.RUNNING}


def test_a_disk_that_refuses_ends_no_supervisor(tmp_path: Path) -> None:
    """With it all workers would end; the scheduler is tried again later, and why is said."""
    files = FleetFiles(state=tmp_path)
    # What cannot be taken away.
    files.ready.mkdir(parents=True)
    keeper = SchedulerKeeper(files, Reach(), {})
    assert not keeper.tend(1, 100.0)
    assert keeper.problem.startswith("the scheduler cannot be started")


def test_a_port_that_somebody_took_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two lives of the scheduler: its exit code tells nobody what to do."""
    dead = SimpleNamespace(pid=1, returncode=1, poll=lambda: 1)
    monkeypatch.setattr(supervisor, "launch_host", lambda *_, **__: dead)
    keeper = SchedulerKeeper(FleetFiles(state=tmp_path), Reach(), {})
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        port = taker.getsockname()[1]
        keeper.tend(port, 100.0)
        assert keeper.tend(port, 101.0)
        assert keeper.problem.startswith(f"the scheduler died: port {port} is taken by ")


def test_a_problem_with_prefect_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong once, the server is looked at again: nobody else does that."""
    answers = iter([OSError(28, "No space left on device"), psutil.NoSuchProcess(1)])
    found = SimpleNamespace(ui_url="http://there", api_url="http://there/api")

    def ensure(**_: float) -> SimpleNamespace:
        problem = next(answers, None)
        if problem is not None:
            raise problem
        return found

    monkeypatch.setattr(prefect_keeper, "PREFECT_SECONDS", 0.01)
    keeper = PrefectKeeper(tmp_path)
    monkeypatch.setattr(keeper, "_server", SimpleNamespace(ensure=ensure))
    try:
        keeper.tend("resident")
        wait_until(lambda: keeper.url == "http://there", what="the server to be found")
        assert keeper.problem == ""
    finally:
        keeper.close()


@pytest.mark.parametrize("where", ["here", "in a container"])
def test_a_fleet_in_a_container_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Root sees its processes, which may be of a state directory at the very same path."""
    files = FleetFiles(state=tmp_path)
    # It sleeps, under the name of the real one.
    sleeper = tmp_path / "proctor" / "deployments" / "standing" / "supervisor.py"
    sleeper.parent.mkdir(parents=True)
    sleeper.write_text("import time; print(flush=True); time.sleep(60)")
    with subprocess.Popen(
        [sys.executable, "-m", supervisor.__name__, "--state", str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, MARK: str(files.directory), "PYTHONPATH": str(tmp_path)},
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            if where != "here":
                monkeypatch.setattr(process_ref, "is_here", lambda pid: False)
                monkeypatch.setattr(fleet_process, "is_here", lambda pid: False)
            seen = [[each.pid for each in marked(MARK, str(files.directory))]]
            seen.append([each.pid for each in fleet_process._supervisors(files)])
            assert seen == ([[process.pid]] * 2 if where == "here" else [[], []])
        finally:
            process.kill()


def test_a_turn_that_fails_is_not_the_last() -> None:
    """No file to be had for a moment, say: the fleet must not end with that."""
    ending = threading.Event()
    turns: list[float] = []

    def turn(now: float) -> bool:
        turns.append(now)
        if len(turns) == 1:
            raise OSError(24, "Too many open files")
        return len(turns) < 3

    supervisor.keep_on(turn, ending)
    assert len(turns) == 3


def test_a_second_supervisor_leaves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also before the first one has written a record: somebody undoes a kill while `up` starts."""
    files = FleetFiles(state=tmp_path)
    files.logs.mkdir(parents=True)
    with alone(files.logs):
        assert supervisor.supervise(tmp_path) == 1
    assert "has a supervisor already" in caplog.text


def test_a_campaign_that_cannot_be_resumed_makes_no_fleet_hopeless(fleet: _Fleet) -> None:
    """A worker that died once comes again; what became of a campaign is another matter."""
    me = ProcessRef.of(os.getpid())
    assert me is not None
    died = Instance(name="cpu-1", worker_class="cpu", phase=Phase.ENDED, since=1.0)
    record = FleetRecord(supervisor=me, scheduler=me, instances=(died,), problems=("a campaign",))
    missing = ["0 of 1 workers of class cpu have joined"]
    assert not _is_hopeless(record, missing)
    assert _is_hopeless(replace(record, launch_problems=("no quota",)), missing)


def test_a_process_is_known_by_number_and_birth() -> None:
    """A later one under the same number is another."""
    me = ProcessRef.of(1)
    assert me is not None
    assert me.alive
    assert not ProcessRef(pid=1, created=me.created - 100).alive
    assert ProcessRef.of(2**22 + 1) is None


def test_a_process_stays_itself_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the wall clock must not make a living fleet look dead: `up` would start another."""
    boot = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot)
    me = ProcessRef.of(os.getpid())
    assert me is not None

    # The kernel tells the time of the boot by the clock as it is now.
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)

    assert me.alive
