"""The process that takes history in is kept, and the store is in step while a fleet is up."""

from __future__ import annotations

import contextlib
import os
import sys

import psutil
import pytest
from waiting import wait_until

from proctor.deployments.standing import history_keeper
from proctor.deployments.standing.history_keeper import SETTLED_SECONDS, HistoryKeeper
from proctor.flows.campaigns.preparation import project_directory
from proctor.infra import predictions, timings
from proctor.monitoring.store import Store
from proctor.monitoring.trends.demo_history import PROJECT, write_demo


@pytest.fixture
def keeper(tmp_path):
    made = HistoryKeeper(tmp_path, log=tmp_path / "history.log", environment=os.environ, now=0.0)
    yield made
    made.close()


def child() -> psutil.Process | None:
    """The living one.

    Children that have ended and were not waited for have no command line; one that has just been
    forked has this process's for a moment.
    """
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            # A zombie is a NoSuchProcess to psutil.
            if "proctor.flows.remembering.remember_follow" in " ".join(each.cmdline()):
                return each
    return None


def started() -> psutil.Process:
    wait_until(lambda: child() is not None, timeout=60, what="the process that takes history in")
    found = child()
    assert found is not None
    return found


def is_waitable(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def test_a_fleet_that_comes_and_goes_starts_nothing(keeper):
    """Before it has settled."""
    keeper.tend("", SETTLED_SECONDS - 1)
    assert child() is None


def test_what_the_next_campaign_is_planned_by_follows(keeper, tmp_path):
    """A campaign whose own process was killed before it could foresee anything."""
    write_demo(tmp_path, campaigns=2)
    place = project_directory(tmp_path, PROJECT)
    timings.save(timings.Timings(), place)
    keeper.tend("", SETTLED_SECONDS)
    wait_until(
        lambda: bool(predictions.load(place).cases), timeout=240, what="predictions of the project"
    )


def test_campaigns_come_into_the_store_and_a_killed_process_comes_back(keeper, tmp_path):
    """No server is needed; after a pause it is started again; it ends with its keeper."""
    write_demo(tmp_path, campaigns=2)
    keeper.tend("", SETTLED_SECONDS)
    first = started()

    def is_there() -> bool:
        store = Store(tmp_path)
        if not store.exists:
            return False
        with store.reading() as connection:
            return connection.execute("SELECT count(*) FROM campaigns").fetchall() == [(2,)]

    wait_until(is_there, timeout=240, what="both campaigns in the store")
    first.kill()
    # It reads as a zombie while its other threads still end; its keeper is told once all have.
    wait_until(lambda: is_waitable(first.pid), timeout=60, what="its end")
    now = SETTLED_SECONDS + 1
    keeper.tend("", now)
    assert child() is None
    keeper.tend("", now + history_keeper.PAUSE_SECONDS)
    second = started()
    keeper.close()
    assert not second.is_running()


def test_it_ends_with_the_one_that_started_it(tmp_path):
    """Also where that one is killed without a word."""
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from proctor.deployments.standing.history_keeper import HistoryKeeper\n"
        f"k = HistoryKeeper(Path({str(tmp_path)!r}), log=Path({str(tmp_path / 'log')!r}), "
        "environment=os.environ, now=-100.0)\n"
        "k.tend('', 0.0); print(k._process.pid, flush=True); time.sleep(100)\n"
    )
    with psutil.Popen([sys.executable, "-c", code], stdout=-1, text=True) as parent:
        kept = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    wait_until(
        lambda: not kept.is_running() or kept.status() == psutil.STATUS_ZOMBIE,
        timeout=60,
        what="its end",
    )
