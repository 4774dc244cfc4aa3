"""Cases that break what imports need: plain pytest has imported every file before them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from runner_suites import Told, collect, run_batch, run_suite, spec_of, write_suite
from waiting import wait_until

from proctor.infra.runners.fresh_starts import MOST_IN_VAIN, FreshStarts
from proctor.infra.runners.runner import SessionRunner

FINE = "import json.tool\ndef test_fine(): assert json.tool\n"


@pytest.mark.parametrize(
    "breaks",
    [
        "import sys\ndef test_breaks(): sys.path.clear()\n",
        "import sys\ndef test_breaks(): sys.meta_path[:] = []\n",
        "import builtins\ndef test_breaks(): del builtins.__import__\n",
    ],
    ids=["path", "finders", "import"],
)
def test_a_file_that_a_case_made_impossible_to_load_is_loaded_afresh(
    tmp_path: Path, breaks: str
) -> None:
    """Its cases pass in the next session, and nobody is told of an error."""
    folder = write_suite(tmp_path, {"test_a.py": breaks, "test_b.py": FINE})
    told = run_suite(folder)
    assert told.outcomes == {"test_breaks": "passed", "test_fine": "passed"}
    assert not told.all("collect-error")


def test_what_is_left_of_a_spoilt_session_is_nobodys_fault(tmp_path: Path) -> None:
    """The session ends as one that has nothing left to do: what it shared is taken down."""
    folder = write_suite(
        tmp_path,
        {
            "conftest.py": """
                import pytest
                @pytest.fixture(scope="session")
                def shared():
                    yield
                    raise ValueError("at the end")
            """,
            "test_a.py": "import sys\ndef test_breaks(shared): sys.path.clear()\n",
            "test_b.py": FINE,
        },
    )
    told = Told()
    collector, runner = SessionRunner(spec_of(folder)), SessionRunner(spec_of(folder))
    try:
        cases = collect(collector)
        end = run_batch(runner, cases, told)
        assert (end.left, end.spoilt, end.runner_died) == (("test_b.py::test_fine",), True, False)
        assert not runner.alive
        assert [message["id"] for message in told.all("late")] == ["test_a.py::test_breaks"]
        assert run_batch(runner, cases[1:], told).left == ()
    finally:
        collector.close(0)
        runner.close(0)
    assert told.outcomes == {"test_breaks": "passed", "test_fine": "passed"}


def test_a_file_that_no_session_can_load_is_an_error_once(tmp_path: Path) -> None:
    """A fresh session that cannot load it either says so."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": "def test_a(): pass\n",
            "test_b.py": "import os\nassert 'LOADED' in os.environ\ndef test_b(): pass\n",
        },
    )
    told = Told()
    collector = SessionRunner(spec_of(folder, environment={"LOADED": "1"}))
    runner = SessionRunner(spec_of(folder))
    try:
        left = collect(collector)
        for expected in ([left[1]], []):
            end = run_batch(runner, left, told)
            left = [case for case in left if case[0] in end.left]
            assert left == expected
    finally:
        collector.close(0)
        runner.close(0)
    assert told.outcomes == {"test_a": "passed", "test_b": "error"}
    assert len(told.all("collect-error")) == 1


def test_files_that_are_broken_anyway_cost_few_sessions(tmp_path: Path) -> None:
    """Fresh sessions are no help for them: after some in a row they are errors where they are."""
    broken = [f"test_b{n}.py" for n in range(6)]
    loads = "import os\nassert 'LOADED' in os.environ\ndef test_b(): pass\n"
    folder = write_suite(
        tmp_path, {"test_a.py": "def test_a(): pass\n", **dict.fromkeys(broken, loads)}
    )
    collector = SessionRunner(spec_of(folder, environment={"LOADED": "1"}))
    runner = SessionRunner(spec_of(folder))
    told = Told()
    try:
        fine, *others = collect(collector)
        for each in others:
            # Something runs before each of them.
            left = [fine, each]
            while left:
                end = run_batch(runner, left, told)
                left = [case for case in left if case[0] in end.left]
    finally:
        collector.close(0)
        runner.close(0)
    assert [each["outcome"] for each in told.all("done")] == ["passed", "error"] * len(broken)
    assert sum(end.spoilt for end in told.ends) == MOST_IN_VAIN


def test_a_file_that_a_fresh_session_could_not_load_is_no_reason_for_another(
    tmp_path: Path,
) -> None:
    """It is run again, after others: it is as broken as it was."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": "def test_a(): pass\n",
            "test_b.py": "import os\nassert 'LOADED' in os.environ\ndef test_b(): pass\n",
        },
    )
    collector = SessionRunner(spec_of(folder, environment={"LOADED": "1"}))
    runner = SessionRunner(spec_of(folder))
    told = Told()
    try:
        fine, broken = collect(collector)
        for cases in ([broken], [fine, broken], [broken]):
            assert run_batch(runner, cases, told).left == ()
        runner.close()
        # Nor is it in the next session, which somebody else had ended.
        assert run_batch(runner, [fine, broken], told).left == ()
    finally:
        collector.close(0)
        runner.close(0)
    assert not any(end.spoilt for end in told.ends)
    assert told.outcomes == {"test_a": "passed", "test_b": "error"}


def test_cancelling_is_heard_while_a_spoilt_session_ends(tmp_path: Path) -> None:
    """A shared fixture may take its time to go; nobody waits for it who wants all to end now."""
    folder = write_suite(
        tmp_path / "suite",
        {
            "conftest.py": f"""
                import pathlib, time
                import pytest
                @pytest.fixture(scope="session")
                def shared():
                    yield
                    pathlib.Path({str(tmp_path / "leaving")!r}).touch()
                    time.sleep(600)
            """,
            "test_a.py": "import sys\ndef test_breaks(shared): sys.path.clear()\n",
            "test_b.py": FINE,
        },
    )
    told, kill = Told(), threading.Event()
    # Without being heard, the fixture would be ended and told after this.
    spec = spec_of(folder, hang_timeout_seconds=30.0)
    collector, runner = SessionRunner(spec), SessionRunner(spec)

    def cancel() -> None:
        wait_until((tmp_path / "leaving").exists, what="the fixture goes")
        kill.set()

    canceller = threading.Thread(target=cancel, daemon=True)
    try:
        cases = collect(collector)
        canceller.start()
        end = run_batch(runner, cases, told, kill=kill)
        canceller.join()
        assert (end.left, end.spoilt, runner.alive) == (("test_b.py::test_fine",), True, False)
    finally:
        collector.close(0)
        runner.close(0)
    assert told.outcomes == {"test_breaks": "passed"}
    assert not told.all("late")


def test_a_file_that_a_fresh_session_loads_earns_others() -> None:
    """Only files in a row that none could load say that fresh sessions are no help here."""
    starts = FreshStarts()
    for number in range(4 * MOST_IN_VAIN):
        starts.spoilt(f"test_{number}.py")
        is_broken = number % MOST_IN_VAIN > 0
        starts.hear({"k": "collected", "file": f"test_{number}.py", "errors": int(is_broken)})
        assert starts.allowed
    assert starts.hopeless(["test_0.py", "test_1.py"]) == ["test_1.py"]
