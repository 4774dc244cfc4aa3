"""The flow: a report, artifacts and a state that says what was found."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest

from proctor.flows import trends
from proctor.flows.trends import analyze_trends
from proctor.monitoring.trends.demo_history import write_demo


@pytest.fixture
def artifacts(monkeypatch):
    """What would stand in Prefect; a server is not what is tested here."""
    kept: dict[str, dict] = {}

    async def keep(**given):
        kept[given["key"]] = given

    monkeypatch.setattr(trends, "acreate_markdown_artifact", keep)
    monkeypatch.setattr(trends, "acreate_table_artifact", keep)
    monkeypatch.setattr(trends, "get_run_logger", lambda: logging.getLogger("flow"))
    return kept


def run(**given):
    return asyncio.run(analyze_trends.fn(**given))


def test_findings_become_artifacts_and_regressions_fail_where_asked(artifacts, tmp_path):
    """A page with plots beside the store; news once."""
    write_demo(tmp_path)
    state = run(state=str(tmp_path))
    assert state.is_completed()
    assert "11.9% slower" in artifacts["trends"]["markdown"]
    assert len(artifacts["trend-findings"]["table"]) == 6
    assert (tmp_path / "trends" / "orchard-demonstration.html").exists()
    again = run(state=str(tmp_path), fail_on_regression=True)
    assert again.is_failed()
    with pytest.raises(trends.RegressionsFound, match="3 regressions") as told:
        again.result()
    assert told.value.result.news == []
    assert len(told.value.result.regressions) == 3


def test_an_empty_memory_is_a_failed_run_with_its_remedy(artifacts, tmp_path):
    """Not a traceback."""
    state = run(state=str(tmp_path))
    assert state.is_failed()
    assert "no campaign ever ran" in state.message


def test_the_flow_holds_nothing_of_duckdbs():
    """Prefect's threads hold it until the process is gone: DuckDB would tell of leaks then."""
    code = "import sys, proctor.flows.trends; sys.exit('_duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
