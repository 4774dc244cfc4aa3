"""What tests left behind is ended once its worker is dead, and nothing else ever is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from waiting import is_over, wait_until

from proctor.infra.runners.stray_reaper import MARK, Owner, reap, strays

PATIENCE = 60.0
# Stands in for a worker: starts what its tests would, tells its number, and lives until told.
OWNER = f"""\
import os, subprocess, sys
from pathlib import Path
from proctor.infra.runners.stray_reaper import Owner
mark = Owner.here(Path(sys.argv[1])).mark()
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(60)"],
    env={{**os.environ, "{MARK}": mark}}, start_new_session=True,
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid, flush=True)
input()
os._exit(0)
"""

Bear = Callable[[str], psutil.Process]


@pytest.fixture
def bear() -> Iterator[Bear]:
    """Starts a process that bears a mark."""
    started: list[subprocess.Popen[bytes]] = []

    def start(mark: str) -> psutil.Process:
        process = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"], env={**os.environ, MARK: mark}
        )
        started.append(process)
        found = psutil.Process(process.pid)
        # Until it has become another program it has our own environment.
        wait_until(
            lambda: found.environ().get(MARK) == mark, timeout=PATIENCE, what="the new program"
        )
        return found

    yield start
    for process in started:
        process.kill()
        process.wait()


def dead(scratch: Path) -> Owner:
    """An owner whose number now belongs to a later process."""
    return replace(Owner.here(scratch), started=1)


def test_what_a_dead_owner_left_is_ended(tmp_path: Path, bear: Bear) -> None:
    """All of it, and its number in use by a later process changes nothing."""
    left = [bear(dead(tmp_path).mark()).pid for _ in range(2)]
    assert {each.pid for each in strays(tmp_path)} == set(left)
    assert reap(tmp_path) == 2
    assert strays(tmp_path) == []


def test_nothing_else_is_ended(tmp_path: Path, bear: Bear) -> None:
    """A living owner's, another fleet's, another namespace's, and marks that say no owner."""
    gone = dead(tmp_path)
    others = [
        bear(mark).pid
        for mark in (
            Owner.here(tmp_path).mark(),
            dead(tmp_path / "other").mark(),
            replace(gone, place="1").mark(),
            replace(gone, place="").mark(),
            replace(gone, started=0).mark(),
            "0123456789abcdef",
            "",
            "a.b.c.d.e",
        )
    ]
    assert strays(tmp_path) == []
    assert reap(tmp_path) == 0
    assert all(psutil.pid_exists(each) for each in others)


def test_a_mark_names_its_owner(tmp_path: Path) -> None:
    """Each child has a mark of its own, and all of them say who ends it."""
    owner = Owner.here(tmp_path)
    first, second = owner.mark(), owner.mark()
    assert first != second
    assert Owner.of(first) == owner == Owner.of(second)
    assert not owner.is_dead()
    assert dead(tmp_path).is_dead()


def test_kill_9_of_a_worker_leaves_nothing(tmp_path: Path) -> None:
    """While it lives, frozen even, its own are left alone."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    stray = psutil.Process(int(owner.stdout.readline()))
    try:
        psutil.Process(owner.pid).suspend()
        assert reap(tmp_path) == 0
        owner.kill()
        wait_until(
            lambda: [each.pid for each in strays(tmp_path)] == [stray.pid],
            timeout=PATIENCE,
            what="a stray",
        )
        assert reap(tmp_path) == 1
        wait_until(lambda: is_over(stray), timeout=PATIENCE, what="its end")
    finally:
        owner.kill()
        owner.communicate()
        with contextlib.suppress(psutil.NoSuchProcess):
            stray.kill()
