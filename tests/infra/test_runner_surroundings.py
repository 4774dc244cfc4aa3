"""What a case finds around it in a session: as with plain pytest, wherever it runs."""

from __future__ import annotations

import sys
from pathlib import Path

from runner_suites import PYTHON, Told, collect, run_batch, run_suite, write_suite

from proctor.infra.runners.runner import RunnerSpec, SessionRunner


def test_options_that_belong_to_the_coordinator_are_neutral(tmp_path: Path) -> None:
    """-x, -n, --pdb, --lf and the like in addopts change nothing in a runner."""
    folder = write_suite(
        tmp_path,
        {"test_a.py": "def test_a(): assert 0\ndef test_b(): assert 0\ndef test_c(): pass\n"},
    )
    xdist = "-n 2 --dist=loadfile" if sys.executable == PYTHON else ""
    (folder / "pytest.ini").write_text(
        f"[pytest]\naddopts = -x --maxfail=1 --pdb --trace --sw --ff -v --tb=short "
        f"--junitxml=out.xml --basetemp=temp {xdist}\n"
    )
    runner = SessionRunner(
        RunnerSpec(python=PYTHON, arguments=(".",), directory=str(folder), run_id="r")
    )
    told = Told()
    try:
        run_batch(runner, collect(runner), told)
        assert runner.hello["maxfail"] == 1
    finally:
        runner.close()
    assert told.outcomes == {"test_a": "failed", "test_b": "failed", "test_c": "passed"}
    assert not (folder / "out.xml").exists()


def test_a_case_finds_the_surroundings_of_plain_pytest(tmp_path: Path) -> None:
    """Path, arguments, standard input, descriptors and environment are as `pytest` has them."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import os, subprocess, sys
                def test_path():
                    assert not any(p.endswith("infra") for p in sys.path)
                    assert "proctor.infra" not in sys.modules
                    # As `pytest` does it: the rootdir-relative folder of the file comes first.
                    assert sys.path[0] == os.path.dirname(__file__)
                def test_arguments(): assert os.path.basename(sys.argv[0]) == "pytest"
                def test_input(): assert os.fstat(0).st_rdev == os.stat(os.devnull).st_rdev
                def test_environment():
                    assert os.environ["MINE"] == "1"
                    assert os.environ["PYTEST_XDIST_WORKER"] == "gw3"
                    assert "PYTHONHASHSEED" not in os.environ
                    assert "test_environment" in os.environ["PYTEST_CURRENT_TEST"]
                def test_descriptors():
                    code = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int))"
                    out = subprocess.run([sys.executable, "-c", code], close_fds=False,
                                         capture_output=True, text=True).stdout
                    assert eval(out) == ["0", "1", "2", "3"]
                def test_worker(worker_id, testrun_uid, request):
                    assert (worker_id, testrun_uid) == ("gw3", "run-1")
                    assert request.config.workerinput["workercount"] == 4
                def test_writes(capfd):
                    os.write(1, b"raw")
                    assert capfd.readouterr().out == "raw"
            """
        },
    )
    told = run_suite(folder, environment={"MINE": "1"}, worker_id="gw3", worker_count=4)
    problems = {n: m["message"] for n, m in told.done.items() if m["outcome"] != "passed"}
    assert problems == {}


def test_sessions_of_a_campaign_share_the_folder_above_their_temporary_ones(
    tmp_path: Path,
) -> None:
    """As the recipe of pytest-xdist for what is made once has it; another run has another."""
    folder = write_suite(
        tmp_path / "suite",
        {
            "test_a.py": """
                import os
                def test_a(tmp_path_factory, record_property):
                    base = tmp_path_factory.getbasetemp()
                    record_property("shared", os.fspath(base.parent))
                    record_property("own", os.fspath(base))
            """
        },
    )
    (tmp_path / "temporary").mkdir()
    found: list[tuple[object, ...]] = []
    for worker, run in (("gw0", "one"), ("gw1", "one"), ("gw1", "one"), ("gw0", "two")):
        environment = {"PYTEST_DEBUG_TEMPROOT": str(tmp_path / "temporary")}
        told = run_suite(folder, worker_id=worker, run_id=run, environment=environment)
        found.append(tuple(value for _, value in told.done["test_a"]["props"]))
    shared, own = zip(*found, strict=True)
    assert shared[0] == shared[1] == shared[2] != shared[3]
    assert len(set(own)) == 4


def test_a_plugin_that_does_not_bear_the_pose_of_a_worker(tmp_path: Path) -> None:
    """Where a plugin expects words of pytest-xdist's controller, the session does without it."""
    folder = write_suite(
        tmp_path,
        {
            "conftest.py": """
                def pytest_configure(config):
                    if hasattr(config, "workerinput"):
                        config.mine = config.workerinput["only_the_controller_knows"]
            """,
            "test_a.py": "def test_a(pytestconfig): assert not hasattr(pytestconfig, 'workerinput')",
        },
    )
    told = run_suite(folder)
    assert told.outcomes == {"test_a": "passed"}


def test_hash_seeds_agree_between_runners_of_a_campaign(tmp_path: Path) -> None:
    """A parametrisation over a set has the same ids in the collector and in each runner."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import pytest
                @pytest.mark.parametrize("value", [frozenset([w]) for w in set("abcdefgh")])
                def test_a(value): print(sorted(value))
            """
        },
    )
    first, second = run_suite(folder), run_suite(folder)
    assert [m["text"] for m in first.all("done")] == [m["text"] for m in second.all("done")]


def test_output_without_capture_goes_with_its_case(tmp_path: Path) -> None:
    """With -s the session's own output files are cut up by case."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import sys
                def test_a(): print("one")
                def test_b(): print("x" * 3_000_000)
                def test_c(): print("three"); print("oops", file=sys.stderr)
            """
        },
    )
    told = run_suite(folder, "-s", ".")
    assert told.text("test_a", "stdout") == "one\n"
    assert "bytes left out" in told.text("test_b", "stdout")
    assert told.text("test_c", "stdout") == "three\n"
    assert told.text("test_c", "stderr") == "oops\n"


def test_the_limit_of_output_is_the_users(tmp_path: Path) -> None:
    """Each text is cut to the given size."""
    folder = write_suite(
        tmp_path, {"test_a.py": "def test_a(): print('ü' * 5000); assert 0, 'y' * 9000"}
    )
    told = run_suite(folder, output_limit_bytes=1000)
    for name in ("stdout", "traceback"):
        text = told.text("test_a", name)
        assert "bytes left out" in text
        assert len(text.encode()) < 1100
