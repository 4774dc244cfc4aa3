"""Whole campaigns on workers from real work pools, as a person runs one: up, run, scale, down."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_images import worker_image
from draining import held_project, scale_in_the_midst
from real_campaigns import (
    WhenAllAreBusy,
    attempts_of,
    document,
    executions,
    judgements,
    only_campaign,
    run,
    type_in,
)
from real_prefect import resident_server

from proctor.deployments.standing.services import down

SAMPLE = Path(__file__).parents[1] / "sample"
# Long enough for a machine with many other things to do; only what hangs comes near.
PATIENCE = 120.0
NEEDS_DOCKER = pytest.mark.needs("docker")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory whose fleet is down afterwards, whatever the test did."""
    state = tmp_path / "state"
    yield state
    down(state, now=True, deadline_seconds=20)


def up(state: Path, *arguments: str) -> dict[str, Any]:
    prefect = resident_server().ensure().api_url
    done = type_in(
        *("up", *arguments, "--prefect", prefect, "--state", str(state), "--json"),
        cwd=state.parent,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return document(done)


@pytest.mark.parametrize(
    "name", ["cpu", pytest.param("crate", marks=NEEDS_DOCKER)], ids=["processes", "containers"]
)
def test_scaling_a_busy_pool_down_loses_and_repeats_nothing(
    name: str, state: Path, tmp_path: Path
) -> None:
    """A run is drained: its worker finishes what it has, and only then the run completes."""
    # What ran is written down beside the project.
    farm = tmp_path / "farm"
    farm.mkdir()
    given: dict[str, Any] = {"slots": 1, "provider": "work-pool"}
    if name == "crate":
        given |= in_containers(tmp_path, on=farm)
    told = up(state, *templates(tmp_path, **{name: given}), "--class", f"{name}=2")
    assert told["workers"] == {name: 2}
    project = held_project(farm / "p", files="abcd", cases=12)
    with ThreadPoolExecutor() as pool:
        scaled = []
        watcher = WhenAllAreBusy(
            2,
            lambda: scaled.append(pool.submit(scale_in_the_midst, project, state, f"{name}=1", 1)),
        )
        conducted = run(project, state, watcher=watcher)

    assert conducted.exit_code == 0
    assert scaled[0].result()["workers"] == {name: 1}
    assert executions(project) == Counter(
        {f"test_{file}-{n}": 1 for file in "abcd" for n in range(12)}
    )
    record = only_campaign(state)
    assert {tuple(attempts_of(record, case)) for case in record.cases} == {("passed",)}
    # One left in the midst of the work, and by its own will: whichever seemed to have less to do.
    ends = [each for each in record.workers if each.event in {"left", "lost"}]
    assert ends[0].event == "left"
    last = max(each.finished for row in record.attempts.values() for each in row)
    assert ends[0].at < last


@NEEDS_DOCKER
def test_the_sample_suite_runs_in_containers(state: Path, tmp_path: Path) -> None:
    """The project on a volume, the image's own interpreter: the verdicts are as they are here."""
    left_out = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    project = shutil.copytree(SAMPLE, tmp_path / "orchard", ignore=left_out)
    box = {
        "slots": 2,
        "gpus": 1,
        "simulated_gpu": True,
        "tags": ["highmem"],
        "provider": "work-pool",
        **in_containers(tmp_path, on=project),
    }
    told = up(state, *templates(tmp_path, box=box), "--class", "box")
    assert told["workers"] == {"box": 1}
    assert len(boxes()) == 1

    ran = type_in(
        *("run", "--state", str(state), "--prefect", "off"), cwd=project, timeout=PATIENCE
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    record = only_campaign(state)
    expected = {"passed": 45, "flaky": 1, "skipped": 1, "xfailed": 1}
    assert Counter(judgements(record).values()) == expected
    workers = {each.worker for row in record.attempts.values() for each in row}
    assert workers == {"box-1"}
    report = record.directory / "report"
    assert {"report.html", "junit.xml", "summary.md"} <= {each.name for each in report.iterdir()}

    ended = type_in("down", "--state", str(state), cwd=project, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr
    assert boxes() == []


def in_containers(directory: Path, *, on: Path) -> dict[str, Any]:
    """What makes workers of a class containers that see a directory of this machine."""
    # Where no test has made the image yet, this one does.
    return {"image": worker_image(directory), "job_variables": {"volumes": [f"{on}:{on}"]}}


def templates(directory: Path, **classes: dict[str, Any]) -> tuple[str, str]:
    file = directory / "worker_templates.json"
    file.write_text(json.dumps({"classes": classes}))
    return "--templates", str(file)


def boxes() -> list[str]:
    """The containers of the fleet's only worker."""
    engine = docker.from_env()
    found = engine.containers.list(filters={"label": "io.prefect.flow-run-name=box-1"})
    names = [each.name or "" for each in found]
    engine.close()
    return names
