"""A fleet that chooses its sizes itself, with real processes, through four phases of load."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from auto_fleets import Lookout, decisions, flaps, size
from real_campaigns import (
    attempts_of,
    document,
    executions,
    moved,
    run,
    type_in,
    write_project,
)
from waiting import wait_until

from proctor.deployments.standing.services import down
from proctor.infra.fleet.files import FleetFiles
from proctor.infra.scaling.policy import ScalingRules

PATIENCE = 90.0
MOST = 5


def suite(cases: int) -> dict[str, str]:
    return {
        "test_some.py": f"""\
            import os, time, pytest
            from executions import ran
            @pytest.mark.parametrize("n", range({cases}))
            def test_it(n):
                time.sleep(0 if os.path.exists("enough") else 0.4)
                ran(f"{{n}}")
            """
    }


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    state = tmp_path / "state"
    yield state
    down(state, now=True, deadline_seconds=10)


def up(state: Path, *arguments: str) -> dict[str, Any]:
    done = type_in("up", "--auto", "--prefect", "off", "--state", str(state), "--json", *arguments,
                   cwd=state.parent)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return document(done)


def most_wanted(state: Path) -> int:
    return max(each["to"] for each in decisions(state))


def test_four_phases_of_load(state: Path, tmp_path: Path) -> None:
    """Low, steady, spike, cool-down: each size is reached, nothing busy goes, nothing flaps."""
    # Longer than from the end of one campaign to the first word of the next, on any machine: nobody
    # is told to go just as work arrives.
    up(state, "--class", f"cpu:slots=1,max={MOST},idle=10s", "--horizon", "4s")
    wait_until(
        lambda: decisions(state) and size(state) == 0,
        timeout=PATIENCE,
        what="the first worker to go unused",
    )
    lookout = Lookout(FleetFiles(state=state))
    low, steady, spike = (
        # Of two cases one at most is left when it is known how long they take.
        write_project(tmp_path / str(cases) / "p", suite(cases))
        for cases in (2, 30, 400)
    )

    with ThreadPoolExecutor() as pool:
        watching = pool.submit(lookout.watch)
        try:
            # Low: a single worker is enough.
            assert finish(low, state, 2)
            assert most_wanted(state) == 1
            # Steady: what is known now asks for a few.
            assert finish(steady, state, 30)
            assert 2 <= most_wanted(state) <= MOST
            # Spike: all there may be.
            enough = pool.submit(_enough_at, MOST, lookout, spike / "enough")
            assert finish(spike, state, 400)
            enough.result()
            assert max(lookout.sizes) == MOST
            # Cool-down: nobody is needed, and nobody stays.
            wait_until(lambda: size(state) == 0, timeout=PATIENCE, what="the fleet to be empty")
        finally:
            lookout.end()
            watching.result()

    assert lookout.drained_busy == []
    made = decisions(state)
    assert all(each["reason"] and each["inputs"] for each in made)
    assert [(each["from"], each["to"]) for each in made] == [
        (before, after) for before, after in pairwise([1, *(each["to"] for each in made)])
    ]
    assert flaps(made, seconds=ScalingRules().stabilisation_seconds) == []


def finish(project: Path, state: Path, cases: int) -> bool:
    """Run them all; each passes once, though a slot may hear late that another has its case."""
    conducted = run(project, state)
    assert conducted.record is not None
    late = moved(conducted.record)
    once = [f"test_some.py::test_it[{n}]" for n in range(cases)]
    once = [case for case in once if case not in late]
    assert {tuple(attempts_of(conducted, case)) for case in once} == {("passed",)}
    counts = executions(project)
    assert len(counts) == cases
    assert {f"test_some.py::test_it[{n}]" for n, times in counts.items() if times > 1} <= late
    return conducted.exit_code == 0


def _enough_at(size: int, lookout: Lookout, mark: Path) -> None:
    """However slowly workers start, the work is not done before the last of them has come."""
    wait_until(
        lambda: max(lookout.sizes, default=0) == size, timeout=PATIENCE, what=f"{size} workers"
    )
    mark.touch()


def test_a_class_that_nobody_has_yet_comes_when_it_is_needed(state: Path, tmp_path: Path) -> None:
    """A case that needs a GPU waits for its worker instead of being refused."""
    up(state, "--class", "cpu:slots=1,max=2", "--class", "gpu:slots=1,gpu=1,simulated,max=1")
    project = write_project(
        tmp_path / "p",
        {
            "test_gpu.py": """\
                import pytest
                @pytest.mark.resources(gpu=1)
                def test_gpu(): pass
                def test_cpu(): pass
                """
        },
    )
    taken = type_in("scale", "--manual", "gpu=0", "--state", str(state), cwd=tmp_path)
    assert taken.returncode == 0, taken.stderr
    given = type_in("scale", "--auto", "--state", str(state), "--json", cwd=tmp_path)
    assert document(given)["auto"] is True
    assert document(given)["workers"]["gpu"] == 0

    assert run(project, state).exit_code == 0
    assert {each["class"] for each in decisions(state) if each["to"] > each["from"]} >= {"gpu"}


def test_who_chooses_the_sizes_is_said(state: Path, tmp_path: Path) -> None:
    """Numbers for a fleet that chooses itself are refused, with the way to take over."""
    up(state, "--class", "cpu:slots=1,max=2")
    refused = type_in("scale", "cpu=2", "--state", str(state), cwd=tmp_path)
    assert refused.returncode == 4
    assert "--manual" in refused.stderr
    nothing = type_in("scale", "--state", str(state), cwd=tmp_path)
    assert nothing.returncode == 4
    taken = document(
        type_in("scale", "--manual", "cpu=2", "--state", str(state), "--json", cwd=tmp_path)
    )
    assert (taken["auto"], taken["workers"]) == (False, {"cpu": 2})
