"""The fleet of a single campaign tends its workers, without any process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proctor.infra.fleet import local_fleet
from proctor.infra.fleet.local_fleet import LONGEST_PAUSE_SECONDS, SCHEDULER, LocalFleet, _Pace
from proctor.infra.worker_classes import WorkerClass

CPU = WorkerClass(name="cpu", slots=1).facts(1)
CPU_1 = "worker cpu-1"


class Dead:
    """A process that has ended, and was killed or not."""

    killed = False

    def poll(self) -> int:
        return 1

    def kill(self) -> None:
        self.killed = True


@dataclass
class Launches:
    """Starts processes that end at once, or none while there is no room."""

    room: bool = True
    count: int = 0
    commands: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def __call__(self, command: tuple[str, ...], **_: object) -> Dead:
        self.count += 1
        self.commands.append(command)
        if not self.room:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return Dead()


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Launches:
    made = Launches()
    monkeypatch.setattr(local_fleet, "launch_host", made)
    return made


@pytest.fixture
def fleet(tmp_path: Path) -> LocalFleet:
    made = LocalFleet(workers=[CPU], scratch=tmp_path)
    made._paces[CPU_1] = made._paces[SCHEDULER] = _Pace(started=0.0)
    return made


def restarts(fleet: LocalFleet, launches: Launches, *, seconds: int, since: float = 0.0) -> int:
    before = launches.count
    for tenth in range(seconds * 10):
        fleet._restart_worker(CPU, since + tenth / 10)
    return launches.count - before


def test_a_worker_that_dies_at_once_is_no_storm(fleet: LocalFleet, launches: Launches) -> None:
    """The first time at once; then less and less often, and never more than some seconds apart."""
    assert restarts(fleet, launches, seconds=1) <= 3
    later = restarts(fleet, launches, seconds=100, since=100.0)
    assert 100 / LONGEST_PAUSE_SECONDS - 1 <= later <= 100 / LONGEST_PAUSE_SECONDS + 5


def test_one_that_lived_long_comes_back_at_once(fleet: LocalFleet, launches: Launches) -> None:
    """What killed it has nothing to do with its start."""
    restarts(fleet, launches, seconds=20)
    before = launches.count
    fleet._restart_worker(CPU, 1000.0)
    fleet._restart_worker(CPU, 1000.2)
    assert launches.count == before + 2


def test_no_room_for_one_worker_ends_no_other(fleet: LocalFleet, launches: Launches) -> None:
    """The thread that started them all must go on: the kernel ends with it what it has started."""
    launches.room = False
    restarts(fleet, launches, seconds=2)
    assert CPU.name not in fleet._hosts
    launches.room = True
    restarts(fleet, launches, seconds=10, since=2.0)
    assert fleet._hosts[CPU.name].poll() == 1


def test_a_dead_scheduler_comes_back_where_it_was(fleet: LocalFleet, launches: Launches) -> None:
    """The campaign waits for one at that address; workers of the dead one start anew."""
    ready = fleet.directory / "scheduler.json"
    ready.write_text('{"address": "tcp://127.0.0.1:4711", "pid": 1}')
    worker = Dead()
    fleet._hosts[CPU.name] = worker
    fleet._restart_scheduler(ready, 1.0)
    (command,) = launches.commands
    assert command[-2:] == ("--port", "4711")
    assert worker.killed
