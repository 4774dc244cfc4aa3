"""Programs that commands name are looked for before anything runs, as who runs them would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proctor.infra.tasks.programs import missing_programs
from proctor.infra.tasks.tasklist import tasks_from
from proctor.infra.worker_classes import WorkerClass

WORKERS = [
    WorkerClass(name="cpu", slots=1).facts(1),
    WorkerClass(name="big", slots=1, tags=frozenset({"highmem"})).facts(1),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, mode in (("bin/tool", 0o755), ("bin/notes", 0o644), ("below/run.sh", 0o755)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
    return tmp_path


def look(root: Path, **task: Any) -> dict[str, str]:
    cases = tasks_from([{"id": "one", **task}], source="t.toml").cases
    return missing_programs(cases, WORKERS, root=root, environment={"PATH": "/nowhere:bin"})


@pytest.mark.parametrize(
    "task",
    [
        {"command": "tool -x"},
        {"command": "./run.sh", "cwd": "below"},
        {"command": "/bin/sh -c true"},
        {"command": "sh", "env": {"PATH": "/bin"}},
        {"callable": "nobody:knows"},
    ],
)
def test_what_would_be_started_lacks_nothing(root: Path, task: dict[str, Any]) -> None:
    """Found along its own PATH and from its own directory; callables are looked for elsewhere."""
    assert look(root, **task) == {}


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"command": "trainer"}, "there is no program trainer on the PATH"),
        # It is there, and nobody may start it; a directory is no program either.
        ({"command": "notes"}, "there is no program notes on the PATH"),
        ({"command": "bin/notes"}, "{root}/bin/notes may not be executed"),
        ({"command": "./run.sh"}, "there is no program {root}/run.sh"),
        ({"command": "./below"}, "there is no program {root}/below"),
        ({"command": "true", "cwd": "above"}, "there is no directory {root}/above"),
    ],
)
def test_what_a_command_lacks_is_told(root: Path, task: dict[str, Any], told: str) -> None:
    """With the classes whose workers would look for it."""
    seen = f"{told.format(root=root)} (seen by workers of class big, cpu)"
    assert look(root, **task) == {"one": seen}


def test_only_workers_that_could_run_it_are_named(root: Path) -> None:
    """The others would never look."""
    told = look(root, command="trainer", requirements={"tags": ["highmem"]})
    assert told["one"].endswith("(seen by workers of class big)")
