"""Callables of a task list are looked for before anything runs, by who would call them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proctor.infra.errors import BadTaskList
from proctor.infra.tasks.callables import check_callables
from proctor.infra.tasks.tasklist import tasks_from

MODULE = """
import os as system
from json import dumps
if system.name:
    def early(): ...
else:
    late = None
class Job:
    def run(self): ...
raise SystemExit("a module is read, and not run")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("print('hello from the package')\n")
    (tmp_path / "pack" / "jobs.py").write_text(MODULE)
    (tmp_path / "open.py").write_text("from os.path import *\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "there.py").write_text("def f(): ...\n")
    return tmp_path


def check(project: Path, *tasks: dict[str, object]) -> None:
    cases = tasks_from(list(tasks), source="t.toml").cases
    check_callables(cases, python=sys.executable, root=project, source="t.toml")


def test_callables_that_are_there_pass(project: Path) -> None:
    """In a package, in a branch, imported, in a class, compiled, or where nobody can tell."""
    names = ("early", "late", "dumps", "Job.run", "system.getpid")
    check(
        project,
        *({"callable": f"pack.jobs:{name}"} for name in names),
        {"callable": "open:join"},
        {"callable": "math:sqrt"},
        {"id": "elsewhere", "callable": "there:f", "cwd": "below"},
        {"id": "by its path", "callable": "there:f", "env": {"PYTHONPATH": "below"}},
        {"command": "nothing-of-that-name"},
    )


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"callable": "nowhere:f"}, "task nowhere:f: there is no module nowhere"),
        ({"callable": "pack.nope:f"}, "there is no module pack.nope"),
        ({"callable": "nowhere.jobs:f"}, "there is no module nowhere"),
        ({"id": "smoke", "callable": "pack.jobs:run"}, "task smoke: pack.jobs has no run"),
        ({"callable": "broken:f"}, "broken cannot be read: .* \\(line 1\\)"),
        ({"callable": "there:f"}, "there is no module there"),
        ({"callable": "there:f", "cwd": "nope"}, "there is no such directory"),
        # Not what lies beside the program that looks.
        ({"callable": "task_file:read_task_file"}, "there is no module task_file"),
    ],
)
def test_a_callable_that_is_not_there_is_refused(
    project: Path, task: dict[str, object], message: str
) -> None:
    """With the task, what is missing, and from where it was looked for."""
    with pytest.raises(BadTaskList, match=message) as told:
        check(project, {"callable": "pack.jobs:Job"}, task)
    assert told.value.message.startswith("t.toml: task ")
    assert str(project) in told.value.message


def test_all_callables_that_are_not_there_are_told_at_once(project: Path) -> None:
    """One a line, however they are run; those that are there are not among them."""
    (project / "rude").mkdir()
    (project / "rude" / "__init__.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(BadTaskList) as told:
        check(
            project,
            {"callable": "pack.jobs:early"},
            {"callable": "nowhere:f"},
            {"callable": "rude.jobs:f"},
            {"id": "smoke", "callable": "pack.jobs:run"},
            {"id": "below", "callable": "there:g", "cwd": "below"},
            {"callable": "math:sqrt"},
        )
    heading, *lines = told.value.message.splitlines()
    assert heading.startswith("t.toml: 4 callables are not there; write callable = ")
    assert [line.partition(" (seen from ")[0] for line in lines] == [
        "  task nowhere:f: there is no module nowhere",
        "  task rude.jobs:f: rude.jobs cannot be found: SystemExit: 3",
        "  task smoke: pack.jobs has no run",
        "  task below: there has no g",
    ]
