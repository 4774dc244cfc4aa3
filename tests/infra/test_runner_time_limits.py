"""With pytest-timeout beside us a time-out still comes with stacks and output, once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runner_suites import PYTHON, run_suite, write_suite

from proctor.infra.session.time_limits import TimeLimits

pytestmark = pytest.mark.skipif(sys.executable != PYTHON, reason="it may have no pytest-timeout")


def test_a_limit_of_the_configuration_or_a_function_ends_the_case(tmp_path: Path) -> None:
    """Where the campaign knows of no limit, what pytest-timeout reads is the case's."""
    folder = write_suite(
        tmp_path,
        {
            "test_limits.py": """
                import time
                import pytest

                @pytest.fixture
                def slow():
                    time.sleep(1.5)

                def test_configured():
                    print("about to sleep")
                    time.sleep(3600)

                @pytest.mark.timeout(1, func_only=True)
                def test_function(slow):
                    time.sleep(3600)

                @pytest.mark.timeout(0)
                def test_innocent(): pass
            """,
            "pytest.ini": "[pytest]\ntimeout = 2\n",
        },
    )
    told = run_suite(folder)
    assert told.outcomes == {
        "test_configured": "timed-out",
        "test_function": "timed-out",
        "test_innocent": "passed",
    }
    assert told.done["test_configured"]["message"] == "took longer than 2 s"
    assert told.done["test_function"]["message"] == "took longer than 1 s"
    assert "in test_configured" in told.text("test_configured", "stacks")
    assert told.text("test_configured", "stdout") == "about to sleep\n"
    # Not in its fixture, which alone takes longer than that.
    assert "in test_function" in told.text("test_function", "stacks")


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_the_marker_of_pytest_timeout_leaves_stacks_and_output(tmp_path: Path, method: str) -> None:
    """Its alarm would go off in the same second as ours, and take both away."""
    folder = write_suite(
        tmp_path,
        {
            "test_marked.py": f"""
                import time
                import pytest

                @pytest.mark.timeout(2, method="{method}")
                def test_marked():
                    print("about to sleep")
                    time.sleep(3600)

                def test_innocent(): pass
            """
        },
    )
    limits = {"test_marked.py::test_marked": 2.0}
    told = run_suite(
        folder, timeout=lambda case: limits.get(case, 60.0), isolate=method == "thread"
    )
    assert told.outcomes == {"test_marked": "timed-out", "test_innocent": "passed"}
    assert told.done["test_marked"]["message"] == "took longer than 2 s"
    assert "in test_marked" in told.text("test_marked", "stacks")
    assert "posixpath" not in told.text("test_marked", "stacks")
    assert told.text("test_marked", "stdout") == "about to sleep\n"


@pytest.mark.parametrize("function_only", [True, False])
def test_only_a_functions_limit_is_over_before_the_case_is(function_only: bool) -> None:
    """What takes fixtures down counts for a whole case, and not for its function."""
    said: list[Any] = []
    wire: Any = SimpleNamespace(
        disowned=False, pid=os.getpid(), put=said.append, flush=lambda: said.append("flush")
    )
    limits = TimeLimits(wire)
    settings = SimpleNamespace(timeout=3, func_only=function_only)
    assert limits.pytest_timeout_set_timer(settings)
    begun = [{"k": "limit", "seconds": 3.0}, "flush"]
    assert said == begun
    # Asked twice of a case that failed.
    assert limits.pytest_timeout_cancel_timer()
    assert limits.pytest_timeout_cancel_timer()
    over = [{"k": "limit", "seconds": None}, "flush"]
    assert said == begun + over * function_only


def test_a_fork_of_a_test_says_nothing_of_limits() -> None:
    """It would be ended where it speaks, before it has its verdict."""
    said: list[Any] = []
    wire: Any = SimpleNamespace(disowned=False, pid=os.getpid() + 1, put=said.append)
    limits = TimeLimits(wire)
    assert limits.pytest_timeout_set_timer(SimpleNamespace(timeout=3, func_only=True))
    assert limits.pytest_timeout_cancel_timer()
    assert said == []
