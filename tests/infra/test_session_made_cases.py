"""Cases that a hook of the suite makes once all are collected, as SQLAlchemy's does for each database."""

from __future__ import annotations

from pathlib import Path

import pytest
from runner_suites import Told, collect, run_batch, spec_of, write_suite

from proctor.infra.runners.runner import SessionRunner

MAKES = """
    import pytest

    def pytest_collection_modifyitems(items):
        made = [
            pytest.Function.from_parent(item.parent, name=f"{item.name}_{kind}", callobj=item.obj)
            for item in items
            for kind in ("one", "two")
        ]
"""
ENDINGS = {
    "in the order found": "        items[:] = made\n",
    "in an order of its own": "        items[:] = sorted(made, key=lambda item: item.name)\n",
    "beside the others": "        items.extend(made)\n",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_cases_that_a_hook_makes_are_told_and_run(tmp_path: Path, ending: str) -> None:
    folder = write_suite(
        tmp_path,
        {"conftest.py": MAKES + ENDINGS[ending], "test_a.py": "def test_it(): pass\n"},
    )
    collector, runner = SessionRunner(spec_of(folder)), SessionRunner(spec_of(folder))
    told = Told()
    try:
        cases = collect(collector, told)
        run_batch(runner, cases, told)
    finally:
        collector.close(0)
        runner.close(0)
    expected = {"test_it_one": "passed", "test_it_two": "passed"}
    if ending == "beside the others":
        expected["test_it"] = "passed"
    assert told.outcomes == expected
