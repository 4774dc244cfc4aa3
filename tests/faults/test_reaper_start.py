"""A fault's time is its own: what has to be started for it first takes none of that."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from proctor.infra.faults import inject, lease
from proctor.infra.faults.inject import Injector
from proctor.infra.faults.kinds import FaultKind, FaultOrder, FaultPlan
from proctor.infra.faults.lease import FaultFiles
from proctor.infra.faults.record import FaultRecorder
from proctor.infra.faults.targets import Part, Target


def test_a_reaper_that_starts_slowly_takes_none_of_a_faults_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine that takes longer than a short fault lasts."""
    now = 1000.0
    starts = iter([10.0, 0.0])
    acted: list[float] = []

    def start(files: FaultFiles) -> None:
        nonlocal now
        now += next(starts)

    def plan(order: FaultOrder) -> FaultPlan:
        return FaultPlan(undo=(), act=lambda: acted.append(order.until))

    kind = FaultKind(name="k", summary="", parts=frozenset({Part.HOST}), plan=plan)
    clock = SimpleNamespace(time=lambda: now, monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr(inject, "ensure_reaper", start)
    monkeypatch.setattr(inject, "choose_kind", lambda name: kind)
    monkeypatch.setattr(lease, "time", clock)
    files = FaultFiles(state=tmp_path)
    recorder = FaultRecorder(files)
    injector = Injector(files, recorder=recorder, clock=clock.time)
    given = injector.inject("k", Target(name="host", part=Part.HOST), seconds=1.0, parameters={})
    recorder.close()
    assert (given.begins, given.until, acted) == (1010.0, 1011.0, [1011.0])
