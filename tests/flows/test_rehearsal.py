"""`proctor run --plan` plans what the run would run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proctor.flows.campaigns.preparation import prepare
from proctor.flows.campaigns.rehearsal import Rehearsal, rehearse
from proctor.flows.campaigns.request import RunRequest
from proctor.infra import timings
from proctor.infra.errors import Unsatisfiable

PLAIN = {"id": "plain", "command": "true"}
NEEDY = {"id": "needy", "command": "true", "requirements": {"tags": ["highmem"]}}


def plan(root: Path, *tasks: dict[str, Any]) -> Rehearsal:
    root.mkdir(exist_ok=True)
    (root / "pyproject.toml").write_text("[project]\nname = 'orchard'\n")
    (root / "tasks.json").write_text(json.dumps({"tasks": tasks}))
    flags = {"state": str(root.parent / "state"), "prefect": "off", "slots": "2"}
    return rehearse(prepare(RunRequest(directory=str(root), tasks="tasks.json", flags=flags)))


def test_a_case_that_no_worker_could_run_keeps_no_other_from_the_plan(tmp_path: Path) -> None:
    """It is listed with the reason; only a plan of nothing is refused."""
    found = plan(tmp_path / "orchard", PLAIN, NEEDY)
    assert [case.id for case in found.cases] == ["plain"]
    assert [placed.case.id for placed in found.placements] == ["plain"]
    assert list(found.not_run) == ["needy"]
    assert "highmem" in found.not_run["needy"]
    with pytest.raises(Unsatisfiable, match="highmem"):
        plan(tmp_path / "orchard", NEEDY)


def test_last_failed_of_a_selection_without_failures_plans_all_of_it(tmp_path: Path) -> None:
    """As the run does, and pytest."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'orchard'\n")
    (tmp_path / "test_it.py").write_text("def test_one(): ...\ndef test_two(): ...\n")
    flags = {"state": str(tmp_path / "state"), "prefect": "off", "slots": "2"}
    prepared = prepare(RunRequest(directory=str(tmp_path), last_failed=True, flags=flags))
    timings.save(timings.Timings(last_failed=("test_gone.py::test_it",)), prepared.project)
    planned = rehearse(prepared)
    assert len(planned.cases) == 2
    assert (
        planned.widened == "--lf: what failed last time (1 case) is not asked for now, so all run"
    )
    timings.save(timings.Timings(last_failed=("test_it.py::test_two",)), prepared.project)
    planned = rehearse(prepared)
    assert [case.id for case in planned.cases] == ["test_it.py::test_two"]
    assert planned.widened == ""


def test_why_there_is_nothing_to_plan_is_told_as_the_run_tells_it(tmp_path: Path) -> None:
    """An empty list by its file, an empty folder by its name, a selection by its words."""
    root = tmp_path / "orchard"
    assert plan(root).nothing == "There is no task to run in tasks.json."
    flags = {"state": str(tmp_path / "state"), "prefect": "off", "slots": "2"}
    request = RunRequest(directory=str(root), flags=flags)
    told = f"No test was found in {root}: pytest looks for test_*.py."
    assert rehearse(prepare(request)).nothing == told
    (root / "test_it.py").write_text("def test_one(): ...\n")
    request = RunRequest(directory=str(root), keyword="two", flags=flags)
    told = f"None of 1 case found in {root} was asked for with `-k two`."
    assert [rehearse(prepare(request)).nothing for _ in range(2)] == [told, told]


def test_a_program_that_is_not_there_is_told_and_planned_all_the_same(tmp_path: Path) -> None:
    """Another task may make it; and the fleet of a plain run is of this machine."""
    found = plan(tmp_path / "orchard", PLAIN, {"id": "odd", "command": "./made-later"})
    assert [case.id for case in found.cases] == ["plain", "odd"]
    program = tmp_path / "orchard" / "made-later"
    assert found.not_found == {
        "odd": f"there is no program {program} (seen by workers of class cpu)"
    }
