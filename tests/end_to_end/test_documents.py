"""What the command prints and writes for machines."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from real_campaigns import document, type_in, write_project

SUITE = {
    "test_a.py": """\
        import pytest

        @pytest.mark.parametrize("n", range(3))
        def test_good(n):
            print("said", n)

        def test_bad():
            assert 1 == 2, "sums"

        @pytest.mark.skip
        def test_skipped(): ...
        """
}


def test_json_and_junit(tmp_path: Path) -> None:
    """One document on stdout, people's view on stderr, and JUnit XML where it was asked for."""
    project = write_project(tmp_path / "p", SUITE)
    state = ("--state", str(tmp_path / "state"))
    done = type_in(
        *("run", *state, "--prefect", "off", "-n", "1", "--json", "--junitxml", "out/junit.xml"),
        cwd=project,
    )
    assert done.returncode == 1, done.stderr
    told = document(done)
    assert done.stdout.count("\n") == 1
    assert told["counts"] == {"passed": 3, "failed": 1, "skipped": 1}
    assert told["exit_code"] == 1
    suites = ET.parse(project / "out" / "junit.xml").getroot()
    cases = list(suites.iter("testcase"))
    assert len(cases) == 5
    assert len(list(suites.iter("failure"))) == 1
    assert len(list(suites.iter("skipped"))) == 1
    report = Path(told["directory"] if "directory" in told else tmp_path / "state")
    names = {path.name for path in report.rglob("report/*")}
    assert names == {"report.html", "summary.md", "junit.xml"}


def test_a_plan_runs_nothing(tmp_path: Path) -> None:
    """--plan says what would run and leaves no campaign behind."""
    project = write_project(tmp_path / "p", SUITE)
    state = ("--state", str(tmp_path / "state"))
    done = type_in("run", *state, "-n", "2", "--plan", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert not (tmp_path / "state" / "campaigns").exists()


def test_a_task_list(tmp_path: Path) -> None:
    """Commands and callables run as cases, and a failing one is the exit code's business."""
    project = write_project(tmp_path / "p", {"work.py": "def double(n):\n    return 2 * n\n"})
    tasks = {
        "tasks": [
            {"name": "says", "command": ["echo", "hello"]},
            {"name": "fails", "command": ["false"]},
            {"name": "doubles", "callable": "work:double", "kwargs": {"n": 4}},
        ]
    }
    (project / "tasks.json").write_text(json.dumps(tasks))
    state = ("--state", str(tmp_path / "state"))
    done = type_in(
        *("run", *state, "--prefect", "off", "-n", "1", "--json", "--tasks", "tasks.json"),
        cwd=project,
    )
    assert done.returncode == 1, done.stderr
    assert document(done)["counts"] == {"passed": 2, "failed": 1}
