"""The mirror against a real Prefect server, in processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from campaign_journals import JournalWriter
from real_prefect import History, resident_server, resident_state
from waiting import wait_until

from proctor.flows.mirroring import mirror_process
from proctor.flows.mirroring.mirror import mirror as tell
from proctor.flows.mirroring.mirror_process import spawn_mirror
from proctor.flows.server.prefect_server import ServerRecord

LIMIT = 240.0


@pytest.fixture
def server():
    return resident_server()


@pytest.fixture
def history(server):
    return History(server.ensure().api_url)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """The mirror finds the resident server by itself, whatever the tester has configured."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_PROFILE", "ephemeral")
    monkeypatch.setenv("PREFECT_HOME", str(resident_state() / "client"))


def campaign_directory(name: str) -> Path:
    return resident_state() / "campaigns" / name


def mirror(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proctor.flows.mirroring.mirror", str(directory)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def is_gone(pid: int) -> bool:
    """A mirror that this process started stays behind as a zombie: nobody waits for it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def the_run(history: History, campaign: str) -> dict[str, object]:
    (run,) = history.runs(f"campaign:{campaign}")
    return run


def test_a_campaign_of_yesterday_stands_in_the_history_as_of_yesterday(history):
    """Start, end, states, phases, log and artifacts are the campaign's, not the telling's."""
    began = time.time() - 86_400
    directory = campaign_directory("yesterday")
    JournalWriter(directory, began=began).finish()

    told = mirror(directory)

    assert told.returncode == 0, told.stderr
    run = the_run(history, "yesterday")
    assert run["state_name"] == "Failed"
    assert run["total_run_time"] == 8.0
    assert run["run_count"] == 1
    assert history.states(str(run["id"])) == [
        ("Running", ""),
        ("Failed", "2 of 6 cases failed: 2 failed, 4 passed"),
    ]
    assert history.phases(str(run["id"])) == {
        "collect": ("Completed", 1.0),
        "plan": ("Completed", 0.5),
        "run": ("Completed", 6.0),
        "judge": ("Completed", 0.25),
        "report": ("Completed", 0.25),
    }
    artifacts = history.artifacts(str(run["id"]))
    assert artifacts["proctor-progress"] == 100.0
    assert [row["case"] for row in json.loads(artifacts["proctor-failures"])] == [
        "tests/test_tree.py::test_0",
        "tests/test_tree.py::test_3",
    ]
    assert "a worker was slow" in history.lines(str(run["id"]))


def test_mirroring_again_tells_nothing_twice_even_without_its_memory(history):
    """The server's own record is enough to go on from."""
    directory = campaign_directory("again")
    JournalWriter(directory, began=time.time() - 100).finish()
    assert mirror(directory).returncode == 0
    run = str(the_run(history, "again")["id"])
    before = (history.states(run), history.lines(run), history.artifacts(run))

    (directory / "mirror" / "told.json").unlink()
    assert mirror(directory).returncode == 0

    assert (history.states(run)[:2], history.lines(run)) == before[:2]
    assert sorted(history.artifacts(run)) == sorted(before[2])
    assert history.events(run, "proctor.campaign") == [
        "proctor.campaign.finished",
        "proctor.campaign.started",
    ]


def test_killing_the_server_in_the_middle_loses_no_history(server, history):
    """The mirror brings it back and tells on; the campaign never noticed."""
    directory = campaign_directory("bumpy")
    writer = JournalWriter(directory, began=time.time(), live=True)
    steps = writer.steps()
    for _ in range(4):
        next(steps)
    pid = spawn_mirror(directory)
    assert pid is not None
    wait_until(
        lambda: history.runs("campaign:bumpy"), timeout=LIMIT, what="the flow run of the campaign"
    )

    killed = server.ensure().pid
    psutil.Process(killed).kill()
    for _ in steps:
        pass
    wait_until(lambda: is_gone(pid), timeout=LIMIT, what="the mirror's end")

    assert server.ensure().pid != killed
    run = str(the_run(history, "bumpy")["id"])
    assert [name for name, _ in history.states(run)] == ["Running", "Failed"]
    assert {name: state for name, (state, _) in history.phases(run).items()} == dict.fromkeys(
        ("collect", "plan", "run", "judge", "report"), "Completed"
    )
    assert len(history.lines(run)) == len(set(history.lines(run)))


def test_a_second_mirror_leaves_the_first_alone(history):
    """Two at once would tell everything twice."""
    directory = campaign_directory("contended")
    writer = JournalWriter(directory, began=time.time(), live=True)
    next(steps := writer.steps())
    pid = spawn_mirror(directory)
    assert pid is not None
    wait_until(
        lambda: history.runs("campaign:contended"), timeout=LIMIT, what="the first mirror's run"
    )

    second = mirror(directory)

    assert second.returncode == 0
    assert "another mirror" in second.stderr
    for _ in steps:
        pass
    wait_until(lambda: is_gone(pid), timeout=LIMIT, what="the first mirror's end")
    assert len(history.runs("campaign:contended")) == 1


def test_the_mirror_yields_to_the_tests(history):
    """It runs at the lowest priority, in its own group as well."""
    directory = campaign_directory("polite")
    writer = JournalWriter(directory, began=time.time(), live=True)
    next(steps := writer.steps())
    pid = spawn_mirror(directory)
    assert pid is not None
    process = psutil.Process(pid)
    wait_until(lambda: process.nice() == 19, timeout=LIMIT, what="niceness 19")
    group = Path(f"/proc/{pid}/autogroup")
    if group.exists():
        # Kernels that group sessions look at the group first.
        wait_until(lambda: "nice 19" in group.read_text(), timeout=LIMIT, what="a nice group")
    wait_until(
        lambda: history.runs("campaign:polite"), timeout=LIMIT, what="the flow run of the campaign"
    )
    for _ in steps:
        pass
    wait_until(lambda: is_gone(pid), timeout=LIMIT, what="the mirror's end")


def test_a_mirror_started_by_hand_leaves_its_neighbours_alone(history):
    """It shares its session with the shell that started it: that stays as it is."""
    group = Path("/proc/self/autogroup")
    before = group.read_text() if group.exists() else ""
    directory = campaign_directory("by-hand")
    JournalWriter(directory, began=time.time() - 100).finish()

    assert mirror(directory).returncode == 0

    assert (group.read_text() if group.exists() else "") == before


def test_a_server_that_is_stopped_while_a_mirror_loads_stays_stopped(tmp_path, monkeypatch):
    """Loading takes a minute on a busy machine: everything was taken down meanwhile."""
    commands: list[list[str]] = []
    monkeypatch.setattr(
        mirror_process, "spawn_detached", lambda command, **_: commands.append(command)
    )
    directory = tmp_path / "campaigns" / "late"
    JournalWriter(directory, began=time.time() - 100).finish()
    spawn_mirror(directory)
    (command,) = commands
    stopped = ServerRecord(port=1, pid=0, created=0.0, started=0.0, stopped=time.time() + 0.1)
    record = tmp_path / "prefect" / "server.json"
    record.parent.mkdir()
    record.write_text(json.dumps(asdict(stopped)))

    since = float(command[command.index("--since") + 1])
    assert not tell(directory, since=since, patience=0.0)

    assert json.loads(record.read_text()) == asdict(stopped)


def test_it_can_be_switched_off(tmp_path):
    """With prefect = off no process is started."""
    assert spawn_mirror(tmp_path, prefect="off") is None
