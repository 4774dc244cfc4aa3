"""`proctor simulate`: a real campaign, played again on other fleets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from real_campaigns import run, write_project

from proctor.deployments import cli
from proctor.infra.ledgers.epochs import ledger_path

FILES = {
    "test_a.py": """\
        import pytest, time
        @pytest.mark.parametrize("n", range(12))
        def test_it(n): time.sleep(0.05)
        """,
    "test_gpu.py": """\
        import pytest
        @pytest.mark.resources(gpu=1)
        def test_gpu(): pass
        """,
}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One campaign that ran on a worker of each kind."""
    place = tmp_path_factory.mktemp("simulate")
    project = write_project(place / "p", FILES)
    classes = ("cpu:slots=1", "gpu:slots=1,gpu=1,simulated")
    conducted = run(project, place / "state", fleet_classes=classes)
    assert conducted.exit_code == 0
    take_usual_times(ledger_path(conducted.directory, 1))
    return place / "state"


def take_usual_times(journal: Path) -> None:
    """A case that the machine kept waiting would be played as a long one."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line["k"] == "attempt":
            line["usage"] |= {"wall": 0.05, "shared": 0.0}
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def simulate(
    state: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    code = cli.main(["simulate", "--state", str(state), *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_same_fleet_is_the_default(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that people see how close it comes to what really happened."""
    code, out, _ = simulate(state, capsys, "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["fleet"], told["cases"], told["policy"]) == ({"cpu": 1, "gpu": 1}, 13, "fixed")
    assert told["makespan"] >= told["lower_bound"] > 0
    assert told["real_makespan"] > 0


def test_more_workers_end_it_sooner(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve cases of a file on four workers of the campaign's class."""
    few = json.loads(simulate(state, capsys, "--json", "--fleet", "cpu=1,gpu=1")[1])
    many = json.loads(simulate(state, capsys, "--json", "--fleet", "cpu=4,gpu=1")[1])
    assert many["makespan"] < few["makespan"]


def test_files_that_stayed_whole_do_so_again(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the rules that the campaign had: more workers are of no use to its one long file."""
    shutil.copytree(state / "campaigns", tmp_path / "campaigns")
    (journal,) = tmp_path.glob("campaigns/*/" + ledger_path(Path(), 1).name)
    first, *lines = journal.read_text().splitlines(keepends=True)
    opened = json.loads(first)
    assert opened["settings"]["rules"]["split_files"] is True
    opened["settings"]["rules"]["split_files"] = False
    journal.write_text("".join([json.dumps(opened) + "\n", *lines]))
    few, many = (
        json.loads(simulate(tmp_path, capsys, "--json", "--fleet", f"cpu={cpus},gpu=1")[1])
        for cpus in (1, 4)
    )
    assert many["makespan"] == few["makespan"]


def test_a_class_without_slots_is_what_up_makes_of_it(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All cores of this machine."""
    monkeypatch.setenv("PROCTOR_SLOTS", "4")
    gpu = ("--class", "gpu:slots=1,gpu=1,simulated")
    read = [
        json.loads(simulate(state, capsys, "--json", "--fleet", "cpu=1,gpu=1", *gpu, *cpu)[1])
        for cpu in (("--class", "cpu:max=2"), ("--class", "cpu:slots=4"))
    ]
    assert read[0]["makespan"] == read[1]["makespan"]


def test_the_policy_pays_for_what_it_needs(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Workers boot, and of a hundred that might be there a few are."""
    told = json.loads(
        simulate(
            state, capsys, "--json", "--policy", "auto", "--fleet", "cpu=100,gpu=1",
            "--class", "cpu:slots=1,boot=5s,cost=3.6",
            "--class", "gpu:slots=1,gpu=1,simulated,boot=5s,cost=36", "--horizon", "1s",
        )[1]
    )  # fmt: skip
    assert told["makespan"] > 5
    assert told["most"]["cpu"] < 10
    paid = told["worker_seconds"]
    assert told["cost"] == pytest.approx(paid["cpu"] / 1000 + paid["gpu"] / 100)


def test_for_people_it_is_a_few_lines(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And they are told that nothing ran."""
    code, out, _ = simulate(state, capsys, "--replay", "last")
    assert code == 0
    assert "13 cases on cpu=1, gpu=1 (fixed)" in out
    assert "Nothing was run." in out


def test_slow_workers_take_longer(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class, or one worker of it; the bound knows of them, too."""
    fleet = ("--json", "--fleet", "cpu=2,gpu=1")
    even = json.loads(simulate(state, capsys, *fleet)[1])
    one = json.loads(simulate(state, capsys, *fleet, "--speed", "cpu-2=0.1")[1])
    half = json.loads(simulate(state, capsys, *fleet, "--speed", "cpu=0.5,gpu=0.5")[1])
    fast = json.loads(simulate(state, capsys, *fleet, "--speed", "cpu=10,gpu=10")[1])
    assert (even["speeds"], one["speeds"]) == ({}, {"cpu-2": 0.1})
    assert fast["makespan"] < even["makespan"] < one["makespan"]
    assert half["lower_bound"] == pytest.approx(2 * even["lower_bound"])
    for told in (even, one, half, fast):
        assert told["makespan"] >= told["lower_bound"]
    _, out, _ = simulate(state, capsys, "--speed", "cpu=0.5")
    assert "times as fast   cpu 0.5" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--speed", "cup=2"), "neither a class nor a worker 'cup'"),
        (("--speed", "cpu-2=2"), "neither a class nor a worker 'cpu-2'"),
        (("--speed", "cpu=slow"), "'cpu=slow' says no speed; write cpu=0.5 for half as fast"),
        (("--speed", "cpu=0"), "'cpu=0' says no speed"),
        (("--fleet", "cpu=4"), "needs gpu=1, the largest worker has gpu=0"),
        (("--fleet", "cpu=x"), "'cpu=x' says no number of workers"),
        (("--fleet", "cup=1"), "there is no worker class 'cup'"),
        (("--replay", "nothing"), "no campaign is called 'nothing'"),
        (("--fleet", "cpu=0"), "a fleet without workers runs nothing"),
        (("--fleet", "cpu=999999999"), "a fleet of 999,999,999 workers is more than is simulated"),
        (("--policy", "auto", "--horizon", "soon"), "--horizon 'soon' is no duration"),
    ],
)
def test_what_cannot_be_played_is_said(
    state: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """In one line, with what to do."""
    code, out, err = simulate(state, capsys, *arguments)
    assert code != 0
    assert out == ""
    assert said in err
