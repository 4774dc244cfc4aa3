"""A fleet that cannot come to be leaves nothing of what was started for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proctor.deployments.standing import services
from proctor.deployments.standing.fleet_process import end_fleet
from proctor.deployments.standing.fleet_wish import tuned
from proctor.deployments.standing.services import UpRequest, up
from proctor.infra.errors import BadSetting, FleetUnavailable, UsageProblem
from proctor.infra.faults.lease import FaultFiles, FaultLease, grant, held
from proctor.infra.faults.undo import remove
from proctor.infra.fleet.chaos_mark import is_marked
from proctor.infra.fleet.files import FleetFiles, Wanted, read_wanted, write_wanted
from proctor.infra.worker_classes import WorkerClass


class Server:
    """A resident Prefect server that is there or not, and can be stopped."""

    def __init__(self, *, alive: bool) -> None:
        self.alive = alive
        self.stopped = False

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(alive=self.alive)

    def stop(self) -> bool:
        self.stopped = True
        return True


@pytest.mark.parametrize(
    ("prefect", "was_alive", "stopped"),
    [
        ("resident", False, True),
        # Somebody else's, or of campaigns that run.
        ("resident", True, False),
        ("http://127.0.0.1:1/api", False, False),
    ],
)
def test_a_prefect_server_of_ones_own_is_stopped_again(
    monkeypatch, tmp_path: Path, *, prefect: str, was_alive: bool, stopped: bool
) -> None:
    """The fleet's supervisor started it; one that was there before stays."""
    server = Server(alive=was_alive)

    def refuse(*_: object) -> None:
        raise FleetUnavailable("the work pool is of another type", remedy="delete it")

    monkeypatch.setattr(services, "ResidentServer", lambda state: server)
    monkeypatch.setattr(services, "spawn_detached", lambda *args, **more: 0)
    monkeypatch.setattr(services, "await_fleet", refuse)
    request = UpRequest(
        state=tmp_path,
        classes={"cpu": WorkerClass(name="cpu", slots=1)},
        counts={"cpu": 1},
        cores=1,
        prefect=lambda: prefect,
        provider="work-pool",
    )

    with pytest.raises(FleetUnavailable, match="of another type"):
        up(request, say=lambda text: None)

    assert server.stopped == stopped
    wanted = read_wanted(FleetFiles(state=tmp_path).wanted)
    assert wanted is not None
    assert wanted.stop == "now"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"memory_bytes": 2**60}, "worker big-1 is to have memory="),
        ({"gpu": 99}, "worker big-1 needs gpu=99, this machine has"),
    ],
)
def test_a_worker_that_this_machine_cannot_hold_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    """Not by a fleet that has come up and goes down again for it."""
    started: list[object] = []
    monkeypatch.setattr(services, "spawn_detached", lambda *args, **more: started.append(args))
    big = WorkerClass(name="big", slots=1, **more)
    request = UpRequest(
        state=tmp_path, classes={"big": big}, counts={"big": 1}, cores=1, prefect=lambda: "off"
    )
    with pytest.raises(BadSetting, match=reason):
        up(request, say=lambda text: None)
    assert started == []


def test_a_refused_command_gives_no_fleet_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Somebody's fleet is up: `up --chaos-target --port 9999` must not mark it on its way out."""
    classes = {"cpu": WorkerClass(name="cpu", slots=1, provider="local")}
    files = FleetFiles(state=tmp_path)
    files.directory.mkdir(parents=True)
    write_wanted(files.wanted, Wanted(classes=classes, counts={"cpu": 1}, port=8786))
    monkeypatch.setattr(services, "living", lambda files: SimpleNamespace(counts={"cpu": 1}))
    request = UpRequest(
        state=tmp_path,
        classes=classes,
        counts={},
        cores=1,
        prefect=lambda: "off",
        port=9999,
        chaos_target=True,
    )
    with pytest.raises(UsageProblem, match="is up on port 8786"):
        up(request, say=lambda text: None)
    assert not is_marked(files.directory)


def test_down_leaves_no_fault_behind(tmp_path: Path) -> None:
    """What presses on the machine, or is frozen, must not wait for the end of its lease."""
    files, faults = FleetFiles(state=tmp_path), FaultFiles(state=tmp_path)
    files.directory.mkdir(parents=True)
    write_wanted(files.wanted, Wanted(port=8786))
    rule = tmp_path / "rule.json"
    rule.touch()
    lease = FaultLease(id="f-1", kind="k", target="t", begins=0.0, until=2e10, undo=(remove(rule),))
    grant(faults, lease)
    end_fleet(files, now=True, deadline_seconds=1.0)
    assert (rule.exists(), held(faults)) == (False, [])


def test_what_only_a_fleet_that_sizes_itself_heeds_is_refused() -> None:
    """Silently ignored, it would be believed."""
    by_people = Wanted(counts={"cpu": 1})
    with pytest.raises(UsageProblem, match="--horizon and --idle tell a fleet that chooses"):
        tuned(by_people, 5.0, 60.0)
    assert tuned(by_people, None, None) == by_people
    assert tuned(replace(by_people, auto=True), 5.0, None).horizon_seconds == 5.0
