"""A step of the supervisor, without processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.deployments.standing.campaign_keeper import CampaignKeeper
from proctor.deployments.standing.supervisor import PrefectKeeper, SchedulerKeeper, Supervisor
from proctor.infra.fleet.fake_provider import FakeProvider, Weather
from proctor.infra.fleet.files import FleetFiles, FleetRecord, Wanted, read_record, write_wanted
from proctor.infra.fleet.providers import Phase
from proctor.infra.fleet.reach import Reach
from proctor.infra.fleet.roster import Roster
from proctor.infra.process_ref import ProcessRef
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


def test_a_process_is_known_by_number_and_birth() -> None:
    """A later one under the same number is another."""
    me = ProcessRef.of(1)
    assert me is not None
    assert me.alive
    assert not ProcessRef(pid=1, created=me.created - 100).alive
    assert ProcessRef.of(2**22 + 1) is None
