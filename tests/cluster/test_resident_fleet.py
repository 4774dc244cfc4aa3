"""`proctor up`, `scale`, `status` and `down`, with real processes."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from draining import held_project, scale_in_the_midst
from real_campaigns import (
    AtStart,
    WhenAllAreBusy,
    attempts_of,
    begin,
    document,
    executions,
    only_campaign,
    run,
    type_in,
    write_project,
)
from waiting import is_over, wait_until

from proctor.deployments.standing.fleet_standing import Standing, look
from proctor.deployments.standing.services import down
from proctor.flows.campaigns.fleet_choice import choose_fleet, resident_fleet
from proctor.infra.errors import FleetUnavailable
from proctor.infra.fleet.files import FleetFiles, read_record
from proctor.infra.process_ref import marked
from proctor.infra.resident_mark import MARK

PATIENCE = 90.0


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory whose fleet is down afterwards, whatever the test did."""
    state = tmp_path / "state"
    yield state
    down(state, now=True, deadline_seconds=10)
    assert remains(state) == []


def remains(state: Path) -> list[str]:
    """Processes and locks of a fleet."""
    files = FleetFiles(state=state)
    processes: list[str] = []
    for each in marked(MARK, str(files.directory)):
        # Gone since it was found.
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(" ".join(each.cmdline()))
    supervisors = [
        str(each.info["cmdline"])
        for each in psutil.process_iter(["cmdline", "status"])
        if str(state) in (each.info["cmdline"] or [])
        and each.info["status"] != psutil.STATUS_ZOMBIE
    ]
    return [*processes, *supervisors, *map(str, files.directory.glob("*.lock"))]


def up(state: Path, *arguments: str) -> dict[str, Any]:
    done = type_in("up", "--prefect", "off", "--state", str(state), "--json", *arguments,
                   cwd=state.parent)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return document(done)


def refused(state: Path, *arguments: str, cwd: Path | None = None) -> str:
    """The one line with which something is refused; nothing is there afterwards."""
    done = type_in(*arguments, "--state", str(state), cwd=cwd or state.parent)
    assert done.returncode != 0
    *_, line = done.stderr.strip().splitlines()
    assert line.startswith("proctor: ")
    assert "Traceback" not in done.stderr
    return line


def settled(state: Path, what: str, workers: int) -> Standing:
    """Where things stand once so many workers have registered."""
    seen: list[Standing] = []

    def is_so() -> bool:
        standing = look(state)
        seen.append(standing)
        fresh = [each for each in standing.workers if each.state in {"idle", "busy"}]
        return standing.is_up and len(fresh) == len(standing.workers) == workers

    wait_until(is_so, timeout=PATIENCE, what=what)
    return seen[-1]


def incarnations(standing: Standing) -> dict[str, str]:
    return {
        each.instance.name: each.seen.facts.incarnation for each in standing.workers if each.seen
    }


def test_a_fleet_goes_up_is_changed_and_goes_down_again(state: Path) -> None:
    """Each command returns when it is so; a second `up` changes nothing; nothing is left."""
    told = up(state, "--cpu", "2", "--gpu", "1")
    assert told["started"]
    assert told["workers"] == {"cpu": 2, "gpu": 1}
    first = incarnations(look(state))
    assert sorted(first) == ["cpu-1", "cpu-2", "gpu-1"]

    again = up(state)
    assert (again["started"], again["changed"]) == (False, {})
    assert again["address"] == told["address"]
    assert incarnations(look(state)) == first

    changed = document(type_in("scale", "cpu=1", "--state", str(state), "--json", cwd=state.parent))
    assert changed["changed"] == {"cpu": [2, 1]}
    here = incarnations(look(state))
    assert here == {"cpu-1": first["cpu-1"], "gpu-1": first["gpu-1"]}

    assert up(state, "--highmem", "1")["workers"] == {"cpu": 1, "gpu": 1, "highmem": 1}

    shown = type_in("status", "--state", str(state), cwd=state.parent)
    assert told["address"] in shown.stdout
    assert "1 simulated" in shown.stdout
    listed = type_in("workers", "--state", str(state), "--json", cwd=state.parent)
    workers = {each["name"]: each for each in json.loads(listed.stdout)}
    assert workers["gpu-1"]["simulated_gpu"] is True
    assert workers["cpu-1"]["measured"]["cores"] >= 1

    gone = document(type_in("down", "--state", str(state), "--json", cwd=state.parent))
    assert gone["was_up"]
    assert remains(state) == []
    assert not FleetFiles(state=state).record.exists()
    assert resident_fleet(state) is None
    nothing = type_in("down", "--state", str(state), cwd=state.parent)
    assert (nothing.returncode, nothing.stdout) == (0, "nothing was up\n")


def test_two_people_go_up_at_once(state: Path) -> None:
    """One starts the fleet, the other finds it up."""
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda _: up(state, "--cpu", "1"), range(2)))

    assert sorted(each["started"] for each in told) == [False, True]
    assert told[0]["address"] == told[1]["address"]


def test_what_dies_comes_back(state: Path) -> None:
    """A worker under its name, a scheduler on its port, and after both the fleet is whole."""
    up(state, "--cpu", "2")
    before = settled(state, "two workers", 2)

    psutil.Process(int(incarnations(before)["cpu-1"].partition("-")[0])).kill()
    wait_until(
        lambda: incarnations(look(state)).get("cpu-1", "") != incarnations(before)["cpu-1"],
        timeout=PATIENCE,
        what="another life of cpu-1",
    )
    after = settled(state, "two workers again", 2)
    assert incarnations(after)["cpu-2"] == incarnations(before)["cpu-2"]

    assert before.record is not None
    assert before.record.scheduler is not None
    psutil.Process(before.record.scheduler.pid).kill()
    wait_until(
        lambda: (record := look(state).record) is not None and record.scheduler_restarts == 1,
        timeout=PATIENCE,
        what="the scheduler's death to be noticed",
    )
    whole = settled(state, "a whole fleet", 2)
    assert whole.record is not None
    assert whole.record.address == before.record.address
    assert not set(incarnations(whole).values()) & set(incarnations(after).values())


def test_a_killed_supervisor_takes_all_along_and_is_not_believed(state: Path) -> None:
    """Its record stays behind; nobody trusts it, and `up` starts anew on the same port."""
    told = up(state, "--cpu", "1")
    before = look(state)
    assert before.record is not None
    (worker,) = [int(each.partition("-")[0]) for each in incarnations(before).values()]
    psutil.Process(before.record.supervisor.pid).kill()
    wait_until(lambda: not psutil.pid_exists(worker), timeout=PATIENCE, what="its worker to end")
    # The scheduler has as much to leave, and may take longer.
    wait_until(lambda: remains(state) == [], timeout=PATIENCE, what="all others to end")

    assert read_record(FleetFiles(state=state).record) is not None
    assert resident_fleet(state) is None
    assert choose_fleet(state=state, certs=state, named="", slots=1, classes=()).address == ""
    assert not look(state).is_up

    assert up(state, "--cpu", "1")["address"] == told["address"]


def test_what_a_killed_supervisor_left_running_is_ended(state: Path, tmp_path: Path) -> None:
    """A test's own process outlives every signal of the kernel; the next command finds it."""
    up(state, "--cpu", "1")
    project = write_project(
        tmp_path / "p",
        {
            "test_leaves.py": """\
                import subprocess, sys, time, pathlib
                def test_leaves():
                    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                                             start_new_session=True)
                    pathlib.Path(__file__).with_name("pid").write_text(str(child.pid))
                    time.sleep(600)
                """
        },
    )
    campaign = begin(
        ["run", "--state", str(state), "--prefect", "off"], cwd=project, log=tmp_path / "log"
    )
    try:
        note = project / "pid"
        wait_until(lambda: note.exists() and note.read_text(), timeout=PATIENCE, what="the test")
        child = psutil.Process(int(note.read_text()))
        record = look(state).record
        assert record is not None
        psutil.Process(record.supervisor.pid).kill()
    finally:
        campaign.kill()
        campaign.wait()

    down(state, now=True, deadline_seconds=10)

    assert is_over(child)


def test_scaling_down_a_busy_fleet_loses_and_repeats_nothing(state: Path, tmp_path: Path) -> None:
    """Workers finish what they run; the campaign hears of it and sends them nothing more."""
    up(state, "--class", "cpu=3")
    project = held_project(tmp_path / "p", files="abcdef", cases=8)
    with ThreadPoolExecutor() as pool:
        done = []
        watcher = WhenAllAreBusy(
            3, lambda: done.append(pool.submit(scale_in_the_midst, project, state, "cpu=1", 2))
        )
        conducted = run(project, state, watcher=watcher)

    assert conducted.exit_code == 0
    assert done[0].result()["workers"] == {"cpu": 1}
    counts = executions(project)
    assert len(counts) == 48
    assert set(counts.values()) == {1}
    record = only_campaign(state)
    assert {len(attempts_of(record, case)) for case in record.cases} == {1}
    lines = (record.directory / "ledger-000001.jsonl").read_text().splitlines()
    news = [line for line in map(json.loads, lines) if line["k"] == "worker"]
    events = sorted(line["event"] for line in news)
    assert events == ["joined"] * 3 + ["left"] * 2


SLOW = {
    "test_slow.py": """\
        import time, pytest
        from executions import ran
        @pytest.mark.parametrize("n", range(16))
        def test_it(n):
            time.sleep(0.2)
            ran(f"{n}")
        """
}


def kill_supervisor(state: Path) -> None:
    record = look(state).record
    assert record is not None
    psutil.Process(record.supervisor.pid).kill()


def test_a_campaign_outlives_its_fleet_and_goes_on_with_the_next(
    state: Path, tmp_path: Path
) -> None:
    """The new fleet listens where the old one did; what was cut off runs again, unblamed."""
    up(state, "--class", "cpu=2")
    project = write_project(tmp_path / "p", SLOW)
    commands = ThreadPoolExecutor(1)
    coming = []

    def cut(_slot: object) -> None:
        kill_supervisor(state)
        coming.append(commands.submit(up, state, "--class", "cpu=2"))

    conducted = run(project, state, watcher=AtStart("test_slow.py::test_it[4]", cut))
    commands.shutdown()

    assert coming[0].result()["started"]
    assert conducted.exit_code == 0
    record = only_campaign(state)
    for case in record.cases:
        told = set(attempts_of(record, case))
        # A case moved from a busy slot to an idle one may be reached on both: run twice, counted
        # once.
        assert {"passed"} <= told <= {"infra-lost", "passed", "cancelled"}
    assert sum(conducted.counts.values()) == conducted.counts["passed"] == 16


def test_a_campaign_whose_fleet_stays_away_says_how_to_resume(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for as long as it says, and the next fleet finishes it."""
    monkeypatch.setattr("proctor.infra.engine.patience.EMPTY_FLEET_SECONDS", 1.0)
    up(state, "--class", "cpu=1")
    project = write_project(tmp_path / "p", SLOW)

    with pytest.raises(FleetUnavailable, match=r"for \d+ s; .*`proctor resume"):
        run(
            project,
            state,
            watcher=AtStart("test_slow.py::test_it[4]", lambda _slot: kill_supervisor(state)),
        )

    monkeypatch.undo()
    up(state, "--class", "cpu=1")
    resumed = run(project, state, resume="last")
    assert resumed.exit_code == 0
    assert {attempts_of(resumed, case)[-1] for case in only_campaign(state).cases} == {"passed"}


def test_a_campaign_whose_fleet_is_taken_down_hears_of_it(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what happened and what to do, and waits no minute for workers nobody will bring."""
    monkeypatch.setattr("proctor.infra.engine.patience.TAKEN_DOWN_SECONDS", 0.0)
    up(state, "--class", "cpu=1")
    project = write_project(tmp_path / "p", SLOW)
    with pytest.raises(FleetUnavailable, match=r"was taken down; .*`proctor resume"):
        run(
            project,
            state,
            watcher=AtStart(
                "test_slow.py::test_it[4]",
                lambda _slot: down(state, now=True, deadline_seconds=10),
            ),
        )


def test_a_drain_ends_at_its_deadline(state: Path, tmp_path: Path) -> None:
    """A case that goes on for ever is cut off, lost with the worker, and runs on the next one."""
    up(state, "--class", "cpu=1", "--drain", "1")
    project = write_project(
        tmp_path / "p",
        {
            "test_long.py": """\
                import pathlib, time
                from executions import ran
                def test_long():
                    mark = pathlib.Path(__file__).with_name("mark")
                    if not mark.exists():
                        mark.touch()
                        time.sleep(600)
                    ran("over")
                """
        },
    )
    commands = ThreadPoolExecutor(1)

    def replace_worker() -> None:
        # It is told as running a moment before it is.
        wait_until((project / "mark").exists, what="the first execution")
        for count in ("cpu=0", "cpu=1"):
            type_in("scale", count, "--state", str(state), cwd=tmp_path)

    case = "test_long.py::test_long"
    watcher = AtStart(case, lambda _slot: commands.submit(replace_worker))
    conducted = run(project, state, watcher=watcher)
    commands.shutdown()

    assert conducted.exit_code == 0
    assert attempts_of(conducted, case) == ["infra-lost", "passed"]
    assert executions(project) == {"over": 1}


def test_a_drained_worker_tears_its_session_down(state: Path, tmp_path: Path) -> None:
    """What fails there is heard, as at a campaign's end, though the worker leaves right after."""
    up(state, "--class", "cpu=2")
    project = write_project(
        tmp_path / "p",
        {
            **SLOW,
            "test_more.py": SLOW["test_slow.py"].replace('{n}"', 'more{n}"'),
            "conftest.py": """\
                import pytest
                from executions import ran
                @pytest.fixture(scope="session", autouse=True)
                def service():
                    ran("begun")
                    yield
                    ran("ended")
                    raise RuntimeError("the service did not stop")
                """,
        },
    )
    commands = ThreadPoolExecutor(1)

    def scale(_slot: object) -> None:
        commands.submit(type_in, "scale", "cpu=1", "--state", str(state), cwd=tmp_path)

    conducted = run(project, state, watcher=AtStart("test_slow.py::test_it[8]", scale))
    commands.shutdown()

    ran = executions(project)
    record = only_campaign(state)
    assert (ran["begun"], ran["ended"]) == (2, 2)
    assert conducted.exit_code == 1
    assert sum("error" in attempts_of(record, case) for case in record.cases) == 2


def test_bad_numbers_and_classes_are_one_line_and_start_nothing(state: Path) -> None:
    """Unknown class, negative number, over its max, a taken port, no such device."""
    templates = state.parent / "classes.toml"
    templates.write_text("[classes.big]\nmax = 1\n[classes.real]\ngpus = 9\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, words in (
            (["--class", "bgi"], "no worker class 'bgi'"),
            (["--cpu", "-1"], "cpu=-1 is no number of workers"),
            (["--class", "big=2"], "class big has at most 1 workers, 2 were asked for"),
            (["--port", port], f"port {port} is taken"),
            (["--class", "real"], "needs gpu=9, this machine has"),
            (["--class", "cpu:slots=-2"], "slots=-2 is no capacity"),
        ):
            line = refused(state, "up", "--prefect", "off", "--templates", str(templates),
                           *arguments)  # fmt: skip
            assert words in line
            assert remains(state) == []
    assert "no fleet is up" in refused(state, "scale", "cpu=1")


def test_classes_of_the_project_are_known(state: Path) -> None:
    """[tool.proctor.classes] in pyproject.toml; a broken one is said with its place."""
    project = state.parent / "project"
    project.mkdir()
    table = "[tool.proctor]\ntimeout = 9\n[tool.proctor.classes.builder]\n"
    (project / "pyproject.toml").write_text(f"{table}slots = 1\nmax = 1\ntags = ['x']\n")
    line = refused(state, "up", "--prefect", "off", "--class", "builder=2", cwd=project)
    assert "class builder has at most 1 workers" in line

    (project / "pyproject.toml").write_text(f"{table}slots = -1\n")
    line = refused(state, "up", "--prefect", "off", "--class", "builder", cwd=project)
    assert "pyproject.toml: classes: builder.slots -1 is less than 0" in line
