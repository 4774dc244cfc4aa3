"""kill -9 of a real worker: what its tests had started does not outlive it for long."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from faulty_fleets import FaultyFleet, faulty_fleet
from real_campaigns import begin, judgements, only_campaign, write_project
from waiting import is_over, wait_until

from proctor.infra.faults.targets import FaultRefused

# Only what hangs comes near.
PATIENCE = 90.0
# A daemon by the book: of no parent, no session and no group of its starter, with closed files.
SUITE = """\
from pathlib import Path
import os
import signal
import subprocess
import sys

DAEMON = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(300)"

def test_daemon():
    told = Path(__file__).with_name("daemon")
    if not told.exists():
        subprocess.run([sys.executable, "-c", DAEMON.replace(
            "time.sleep", f"open({str(told)!r}, 'w').write(str(os.getpid()));time.sleep")],
            start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, check=True)
        signal.pause()
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FaultyFleet]:
    with faulty_fleet(tmp_path / "state", "--cpu", "1") as fleet:
        yield fleet


def daemon_of(project: Path) -> psutil.Process:
    """The one that the test started, once it has said its number."""
    told = project / "daemon"
    wait_until(
        lambda: told.exists() and told.read_text().isdecimal(),
        timeout=PATIENCE,
        what="the daemon of a test",
    )
    return psutil.Process(int(told.read_text()))


def busy_worker(fleet: FaultyFleet) -> psutil.Process:
    """The one that runs something, once the ledger says so: the test may begin before that."""
    found: list[psutil.Process] = []

    def look() -> bool:
        with contextlib.suppress(FaultRefused):
            process = fleet.ref("worker:busy").process
            assert process is not None
            found.append(process)
        return bool(found)

    wait_until(look, timeout=PATIENCE, what="a busy worker")
    return found[0]


def test_a_killed_worker_leaves_no_daemon_of_a_test(tmp_path: Path, fleet: FaultyFleet) -> None:
    """It is ended while the fleet goes on; nobody else's process is, and the case runs again."""
    project = write_project(tmp_path / "p", {"test_daemon.py": SUITE})
    arguments = ["run", "--prefect", "off", "--state", str(fleet.state)]
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    campaign = begin(arguments, cwd=project, log=tmp_path / "log")
    stray: psutil.Process | None = None
    try:
        stray = daemon_of(project)
        worker = busy_worker(fleet)
        assert worker.pid not in {each.pid for each in stray.parents()}
        worker.kill()
        left = stray
        wait_until(lambda: is_over(left), timeout=PATIENCE, what="the end of the daemon")
        assert campaign.wait(PATIENCE) == 0
        assert bystander.poll() is None
    finally:
        for each in (campaign, bystander):
            each.kill()
            each.wait()
        if stray is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                stray.kill()
    record = only_campaign(fleet.state)
    assert judgements(record) == {"test_daemon.py::test_daemon": "passed"}
    # Whether its start had been told when the worker died is a matter of milliseconds.
    *lost, last = [str(each.outcome) for each in record.attempts["test_daemon.py::test_daemon"]]
    assert (set(lost) | {"infra-lost"}, last) == ({"infra-lost"}, "passed")
