"""Under `proctor up` a campaign whose process is killed comes back and completes by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from real_campaigns import begin, executions, judgements, type_in, write_project
from waiting import wait_until

from proctor.deployments.standing.services import down
from proctor.infra.fleet.files import FleetFiles, read_record
from proctor.infra.judge import check_invariants
from proctor.infra.ledgers.campaigns import CampaignSummary, list_campaigns
from proctor.infra.ledgers.record import read_campaign

CASES = 40
# Only what hangs comes near.
PATIENCE = 90.0
# While a file says so, it gets no further than this.
HELD = CASES // 8
SUITE = f"""\
import time
import pytest
from executions import ran, wait_for

@pytest.mark.parametrize("n", range({CASES}))
def test_case(n):
    if n >= {HELD}:
        wait_for("hold", there=False)
    time.sleep(0.1)
    ran(str(n))
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The state directory of a fleet that is up; nothing of it is left afterwards."""
    state = tmp_path / "state"
    try:
        done = type_in(
            *("up", "--prefect", "off", "--state", str(state), "--cpu", "1"), cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        yield state
    finally:
        down(state, now=True, deadline_seconds=10)
        for each in list_campaigns(state):
            if each.state == "running":
                # A process that resumes outlives the fleet: not the test.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(read_campaign(each.directory).header.pid, signal.SIGKILL)


def only(state: Path) -> CampaignSummary:
    (found,) = list_campaigns(state)
    return found


@pytest.mark.parametrize("scheduler", [False, True], ids=["alone", "and the scheduler"])
def test_a_killed_campaign_comes_back_by_itself(
    tmp_path: Path, state: Path, scheduler: bool
) -> None:
    """Each case passes and counts once, nobody types anything, and it is told afterwards."""
    project = write_project(tmp_path / "p", {"test_many.py": SUITE, "hold": ""})
    process = begin(
        ["run", "--prefect", "off", "--state", str(state)], cwd=project, log=tmp_path / "log"
    )
    try:
        wait_until(
            lambda: executions(project).total() >= HELD,
            timeout=PATIENCE,
            what="some of the cases",
        )
        if scheduler:
            record = read_record(FleetFiles(state=state).record)
            assert record is not None
            assert record.scheduler is not None
            os.kill(record.scheduler.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    (project / "hold").unlink()
    killed = time.time()
    wait_until(
        lambda: only(state).state not in {"running", "interrupted"},
        timeout=PATIENCE,
        what="its end",
    )
    summary = only(state)
    campaign = read_campaign(summary.directory)
    print(f"resumed after {campaign.headers[1].at - killed:.1f} s")
    assert (summary.state, summary.exit_code) == ("completed", 0)
    assert check_invariants(campaign) == []
    assert set(judgements(campaign).values()) == {"passed"}
    assert len(campaign.cases) == CASES == len(executions(project))
    assert len(campaign.headers) == 2
    listed = type_in("list", "--state", str(state), cwd=tmp_path)
    assert "resumed by itself" in listed.stdout
    wait_until(lambda: _has_ended(campaign.header.pid), timeout=PATIENCE, what="its process")


def test_one_that_was_to_end_when_it_died_ends_as_cancelled(tmp_path: Path, state: Path) -> None:
    """Nobody has to type anything; its reports are there, and it says how to run on."""
    project = write_project(tmp_path / "p", {"test_many.py": SUITE, "hold": ""})
    process = begin(
        ["run", "--prefect", "off", "--state", str(state)], cwd=project, log=tmp_path / "log"
    )
    try:
        # What the ledger was told in the last fifth of a second goes with the process.
        wait_until(
            lambda: executions(project) and read_campaign(only(state).directory).cases,
            timeout=PATIENCE,
            what="the first case, and the ledger to have it",
        )
        process.send_signal(signal.SIGSTOP)
        (only(state).directory / "cancel").touch()
    finally:
        process.kill()
        process.wait()
    (project / "hold").unlink()
    wait_until(lambda: only(state).state == "cancelled", timeout=PATIENCE, what="its end")
    report = only(state).directory / "report" / "summary.md"
    wait_until(report.exists, timeout=PATIENCE, what="its report")
    campaign = read_campaign(only(state).directory)
    assert check_invariants(campaign) == []
    assert "not-run" in judgements(campaign).values()
    assert any("proctor resume --run-on" in note.text for note in campaign.notes)
    wait_until(lambda: _has_ended(campaign.header.pid), timeout=PATIENCE, what="its process")
    resumed = type_in("resume", "--run-on", "--state", str(state), cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert len(executions(project)) == CASES


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
