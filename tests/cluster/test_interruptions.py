"""Campaigns that are ended from outside say so, blame no case and can be resumed."""

from __future__ import annotations

import signal
import textwrap
from pathlib import Path

import pytest
from real_campaigns import (
    PATIENCE_SECONDS,
    AtStart,
    attempts_of,
    begin,
    executions,
    judgements,
    only_campaign,
    run,
    type_in,
    write_project,
)
from waiting import wait_until

HANGS_ONCE = {
    "test_hang.py": """\
        from executions import ran
        from pathlib import Path
        import signal

        def test_before():
            ran("before")

        def test_hangs_once():
            mark = Path(__file__).with_name("mark")
            if not mark.exists():
                mark.touch()
                ran("hangs")
                signal.pause()

        def test_after():
            ran("after")
        """
}
BEFORE, HANGS = "test_hang.py::test_before", "test_hang.py::test_hangs_once"
# By one worker with one slot: whatever comes before it is told before it.
ONE_SLOT = "import pytest\npytestmark = pytest.mark.resources(gpu=1)\n"


def test_a_cancel_file_ends_the_campaign(tmp_path: Path, state: Path, fleet: str) -> None:
    """What ran is killed and not blamed; resuming runs what is left, and only that."""
    text = ONE_SLOT + textwrap.dedent(HANGS_ONCE["test_hang.py"])
    project = write_project(tmp_path / "p", {"test_hang.py": text})

    def cancel(_slot: object) -> None:
        # It is told as running a moment before it is.
        wait_until(lambda: executions(project)["hangs"], what="the hang")
        (only_campaign(state).directory / "cancel").touch()

    conducted = run(project, state, fleet=fleet, watcher=AtStart(HANGS, cancel))
    assert conducted.exit_code == 2
    assert attempts_of(conducted, HANGS) in ([], ["cancelled"])
    assert judgements(conducted)[HANGS] == "not-run"
    record = only_campaign(state)
    assert record.state == "cancelled"
    resumed = run(project, state, fleet=fleet, resume="last")
    assert resumed.exit_code == 0
    assert resumed.counts == {"passed": 3}
    assert executions(project) == {"before": 1, "hangs": 1, "after": 1}


def test_a_deadline_ends_the_campaign_with_its_own_code(
    tmp_path: Path, state: Path, fleet: str
) -> None:
    """Exit code 9, and the case that ran meanwhile is not blamed."""
    project = write_project(tmp_path / "p", HANGS_ONCE)
    conducted = run(project, state, fleet=fleet, deadline=4)
    assert conducted.exit_code == 9
    assert judgements(conducted).get(HANGS, "not-run") == "not-run"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_campaign_in_order(
    tmp_path: Path, state: Path, number: signal.Signals
) -> None:
    """Ctrl-C and a polite kill: exit code 2, a closed ledger, nobody blamed, resumable."""
    project = write_project(tmp_path / "p", HANGS_ONCE)
    said = tmp_path / "said.log"
    arguments = ["run", "--state", str(state), "-n", "1", "--prefect", "off"]
    process = begin(arguments, cwd=project, log=said)
    try:
        wait_until(lambda: executions(project)["hangs"], timeout=PATIENCE_SECONDS, what="the hang")
        wait_until(
            lambda: attempts_of(only_campaign(state), BEFORE) == ["passed"],
            what="the first result in the ledger",
        )
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == 2, said.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in said.read_text()
    record = only_campaign(state)
    assert record.state == "cancelled"
    assert judgements(record)[HANGS] == "not-run"
    resumed = type_in("resume", "--state", str(state), cwd=project)
    assert resumed.returncode == 0, resumed.stderr
    assert executions(project) == {"before": 1, "hangs": 1, "after": 1}
