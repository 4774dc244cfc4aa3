"""`proctor plan`: fleets for a deadline or a budget, in a table, a document, or one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proctor.deployments import cli
from proctor.flows.campaigns.preparation import prepare
from proctor.flows.campaigns.request import RunRequest
from proctor.infra import timings as timing_files
from proctor.infra.dispatching.durations import CaseHistory
from proctor.infra.timings import Timings

CLASSES = (
    *("--fleet-class", "cpu:slots=2,memory=4GiB,boot=30s,cost=1,max=8"),
    *("--fleet-class", "gpu:slots=1,gpu=1,simulated,memory=8GiB,boot=2m,cost=9,max=2"),
)
Answer = tuple[int, str, str]
Plan = Callable[..., Answer]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Forty tasks that took a minute each, and four that took two minutes of a GPU."""
    folder = tmp_path / "orchard"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'orchard'\n")
    tasks: list[dict[str, Any]] = [{"id": f"plain-{n}", "command": "true"} for n in range(40)]
    tasks += [{"id": f"gpu-{n}", "command": "true", "requirements": {"gpu": 1}} for n in range(4)]
    (folder / "tasks.json").write_text(json.dumps({"tasks": tasks}))
    return folder


@pytest.fixture
def plan(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    """The verb in this process, for that project."""

    def act(*arguments: str) -> Answer:
        where = ("--directory", str(project), "--state", str(tmp_path / "state"))
        code = cli.main(["plan", "--tasks", "tasks.json", *where, *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return act


@pytest.fixture
def history(project: Path, tmp_path: Path) -> None:
    """What an earlier campaign would have left."""
    flags = {"state": str(tmp_path / "state")}
    prepared = prepare(RunRequest(directory=str(project), tasks="tasks.json", flags=flags))
    plain = {f"plain-{n}": CaseHistory(seconds=60) for n in range(40)}
    gpu = {f"gpu-{n}": CaseHistory(seconds=120) for n in range(4)}
    timing_files.save(Timings(cases=plain | gpu), prepared.project)


@pytest.mark.usefixtures("history")
def test_a_deadline_gets_its_cheapest_fleet_with_a_certificate(plan: Plan) -> None:
    """Of those on the front that are done in time the one that costs least, played through."""
    code, out, _ = plan("--deadline", "10m", "--json", *CLASSES)
    told = json.loads(out)
    assert code == 0
    assert (told["cases"], told["known_durations"]) == (44, 44)
    assert told["chosen"]["simulated"]
    assert told["chosen"]["makespan_seconds"] <= 600
    in_time = [each["cost"] for each in told["front"] if each["makespan_seconds"] <= 600]
    assert told["chosen"]["cost"] == min(in_time)
    certificate = told["certificate"]
    assert 0 < certificate["least_cost"] <= told["chosen"]["cost"]
    assert certificate["bounds"][0]["seconds"] <= told["chosen"]["makespan_seconds"]
    assert told["problem"] is None


@pytest.mark.usefixtures("history")
def test_a_budget_gets_its_quickest_fleet(plan: Plan) -> None:
    """More money is never slower."""
    little = json.loads(plan("--max-cost", "2.2", "--json", *CLASSES)[1])
    much = json.loads(plan("--max-cost", "4", "--json", *CLASSES)[1])
    assert little["chosen"]["cost"] <= 2.2
    assert much["chosen"]["cost"] <= 4
    assert much["chosen"]["makespan_seconds"] < little["chosen"]["makespan_seconds"]
    assert much["certificate"]["least_seconds"] <= much["chosen"]["makespan_seconds"]


@pytest.mark.usefixtures("history")
def test_people_get_a_table_and_reasons(plan: Plan) -> None:
    """The chosen fleet is marked, and what holds it back is said."""
    code, out, _ = plan("--deadline", "10m", *CLASSES)
    assert code == 0
    assert "44 cases, 48 min of work." in out
    assert "guess" not in out
    assert "* " in out
    assert "Chosen: cpu=" in out
    assert "the longest case that needs cpu=1 and gpu=1 after its worker has booted: gpu-" in out
    assert "No fleet that ends within 10 min costs less than" in out
    assert "To have it: proctor up --state " in out
    assert "--class cpu:slots=2,memory=4GiB,boot=30s,cost=1,max=8 --class cpu=" in out
    assert "Nothing was run." in out


@pytest.mark.usefixtures("history")
def test_a_class_without_slots_has_all_cores_as_up_gives_it(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cpu=1` is one thing: what is reckoned with is what `up` starts, and the command says it."""
    monkeypatch.setenv("PROCTOR_SLOTS", "4")
    asked = ("--deadline", "20m", "--fleet", "cpu=1,gpu=1")
    told = json.loads(plan(*asked, "--json")[1])
    # Forty minutes of work.
    assert 600 <= told["chosen"]["makespan_seconds"] < 700
    assert " --class cpu:slots=4 --class gpu=1" in plan(*asked)[1]
    more = plan("--deadline", "10m", "--fleet", "cpu=8,gpu=1")[1]
    assert " --class cpu:slots=4 --class cpu=" in more
    # Those that are written out, or named, are read as `up` reads them too.
    for cpu in ("cpu", "cpu:max=1"):
        named = ("--deadline", "20m", "--class", cpu, "--class", "gpu", "--json")
        chosen = json.loads(plan(*named, "--fleet", "cpu=1,gpu=1")[1])["chosen"]
        assert chosen["makespan_seconds"] == told["chosen"]["makespan_seconds"]


@pytest.mark.usefixtures("history")
def test_limits_are_kept(plan: Plan) -> None:
    """--fleet says which classes, and how many of each at most."""
    told = json.loads(plan("--json", "--fleet", "cpu=2,gpu=1", *CLASSES)[1])
    assert told["chosen"] is None
    assert told["front"]
    for option in told["front"]:
        assert option["fleet"]["cpu"] <= 2
        assert option["fleet"]["gpu"] == 1


def test_without_history_it_says_that_it_guesses(plan: Plan) -> None:
    """A plan of guesses must not look like one of measurements."""
    code, out, _ = plan("--deadline", "20m", *CLASSES)
    assert code == 0
    assert "None of them has a duration yet" in out
    assert "they are guessed, and so is this plan." in out


@pytest.mark.usefixtures("history")
def test_without_prices_workers_are_counted(plan: Plan) -> None:
    """An hour of any worker is as good as another's."""
    classes = ("--class", "cpu:slots=2,max=8", "--class", "gpu:slots=1,gpu=1,simulated,max=2")
    code, out, _ = plan("--deadline", "20m", *classes)
    assert code == 0
    assert "worker-hours" in out


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--deadline", "3m", *CLASSES),
            (
                "no fleet was found that ends within 3 min: even with the most workers allowed"
                " (cpu=8,gpu=2) it takes 6 min"
            ),
        ),
        (
            ("--max-cost", "0.5", *CLASSES),
            "no fleet was found that costs 0.5 or less: the cheapest, cpu=",
        ),
        (
            ("--deadline", "7m", "--max-cost", "2", *CLASSES),
            "no fleet was found that ends within 7 min for 2: in time it costs",
        ),
    ],
)
def test_what_no_fleet_does_is_one_line_and_exit_code_9(
    plan: Plan, arguments: tuple[str, ...], said: str
) -> None:
    """With what is possible instead."""
    code, _, err = plan(*arguments)
    assert code == 9
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("history")
def test_what_no_class_can_run_keeps_the_rest_in_the_plan(plan: Plan) -> None:
    """As a run would: it is told as not run, with what to add, and the others are planned."""
    code, out, _ = plan("--fleet", "cpu=4", *CLASSES)
    assert code == 0
    assert "40 cases, 40 min of work." in out
    assert "not run: 4 cases need gpu=1, the largest worker has gpu=0 (gpu-0, gpu-1, ...)" in out
    assert "add `--class cpu --class gpu:slots=1,gpu=1` to have workers that do" in out
    told = json.loads(plan("--fleet", "cpu=4", "--json", *CLASSES)[1])
    assert [each["case"] for each in told["not_run"]] == [f"gpu-{n}" for n in range(4)]


def test_a_plan_of_which_nothing_can_run_is_refused_with_its_own_flags(
    plan: Plan, project: Path
) -> None:
    """Who plans is not told how to run."""
    one = {"id": "gpu-0", "command": "true", "requirements": {"gpu": 1}}
    (project / "gpu.json").write_text(json.dumps({"tasks": [one]}))
    code, out, err = plan("--tasks", "gpu.json", "--fleet", "cpu=4", *CLASSES)
    assert (code, out) == (4, "")
    assert "gpu-0 needs gpu=1, the largest worker has gpu=0" in err
    assert "--class gpu:slots=1,gpu=1" in err
    assert "proctor run" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--deadline", "soon"), "--deadline 'soon' is no duration"),
        (("--max-cost", "much"), "--max-cost 'much' is no amount"),
        (("--max-cost", "nan"), "--max-cost 'nan' is no amount"),
        (("--max-cost", "3", "--class", "cpu:slots=1"), "no worker class says what an hour costs"),
        (("--fleet", "cup=2", *CLASSES), "there is no worker class 'cup'"),
        (("--fleet", "cpu=many", *CLASSES), "'cpu=many' says no number of workers"),
        (("--fleet", "cpu=9", *CLASSES), "class cpu has at most 8 workers, 9 were asked for"),
        (("--fleet", "cpu=0", *CLASSES), "a fleet without workers runs nothing"),
        (("--class", "higmem"), "there is no worker class 'higmem'"),
        (("--most", "0"), "--most 0 leaves no worker"),
        (("--templates", "nowhere.json"), "worker templates nowhere.json cannot be read"),
    ],
)
def test_what_cannot_be_planned_is_one_line_and_exit_code_4(
    plan: Plan, arguments: tuple[str, ...], said: str
) -> None:
    """Before anything is worked out."""
    code, out, err = plan(*arguments)
    assert code == 4
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_files_that_stay_whole_are_planned_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More workers than files are of no use then."""
    folder, files = tmp_path / "suite", ("test_a.py", "test_b.py")
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'suite'\n")
    for name in files:
        (folder / name).write_text("\n".join(f"def test_{n}(): pass" for n in range(8)))
    where = ("--directory", str(folder), "--state", str(tmp_path / "state"))
    prepared = prepare(RunRequest(directory=str(folder), flags={"state": where[-1]}))
    ids = [f"{name}::test_{n}" for name in files for n in range(8)]
    taken = {case: CaseHistory(seconds=60) for case in ids}
    timing_files.save(Timings(cases=taken), prepared.project)

    def chosen(split_files: str) -> dict[str, Any]:
        monkeypatch.setenv("PROCTOR_SPLIT_FILES", split_files)
        workers = ("--fleet-class", "cpu:slots=1,memory=4GiB,cost=1,max=8")
        assert cli.main(["plan", "--json", "--max-cost", "1", *where, *workers]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["cases"], told["known_durations"]) == (16, 16)
        return dict(told["chosen"])

    assert chosen("true")["makespan_seconds"] < 240
    whole = chosen("false")
    assert whole["makespan_seconds"] >= 480
    assert whole["fleet"] == {"cpu": 2}
