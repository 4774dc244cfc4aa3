"""Files in folders whose names pytest would misread in an argument."""

from __future__ import annotations

from pathlib import Path

import pytest
from runner_suites import run_suite, write_suite

from proctor.infra.session.arguments import argument_for


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/home/p/tests/test_a.py", "/home/p/tests/test_a.py"),
        ("/home/p/[x]/deep/test_a.py", "."),
        ("/home/p/tests/a::b/test_a.py", "tests"),
        ("/home/p/tests/test_[a].py", "tests"),
        ("/home/[q]/test_a.py", ".."),
    ],
)
def test_a_folder_above_is_named_instead(path: str, said: str) -> None:
    """The nearest one that can be said."""
    assert argument_for(Path(path), Path("/home/p")) == said


def test_where_pytest_is_started_may_have_any_name() -> None:
    """It is not said in what is relative to it."""
    start = Path("/home/[q]")
    assert argument_for(start / "tests" / "test_a.py", start) == "tests/test_a.py"


@pytest.mark.parametrize("argument", [".", "-q"], ids=["a path", "none"])
def test_cases_in_folders_with_brackets_and_colons_are_run(tmp_path: Path, argument: str) -> None:
    """And so are those of a project that lies in one."""
    folder = write_suite(
        tmp_path / "pro[j]ect",
        {
            "tests/test_a.py": "def test_a(): pass\n",
            "[x]/deep/test_b.py": "def test_b(): assert 0\n",
            "c::d/test_c.py": "def test_c(): pass\n",
        },
    )
    told = run_suite(folder, argument)
    assert {message["id"]: message["outcome"] for message in told.all("done")} == {
        "tests/test_a.py::test_a": "passed",
        "[x]/deep/test_b.py::test_b": "failed",
        "c::d/test_c.py::test_c": "passed",
    }
