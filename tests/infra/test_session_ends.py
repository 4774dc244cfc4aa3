"""What a session says as it ends: exit codes that hooks made, and data of forked cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from runner_suites import Told, run_batch, run_suite, spec_of, write_suite

from proctor.infra.runners.runner import SessionRunner

PASSES = "def test_a(): pass\n"
FAILS = "def test_a(): assert 0\n"


@pytest.mark.parametrize(
    ("suite", "hook", "said"),
    [
        (PASSES, "pass", (0, 0, "")),
        (FAILS, "pass", (1, 1, "")),
        (PASSES, "session.exitstatus = 7", (0, 7, "")),
        (FAILS, "session.exitstatus = 3", (1, 3, "")),
        (PASSES, "pytest.exit('enough', returncode=9)", (0, 9, "")),
        (PASSES, "raise ValueError('too slow')", (0, 1, "ValueError: too slow")),
    ],
)
def test_the_exit_code_that_hooks_make_is_told(
    tmp_path: Path, suite: str, hook: str, said: tuple[int, int, str]
) -> None:
    """Beside pytest's own: nobody sees the code of the process itself."""
    conftest = f"import pytest\ndef pytest_sessionfinish(session):\n    {hook}\n"
    told = run_suite(write_suite(tmp_path, {"conftest.py": conftest, "test_a.py": suite}))
    ends = [(end["own"], end["code"], end["why"]) for end in told.all("finished")]
    assert ends == [said]


def test_a_session_knows_of_failures_in_forked_cases(tmp_path: Path) -> None:
    """What failed there is counted in a process that is gone."""
    folder = write_suite(tmp_path, {"test_a.py": FAILS, "test_b.py": PASSES})
    told = run_suite(folder, isolate=True)
    assert [(end["own"], end["code"]) for end in told.all("finished")] == [(1, 1)]


def test_forked_cases_save_what_coverage_measured(tmp_path: Path) -> None:
    """It saves where it began to measure, and this process ends without its exit handlers."""
    folder = write_suite(
        tmp_path,
        {
            # Stands for the real one, with as much of it as is asked for.
            "coverage.py": """
                import os, pathlib
                class Coverage:
                    stopped = False
                    @classmethod
                    def current(cls): return cls()
                    def stop(self): self.stopped = True
                    def save(self):
                        assert self.stopped
                        pathlib.Path(f"data.{os.getpid()}").touch()
            """,
            "conftest.py": "import coverage\n",
            "test_a.py": """
                import os
                def test_one(record_property): record_property("pid", os.getpid())
                def test_two(record_property): record_property("pid", os.getpid()); assert 0
            """,
        },
    )
    told = run_suite(folder, isolate=True)
    assert told.outcomes == {"test_one": "passed", "test_two": "failed"}
    pids = {f"data.{done['props'][0][1]}" for done in told.all("done")}
    assert {path.name for path in folder.glob("data.*")} == pids


def test_a_broken_package_breaks_the_files_in_it(tmp_path: Path) -> None:
    """Though pytest speaks of the folder: its cases are errors with its words."""
    folder = write_suite(
        tmp_path, {"pkg/__init__.py": "", "pkg/test_a.py": PASSES, "test_b.py": PASSES}
    )
    (folder / "pkg" / "__init__.py").write_text("raise ImportError('not here')\n")
    told = Told()
    runner = SessionRunner(spec_of(folder))
    try:
        cases = [("pkg/test_a.py::test_a", "pkg/test_a.py"), ("test_b.py::test_a", "test_b.py")]
        run_batch(runner, cases, told)
    finally:
        runner.close()
    assert [(done["id"], done["outcome"]) for done in told.all("done")] == [
        ("pkg/test_a.py::test_a", "error"),
        ("test_b.py::test_a", "passed"),
    ]
    assert told.all("done")[0]["message"] == "its file cannot be loaded: ImportError: not here"
