"""Workers that this machine gives to a fleet: their ends and their next lives, without processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from proctor.deployments.standing import joined_workers
from proctor.deployments.standing.joined_workers import REFUSALS, JoinedWorkers
from proctor.infra.errors import FleetUnavailable
from proctor.infra.fleet.self_test import REFUSED
from proctor.infra.worker_classes import WorkerClass


class Process:
    """It ends when it is told to."""

    def __init__(self) -> None:
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code


class Box:
    """A machine that gives two workers, and what it says of them."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.started: list[Process] = []
        self.scratches: set[str] = set()
        self.disk_is_full = False
        monkeypatch.setattr(joined_workers, "launch_host", self._launch)
        monkeypatch.setattr(joined_workers, "somebody_listens", lambda address: True)
        self.now = 0.0
        self.workers = JoinedWorkers(
            [WorkerClass(name="cpu", slots=1).facts(number) for number in (1, 2)],
            address="tcp://127.0.0.1:1",
            directory=directory,
            environment={},
            host="127.0.0.1",
            drain_seconds=1,
            patience_seconds=1,
            say=self.said.append,
        )

    def _launch(self, command: Sequence[str], **more: Any) -> Process:
        if self.disk_is_full:
            raise OSError(28, "No space left on device")
        self.scratches.add(command[command.index("--scratch") + 1])
        self.started.append(Process())
        return self.started[-1]

    def after(self, seconds: float) -> int:
        """How many are started then."""
        before = len(self.started)
        self.now += seconds
        assert self.workers.tick(self.now)
        return len(self.started) - before


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    return Box(tmp_path, monkeypatch)


def test_who_ends_is_started_again_after_longer_and_longer(box: Box) -> None:
    """Who lived for a while begins anew."""
    assert box.after(0) == 2
    for pause in (0.5, 1, 2):
        box.started[-1].code = -9
        assert box.after(0) == 0
        assert box.said[-1].endswith(f"again in {pause:g} s")
        assert box.after(pause) == 1
    box.started[-1].code = 1
    assert box.after(100) == 0
    assert box.said[-1].endswith("again in 0.5 s")


def test_all_keep_their_files_in_one_place(box: Box) -> None:
    """A project is brought to the machine once, and set up once."""
    assert box.after(0) == 2
    assert len(box.scratches) == 1


def test_one_that_cannot_be_started_costs_no_other(box: Box) -> None:
    """A full disk: it is tried again."""
    box.disk_is_full = True
    assert box.after(0) == 0
    assert "could not be started ([Errno 28] No space left" in box.said[-1]
    box.disk_is_full = False
    assert box.after(1) == 2


def test_who_stays_out_again_and_again_is_given_up_and_then_all(box: Box) -> None:
    """Also where the reason could not be written down."""
    box.after(0)
    for each in range(2):
        for refusals in range(REFUSALS):
            place = box.started[each if refusals == 0 else -1]
            place.code = REFUSED
            if (each, refusals) == (1, REFUSALS - 1):
                break
            box.after(0)
            box.after(100)
    assert box.said == ["cpu-1 stays out: its self-test failed"]
    with pytest.raises(FleetUnavailable, match="cpu-2 stays out"):
        box.after(0)
