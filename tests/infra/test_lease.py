"""Leases: one holder at a time, and a way on when a holder is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from ledger_parts import Clock
from waiting import wait_until

from proctor.infra.errors import LeaseLost, StateUnwritable
from proctor.infra.ledgers import lease as leases
from proctor.infra.ledgers.lease import TTL_SECONDS, Lease, lease_path, newest_holder, place


def acquire(directory: Path, clock: Clock | None = None) -> Lease:
    return Lease.acquire(directory, clock=clock or Clock())


def rewrite(directory: Path, epoch: int, **changes: object) -> None:
    """Make the lease look as if another process had taken it."""
    path = lease_path(directory, epoch)
    stat = path.stat()
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}) + "\n")
    os.utime(path, (stat.st_atime, stat.st_mtime))


def test_epochs_count_up_from_one(tmp_path: Path):
    """Each holder has a number of its own, higher than any before."""
    for epoch in (1, 2, 3):
        lease = acquire(tmp_path)
        assert lease.epoch == epoch
        lease.release()


def test_a_held_lease_is_refused_with_its_holder(tmp_path: Path):
    """Who asks is told who runs it, where, and what to do."""
    acquire(tmp_path)
    with pytest.raises(LeaseLost, match=rf"run by pid {os.getpid()} on .* since .*; wait .*cancel"):
        acquire(tmp_path)


def test_an_untouched_lease_expires(tmp_path: Path):
    """A frozen holder, or one on a machine that is gone, is passed over after the ttl."""
    clock = Clock()
    first = acquire(tmp_path, clock)
    clock.now += TTL_SECONDS
    with pytest.raises(LeaseLost):
        acquire(tmp_path, clock)
    clock.now += 0.1
    assert first.is_current()
    second = acquire(tmp_path, clock)
    assert (first.is_current(), second.is_current()) == (False, True)
    with pytest.raises(LeaseLost, match="taken over"):
        first.check()


def test_renewing_keeps_it(tmp_path: Path):
    """A holder that touches it in time is never passed over."""
    clock = Clock()
    lease = acquire(tmp_path, clock)
    for _ in range(5):
        clock.now += TTL_SECONDS
        lease.renew()
        with pytest.raises(LeaseLost):
            acquire(tmp_path, clock)


def test_a_kept_lease_is_touched_in_the_background(tmp_path: Path):
    """The main thread may be busy for longer than the ttl."""
    clock = Clock()
    lease = acquire(tmp_path, clock)
    lease.keep()
    clock.now += 1000
    wait_until(
        lambda: lease_path(tmp_path, 1).stat().st_mtime == clock.now, what="the lease is touched"
    )
    lease.release()


def test_a_dead_holder_on_this_host_is_passed_over_at_once(tmp_path: Path):
    """After kill -9, `proctor resume` need not wait."""
    script = (
        "import sys, time, os, signal; from pathlib import Path;"
        "from proctor.infra.ledgers.lease import Lease;"
        "Lease.acquire(Path(sys.argv[1]), clock=time.time);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])

    def is_zombie() -> bool:
        return psutil.Process(holder.pid).status() == psutil.STATUS_ZOMBIE

    wait_until(is_zombie, what="the holder is killed")
    found = newest_holder(tmp_path)
    assert found is not None
    assert found.pid == holder.pid
    # Not yet waited for by its parent, then gone altogether.
    assert not found.is_holding(found.touched)
    holder.wait()
    assert not found.is_holding(found.touched)
    assert acquire(tmp_path, Clock(found.touched)).epoch == 2


def test_a_reused_pid_is_not_the_holder(tmp_path: Path):
    """A living process with the holder's pid counts only if it started when the holder did."""
    acquire(tmp_path)
    rewrite(tmp_path, 1, process_started=psutil.Process().create_time() - 3600)
    assert acquire(tmp_path).epoch == 2


def test_a_clock_that_is_set_does_not_kill_a_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Births count from the boot: a step of the wall clock hands no campaign to somebody else."""
    boot = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot)
    acquire(tmp_path)
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)
    with pytest.raises(LeaseLost):
        acquire(tmp_path)


@pytest.mark.parametrize("elsewhere", ["another boot", "another namespace"])
def test_a_pid_elsewhere_says_nothing(tmp_path: Path, elsewhere: str):
    """In a container or on another host a pid may be missing here and alive there."""
    acquire(tmp_path)
    rewrite(tmp_path, 1, place=elsewhere, pid=2**22 + 1)
    with pytest.raises(LeaseLost):
        acquire(tmp_path)


def test_a_lease_nobody_has_signed_yet_is_respected_until_it_expires(tmp_path: Path):
    """Its holder is between creating and writing it, or died there."""
    lease_path(tmp_path, 1).touch()
    now = lease_path(tmp_path, 1).stat().st_mtime
    with pytest.raises(LeaseLost, match="has not said who it is"):
        acquire(tmp_path, Clock(now))
    assert acquire(tmp_path, Clock(now + TTL_SECONDS + 1)).epoch == 2


def test_of_many_who_want_it_one_gets_it(tmp_path: Path):
    """All at the same moment, after a holder that expired."""
    clock = Clock()
    acquire(tmp_path, clock)
    clock.now += TTL_SECONDS + 1
    start, won, lost = threading.Barrier(8), [], []

    def want() -> None:
        start.wait(60)
        try:
            won.append(acquire(tmp_path, clock).epoch)
        except LeaseLost:
            lost.append(1)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (won, len(lost)) == ([2], 7)


def test_a_lease_whose_file_cannot_be_touched_says_so(tmp_path: Path):
    """A holder whose directory is gone must not believe that it holds anything."""
    lease = acquire(tmp_path)
    lease_path(tmp_path, 1).unlink()
    lease.keep()

    def has_failed() -> bool:
        try:
            lease.check()
        except StateUnwritable:
            return True
        return False

    wait_until(has_failed, what="the failure to touch it is told")
    lease.abandon()


def test_this_process_holds_by_its_own_account(tmp_path: Path):
    """What is written of the holder is what is compared later."""
    acquire(tmp_path)
    holder = newest_holder(tmp_path)
    assert holder is not None
    assert (holder.pid, holder.place) == (os.getpid(), place())
    assert holder.is_holding(holder.touched)
    assert not replace(holder, released=True).is_holding(holder.touched)


def test_a_volume_that_hangs_does_not_keep_who_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that touches the file is left behind; it ends with the process."""
    monkeypatch.setattr(leases, "TOUCH_SECONDS", 0.0)
    monkeypatch.setattr(leases, "STUCK_SECONDS", 0.05)
    held = acquire(tmp_path)
    hangs, back = threading.Event(), threading.Event()
    utime = os.utime

    def touch(path: Path, times: tuple[float, float]) -> None:
        if path != lease_path(tmp_path, 1):
            # Somebody else's, whose thread outlives its test.
            utime(path, times)
            return
        hangs.set()
        assert back.wait(60)

    monkeypatch.setattr(os, "utime", touch)
    held.keep()
    assert hangs.wait(60)
    toucher = held._toucher
    assert toucher is not None
    held.abandon()
    assert toucher.is_alive()
    back.set()
    toucher.join(60)
    assert not toucher.is_alive()
