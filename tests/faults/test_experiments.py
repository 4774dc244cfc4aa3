"""Whole experiments by the command and by the flow, on a real fleet; and what refuses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_fleets import FaultyFleet, faulty_fleet
from prefect.settings import PREFECT_API_URL, temporary_settings
from real_campaigns import document, type_in, write_project
from real_prefect import resident_server

from proctor.deployments.standing.services import down
from proctor.flows.inject import inject_faults
from proctor.infra.faults.lease import FaultFiles, held
from proctor.infra.faults.targets import FaultRefused
from proctor.infra.fleet.chaos_mark import mark_path

SUITE = {
    f"test_{letter}.py": """\
        import time
        import pytest

        @pytest.mark.parametrize("n", range(12))
        def test_case(n):
            time.sleep(0.1)
        """
    for letter in "abcd"
}
LIMITS = {"dead": "60s", "frozen": "60s", "recovery": "60s"}
EXPERIMENT: dict[str, Any] = {
    "title": "A killed and a slow worker",
    "seed": 3,
    "deadline": "200s",
    # How soon is measured elsewhere, on a machine that does nothing else.
    "limits": LIMITS,
    "load": {"arguments": ["--prefect", "off"], "directory": "p"},
    "steady_state": [{"probe": "workers", "at_least": 2, "within": "60s"}],
    "method": [
        {"fault": "kill", "target": "worker:busy", "after": 5},
        {"fault": "latency", "target": "worker:any", "after": 10, "for": "1s"},
    ],
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyFleet]:
    place = tmp_path_factory.mktemp("experiments")
    write_project(place / "p", SUITE)
    with faulty_fleet(place / "state", "--cpu", "2") as fleet:
        yield fleet


def write(fleet: FaultyFleet, given: object, name: str = "e.json") -> str:
    path = fleet.state.parent / name
    path.write_text(json.dumps(given))
    return str(path)


def test_the_command_runs_one_and_keeps_its_records(fleet: FaultyFleet) -> None:
    """Valid; a journal in Chaos Toolkit's format, a page, lines for the store."""
    path = write(fleet, EXPERIMENT)
    done = type_in("chaos", "run", path, "--state", str(fleet.state), "--json", cwd=fleet.state)
    assert done.returncode == 0, done.stdout + done.stderr
    told = document(done)
    assert (told["status"], told["deviated"]) == ("completed", False)
    assert told["steady_states"]["before"]["steady_state_met"] is True
    assert [each["status"] for each in told["run"]] == ["succeeded", "succeeded"]
    assert told["experiment"] == EXPERIMENT
    ours = told["proctor"]
    assert ours["validity"] == "valid"
    found = {each["invariant"]: each["validity"] for each in ours["findings"]}
    assert {"ended", "sound", "none-lost", "none-blamed", "undone"} < set(found)
    # Those of the record too.
    assert {"no-case-lost", "one-verdict", "detected-in-time"} < set(found)
    assert set(found.values()) == {"valid"}
    assert all(
        each["commits"] >= least for each, least in zip(ours["faults"], (5, 10), strict=True)
    )

    (page,) = FaultFiles(state=fleet.state).directory.glob("experiments/*/timeline.html")
    text = page.read_text()
    assert text.count('class="shade"') == 2
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")

    listed = type_in("chaos", "list", "--state", str(fleet.state), "--json", cwd=fleet.state)
    assert [each["fault"] for each in document(listed)["undone"]] == ["kill", "latency"]
    told = type_in("store", "ingest", "--state", str(fleet.state), cwd=fleet.state)
    assert told.returncode == 0, told.stderr
    asked = "SELECT kind, event FROM faults ORDER BY happened_at"
    answer = type_in("sql", asked, "--csv", "--state", str(fleet.state), cwd=fleet.state)
    rows = [tuple(line.split(",")) for line in answer.stdout.split()[1:]]
    kill = [("kill", "injected"), ("kill", "undone")]
    # When its time is over, injector and reaper both see to it: the first says so.
    assert sorted(rows) in [
        [*kill, *sorted([("latency", "injected"), ("latency", end)])]
        for end in ("undone", "expired")
    ]


def test_a_schedule_has_one_verdict_live_and_simulated(fleet: FaultyFleet) -> None:
    """With a suite of its own, and with the faults that its file names."""
    fleet.await_workers(2)
    schedule = {
        "title": "replayed",
        "seed": 2,
        "deadline": "200s",
        "limits": LIMITS,
        "stage": {"workers": 2, "files": 4, "cases_in_file": 8, "case_seconds": 0.05},
        "method": [
            {"fault": "kill", "target": "runner:busy", "after": 4},
            {"fault": "kill", "target": "worker:#0", "after": 12},
        ],
    }
    path = write(fleet, schedule, "schedule.json")
    told = ("chaos", "replay", path, "--state", str(fleet.state), "--json")
    live = type_in(*told, cwd=fleet.state)
    assert live.returncode == 0, live.stdout + live.stderr
    ours = document(live)["proctor"]
    assert ours["validity"] == "valid"
    assert [each["fault"] for each in ours["faults"]] == ["kill", "kill"]
    simulated = type_in(*told, "--simulated", cwd=fleet.state)
    assert simulated.returncode == 0, simulated.stdout + simulated.stderr
    assert document(simulated)["validity"] == "valid"
    assert document(simulated)["counts"] == {"passed": 32}
    # Nobody's suite ran: its campaign does not stand among those of people.
    listed = type_in("list", "--json", "--state", str(fleet.state), cwd=fleet.state)
    every = type_in("list", "--all", "--json", "--state", str(fleet.state), cwd=fleet.state)
    (mine,) = ours["campaigns"]
    names = [{each["campaign"] for each in json.loads(each.stdout)} for each in (listed, every)]
    assert [mine in each for each in names] == [False, True]


def test_an_experiment_is_replayed_under_its_own_load(fleet: FaultyFleet) -> None:
    """The suite that its file names, and not one that is made up."""
    fleet.await_workers(2)
    schedule = {**EXPERIMENT, "method": EXPERIMENT["method"][:1]}
    path = write(fleet, schedule, "own.json")
    done = type_in(
        *("chaos", "replay", path, "--state", str(fleet.state), "--json"), cwd=fleet.state
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "made up" not in done.stderr
    told = document(done)
    assert told["experiment"]["load"]["directory"] == str(fleet.state.parent / "p")
    (mine,) = told["proctor"]["campaigns"]
    listed = type_in("list", "--json", "--state", str(fleet.state), cwd=fleet.state)
    assert mine in {each["campaign"] for each in json.loads(listed.stdout)}


# Prefect's client leaves its sockets to the collector of garbage.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_flow_runs_one_too(fleet: FaultyFleet) -> None:
    """With the document instead of a file, and a result of plain values."""
    fleet.await_workers(2)
    place = str(fleet.state.parent / "p")
    given = {**EXPERIMENT, "load": {"arguments": ["--prefect", "off"], "directory": place}}
    url = resident_server().ensure().api_url
    with temporary_settings({PREFECT_API_URL: url}):
        result = asyncio.run(inject_faults(document=given, seed=4, state=str(fleet.state)))
        with pytest.raises(FaultRefused, match="there is no fault"):
            asyncio.run(
                inject_faults(document={**given, "method": [{"fault": "x", "target": "y"}]})
            )
    assert (result.validity, result.seed, result.faults) == ("valid", 4, 2)
    assert Path(result.timeline).exists()


def test_one_without_campaigns_shows_nothing(fleet: FaultyFleet) -> None:
    """Unknown is not a pass."""
    fleet.await_workers(2)
    path = write(fleet, {"title": "idle", "method": [{"pause": 0.1}]})
    done = type_in("chaos", "run", path, "--state", str(fleet.state), cwd=fleet.state)
    assert done.returncode == 6
    assert "idle: unknown" in done.stdout


def test_a_steady_state_that_does_not_hold_ends_it(fleet: FaultyFleet) -> None:
    """Nothing is injected into what is broken already."""
    fleet.await_workers(2)
    probe = {"probe": "workers", "at_least": 99, "within": 0.2}
    path = write(fleet, {**EXPERIMENT, "steady_state": [probe]})
    done = type_in("chaos", "run", path, "--state", str(fleet.state), "--json", cwd=fleet.state)
    assert done.returncode == 6
    assert (document(done)["status"], document(done)["run"]) == ("failed", [])


def test_one_that_takes_too_long_is_aborted_and_undone(fleet: FaultyFleet) -> None:
    """Its faults end with it."""
    fleet.await_workers(2)
    method = [
        {"fault": "latency", "target": "worker", "for": "60s"},
        {"fault": "kill", "target": "worker", "at": "50s"},
    ]
    path = write(fleet, {"title": "long", "deadline": 1, "method": method})
    done = type_in("chaos", "run", path, "--state", str(fleet.state), "--json", cwd=fleet.state)
    assert done.returncode == 9
    assert document(done)["status"] == "aborted"
    assert held(fleet.faults) == []


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"fault": "kill", "target": "worker:cpu-9"}, "there is no worker:cpu-9 now; there are"),
        ({"fault": "kill", "target": "prefect"}, "there is no prefect now"),
        ({"fault": "kill", "target": "campaign"}, "there is no campaign now"),
        ({"fault": "memory", "target": "host", "with": {"size": "90TB"}}, "would take the"),
        ({"fault": "fill-disk", "target": "state", "with": {"most": "1B"}}, "is not this fleet's"),
        ({"fault": "netem", "target": "netns:none"}, "netem cannot be here|no network namespace"),
    ],
)
def test_what_cannot_be_done_here_is_refused_beforehand(
    fleet: FaultyFleet, step: dict[str, object], words: str
) -> None:
    """In one line, with nothing touched: not even the first of two steps."""
    fleet.await_workers(2)
    before = sorted(fleet.targets.workers())
    first = {"fault": "latency", "target": "worker"}
    path = write(fleet, {"title": "t", "method": [first, step]})
    done = type_in("chaos", "run", path, "--check", "--state", str(fleet.state), cwd=fleet.state)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert any(each in done.stderr for each in words.split("|")), done.stderr
    assert (held(fleet.faults), sorted(fleet.targets.workers())) == ([], before)


def test_a_fleet_that_nobody_gave_is_protected(fleet: FaultyFleet) -> None:
    """Also one that is up: only the mark makes it a target."""
    fleet.await_workers(2)
    path = write(fleet, EXPERIMENT)
    mark_path(fleet.files.directory).unlink()
    try:
        done = type_in("chaos", "run", path, "--state", str(fleet.state), cwd=fleet.state)
        assert done.returncode == 4
        assert "is not marked as a target" in done.stderr
    finally:
        arguments = ("--chaos-target", "--prefect", "off", "--state", str(fleet.state))
        assert type_in("up", *arguments, cwd=fleet.state).returncode == 0


def test_faults_are_undone_when_somebody_asks(fleet: FaultyFleet) -> None:
    """All of them or one by its id; an id that is none is refused."""
    fleet.await_workers(2)
    lease = fleet.inject("latency", "worker", seconds=60)
    state = ("--state", str(fleet.state))
    shown = type_in("chaos", "list", *state, cwd=fleet.state)
    assert f"{lease.id}  latency on {lease.target}  acts" in shown.stdout
    wrong = type_in("chaos", "undo", "f-none", *state, cwd=fleet.state)
    assert (wrong.returncode, "acts now" in wrong.stderr) == (4, True)
    undone = type_in("chaos", "undo", lease.id, *state, "--json", cwd=fleet.state)
    assert document(undone) == {"undone": [lease.id], "problems": []}
    assert held(fleet.faults) == []


def test_down_takes_the_mark_along(tmp_path: Path) -> None:
    """The next fleet of the directory is somebody's work until a person says otherwise."""
    state = tmp_path / "state"
    with faulty_fleet(state, "--cpu", "1") as fleet:
        down(state, now=True, deadline_seconds=15)
        with pytest.raises(FaultRefused, match="no fleet is up"):
            fleet.targets.check_marked()
        assert (
            type_in("up", "--prefect", "off", "--state", str(state), cwd=tmp_path).returncode == 0
        )
        with pytest.raises(FaultRefused, match="not marked"):
            fleet.targets.check_marked()
