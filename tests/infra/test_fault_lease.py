"""Leases of faults: written before the act, undone once, by whoever comes first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from waiting import wait_until

from proctor.infra.faults.lease import (
    FaultFiles,
    FaultLease,
    LeaseOver,
    acting,
    grant,
    held,
    past,
    settle,
    settle_all,
)
from proctor.infra.faults.reaper import ensure_reaper, is_reaping
from proctor.infra.faults.undo import UndoProblem, end_marked, remove, resume
from proctor.infra.process_ref import ProcessRef


@pytest.fixture
def files(tmp_path: Path) -> FaultFiles:
    return FaultFiles(state=tmp_path)


def lease_of(*undo: object, seconds: float = 60.0, name: str = "f-1") -> FaultLease:
    now = time.time()
    return FaultLease(
        id=name, kind="freeze", target="worker:a", begins=now, until=now + seconds, undo=undo
    )


def test_a_lease_survives_as_it_was_written(files: FaultFiles) -> None:
    """What another process reads is what was granted, recipe included."""
    lease = lease_of({"do": "remove", "path": "/nowhere"})
    grant(files, lease)
    assert held(files) == [lease]


def test_a_fault_is_undone_once(files: FaultFiles, tmp_path: Path) -> None:
    """The second one who would undo it finds that it has been."""
    rule = tmp_path / "rule.json"
    rule.touch()
    lease = lease_of(remove(rule))
    grant(files, lease)
    assert settle(files, lease, "over")
    assert not rule.exists()
    rule.touch()
    assert not settle(files, lease, "expired")
    assert rule.exists()
    assert [(each.id, how) for each, how in past(files)] == [("f-1", "over")]


def test_a_recipe_that_cannot_be_followed_keeps_its_lease(
    files: FaultFiles, tmp_path: Path
) -> None:
    """It is tried again later; the steps that can be done are done."""
    (tmp_path / "folder").mkdir()
    rule = tmp_path / "rule.json"
    rule.touch()
    lease = lease_of(remove(tmp_path / "folder"), {"do": "dance"}, remove(rule))
    grant(files, lease)
    with pytest.raises(UndoProblem, match=r"dance.*by hand"):
        settle(files, lease, "over")
    assert not rule.exists()
    assert held(files) == [lease]
    undone, problems = settle_all(files, "asked")
    assert (undone, len(problems)) == ([], 1)


def test_a_full_disk_keeps_no_lease(files: FaultFiles, tmp_path: Path) -> None:
    """What is written of a fault that was undone is for people; without it, it is undone too."""
    rule = tmp_path / "rule.json"
    rule.touch()
    lease = lease_of(remove(rule))
    grant(files, lease)
    # Nothing can be written where a file stands.
    files.undone.write_text("")
    assert settle(files, lease, "over")
    assert (rule.exists(), held(files)) == (False, [])


def test_nothing_acts_after_its_time(files: FaultFiles) -> None:
    """An injector that was slow finds its lease over and must not act."""
    late = lease_of(seconds=-1)
    grant(files, late)
    with pytest.raises(LeaseOver), acting(files, late):
        pytest.fail("it acted")


def test_what_acted_after_it_was_undone_is_undone_again(files: FaultFiles, tmp_path: Path) -> None:
    """An injector frozen in the act does no harm when it goes on."""
    rule = tmp_path / "rule.json"
    lease = lease_of(remove(rule))
    grant(files, lease)
    with acting(files, lease):
        files.lease(lease.id).unlink()
        rule.touch()
    assert not rule.exists()


def test_a_broken_lease_hides_no_other(files: FaultFiles) -> None:
    """One file that is no lease is passed over."""
    lease = lease_of()
    grant(files, lease)
    files.lease("f-0").write_text('{"id": 1')
    files.lease("f-2").write_text(json.dumps({"undo": []}))
    assert held(files) == [lease]


def test_processes_are_known_by_birth(files: FaultFiles) -> None:
    """A recipe for a process that is gone touches nobody who has its number now."""
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            other.send_signal(signal.SIGSTOP)
            stopped = psutil.Process(other.pid)
            wait_until(lambda: stopped.status() == psutil.STATUS_STOPPED, what="the stop")
            ref = ProcessRef.of(other.pid)
            assert ref is not None
            grant(files, lease_of(*resume([ProcessRef(pid=other.pid, created=ref.created - 60)])))
            settle_all(files, "asked")
            assert stopped.status() == psutil.STATUS_STOPPED
            grant(files, lease_of(*resume([ref])))
            settle_all(files, "asked")
            wait_until(lambda: stopped.status() != psutil.STATUS_STOPPED, what="it to go on")
        finally:
            other.kill()


def test_marked_processes_are_ended_and_no_others(files: FaultFiles) -> None:
    """By the fault's own mark: those of another fault go on."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        subprocess.Popen(command, env={**os.environ, "PROCTOR_FAULT": "f-1"}) as mine,
        subprocess.Popen(command, env={**os.environ, "PROCTOR_FAULT": "f-2"}) as other,
    ):
        try:
            grant(files, lease_of(end_marked("f-1")))
            settle_all(files, "asked")
            assert mine.wait(60) is not None
            assert other.poll() is None
        finally:
            mine.kill()
            other.kill()


def test_the_reaper_undoes_what_expires_and_leaves(tmp_path: Path) -> None:
    """One at a time; it notices a lease, keeps it until its time, and goes when none is left."""
    files = FaultFiles(state=tmp_path)
    rule = tmp_path / "rule.json"
    rule.touch()
    command = [sys.executable, "-m", "proctor.infra.faults.reaper", "--state", str(tmp_path)]
    # It would leave before the second one has come, on a slow machine.
    grant(files, lease_of(remove(rule), seconds=3600))
    with subprocess.Popen([*command, "--linger", "5"]) as reaper:
        try:
            wait_until(lambda: is_reaping(files), what="the reaper")
            assert subprocess.run(command, timeout=120).returncode == 1
            ensure_reaper(files)
            assert rule.exists()
            grant(files, lease_of(remove(rule), seconds=1))
            wait_until(lambda: not rule.exists(), what="the rule to go")
            assert reaper.wait(60) == 0
        finally:
            reaper.kill()
    assert [how for _, how in past(files)] == ["expired"]
    assert not is_reaping(files)
    (journal,) = files.recorders.glob("*.jsonl")
    (line,) = map(json.loads, journal.read_text().splitlines())
    assert (line["k"], line["event"], line["id"]) == ("fault", "expired", "f-1")
