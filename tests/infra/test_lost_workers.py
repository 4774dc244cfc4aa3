"""A worker whose process lives and says nothing is replaced."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from proctor.infra.fleet import local_provider
from proctor.infra.fleet.local_provider import LocalProvider
from proctor.infra.fleet.roster import Roster, Seen
from proctor.infra.worker_classes import WorkerClass

CPU = WorkerClass(name="cpu", slots=1)
JOINED = replace(CPU.facts(1), incarnation="4711-0123")


class Process:
    """One that lives until it is killed."""

    pid = 4711
    killed = False

    def poll(self) -> int | None:
        return -9 if self.killed else None

    def kill(self) -> None:
        self.killed = True


@pytest.mark.parametrize(
    ("age", "joined", "killed"),
    # A scheduler that is away has nobody on its roster.
    [(0.0, False, True), (0.0, True, False), (3600.0, False, False)],
)
def test_a_worker_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, *, joined: bool, killed: bool
) -> None:
    """It would be starting for ever, and count as one that is there."""
    process = Process()
    seen = Seen(facts=JOINED, address="", last_seen=0.0)
    monkeypatch.setattr(local_provider, "launch_host", lambda *_, **__: process)
    monkeypatch.setattr(local_provider, "LOST_SECONDS", -1.0)
    provider = LocalProvider(
        scheduler=lambda: "tcp://here",
        directory=tmp_path,
        scratch=tmp_path,
        roster=lambda: Roster(at=time.time() - age, workers={"cpu-1": seen} if joined else {}),
    )
    provider.launch(CPU.facts(1), CPU)
    provider.observe()
    assert process.killed == killed
