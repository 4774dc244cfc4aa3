"""The catalog: what it names exists, and registering it twice changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from real_prefect import History, resident_server, resident_state
from waiting import wait_until

from proctor.deployments.catalog import CATALOG, CONTROL_POOL, Change, load_flow, register

ROOT = Path(__file__).parents[2]
# A worker, a flow's process and a campaign's, on a machine that has much else to do.
LIMIT = 300.0


@pytest.fixture
def history() -> Iterator[History]:
    url = resident_server().ensure().api_url
    with temporary_settings({PREFECT_API_URL: url}):
        yield History(url)


def registered() -> dict[str, Change]:
    async def act():
        async with get_client() as client:
            return await register(client)

    return {step.name: step.change for step in asyncio.run(act())}


def write_repository(folder: Path, origin: str) -> None:
    """With a commit: Prefect takes a deployment's version from such a one if nobody says it."""
    author = ("-c", "user.name=a", "-c", "user.email=a@example.invalid")
    for command in (
        ("init", "--quiet"),
        (*author, "commit", "--quiet", "--allow-empty", "--message", "first"),
        ("remote", "add", "origin", origin),
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, timeout=60)


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_every_entrypoint_imports_and_is_an_async_flow(entry):
    """Prefect registers an entrypoint that nobody can import, and fails when it runs."""
    flow = load_flow(entry)
    assert isinstance(flow, Flow)
    # A sync flow costs a second more.
    assert flow.isasync


def test_prefect_yaml_says_the_same_as_the_catalog():
    """Two ways to deploy, one result."""
    written = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    assert written["pull"] == []
    assert [
        (
            each["name"],
            each["entrypoint"],
            each["description"],
            tuple(each["tags"]),
            each["work_pool"]["name"],
        )
        for each in written["deployments"]
    ] == [
        (entry.name, entry.entrypoint, entry.description, entry.tags, entry.pool)
        for entry in CATALOG
    ]


def test_registering_twice_changes_nothing(history, tmp_path, monkeypatch):
    """The second time everything is as it should be already, in whatever checkout one stands."""
    write_repository(tmp_path, origin="https://example.invalid/other.git")
    monkeypatch.chdir(tmp_path)
    registered()
    again = registered()
    assert {name for name, change in again.items() if change is not Change.UNCHANGED} == set()


def test_a_deployment_that_was_altered_is_brought_back(history):
    """Somebody's edit in Prefect's page does not survive the next deploy."""
    registered()
    deployment = history.ask("/deployments/name/submit-tests/submit-tests")

    async def alter():
        async with get_client() as client:
            await client.request(
                "PATCH", f"/deployments/{deployment['id']}", json={"description": "altered"}
            )

    asyncio.run(alter())

    assert registered()["submit-tests/submit-tests"] is Change.UPDATED
    restored = history.ask("/deployments/name/submit-tests/submit-tests")
    assert restored["description"] == CATALOG[0].description


def test_what_people_filled_in_stays(history):
    """Schedules, parameters, limits and tags are theirs; deploying a new version keeps them."""
    registered()
    name = "/deployments/name/sync-history/sync-history"
    deployment = history.ask(name)
    theirs = {
        "parameters": {"deadline_seconds": 60},
        "concurrency_limit": 1,
        "job_variables": {"env": {"A": "b"}},
        "paused": True,
        "tags": ["proctor", "team-a"],
        "schedules": [{"schedule": {"cron": "0 3 * * *"}, "active": False}],
    }

    async def fill_in():
        async with get_client() as client:
            await client.request("PATCH", f"/deployments/{deployment['id']}", json=theirs)

    asyncio.run(fill_in())
    before = history.ask(name)
    registered()
    after = history.ask(name)
    kept = ("parameters", "concurrency_limit", "job_variables", "paused", "tags", "schedules")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert before["parameters"] == theirs["parameters"]


def test_a_wrong_parameter_is_named(history):
    """`prefect deployment run` refuses a bad value and says which field has it."""
    registered()
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "prefect", "deployment", "run", "submit-tests/submit-tests"),
            *("--param", "select=newest"),
        ],
        env=environment(history),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ran.returncode == 1
    assert "'select'" in ran.stdout + ran.stderr


def test_a_deployment_run_goes_through_a_worker_to_its_verdict(history, tmp_path):
    """Pool, worker, flow process, campaign, mirror: the whole way, with real processes."""
    registered()
    (tmp_path / "test_tree.py").write_text(
        "def test_grows():\n    pass\n\ndef test_bears_fruit():\n    assert 'apple' == 'pear'\n"
    )
    deployment = history.ask("/deployments/name/submit-tests/submit-tests")
    run = history.ask(
        f"/deployments/{deployment['id']}/create_flow_run",
        {
            "parameters": {"directory": str(tmp_path), "paths": ["test_tree.py"]},
            "state": {"type": "SCHEDULED"},
        },
    )["id"]
    worker = subprocess.run(
        [
            *(sys.executable, "-m", "prefect", "worker", "start"),
            *("--pool", CONTROL_POOL, "--run-once"),
        ],
        env=environment(history),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    wait_until(
        lambda: history.ask(f"/flow_runs/{run}")["end_time"], timeout=LIMIT, what="the run's end"
    )
    state, message = history.states(run)[-1]
    assert (state, message) == ("Failed", "1 of 2 cases failed: 1 failed, 1 passed"), worker.stderr
    wait_until(
        lambda: {"collect", "run", "judge"} <= set(history.phases(run)),
        timeout=LIMIT,
        what="the phases as task runs",
    )
    rows = json.loads(history.artifacts(run)["proctor-failures"])
    assert [row["case"] for row in rows] == ["test_tree.py::test_bears_fruit"]
    assert "proctor-summary" in history.artifacts(run)


def environment(history: History) -> dict[str, str]:
    """A worker's: the server, a state directory, and Prefect's notes away from the person's own."""
    return os.environ | {
        "PREFECT_API_URL": history.api_url,
        "PREFECT_HOME": str(resident_state() / "client"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PROCTOR_STATE": str(resident_state()),
    }
