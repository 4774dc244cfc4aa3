"""Cases that run each in a process of its own, forked from the warm session."""

from __future__ import annotations

from pathlib import Path

from runner_suites import run_suite, write_suite


def test_isolated_cases_have_temporary_folders_of_their_own(tmp_path: Path) -> None:
    """A fixture of the session is set up in each of them, and may name what it makes."""
    folder = write_suite(
        tmp_path / "suite",
        {
            "test_named.py": """
                import pytest
                @pytest.fixture(scope="session")
                def named(tmp_path_factory):
                    return tmp_path_factory.mktemp("named", numbered=False)
                def own(tmp_path, named, shared):
                    assert not list(named.iterdir())
                    (named / "left").touch()
                    assert named.parent == tmp_path.parent and tmp_path.name.endswith("0")
                    assert tmp_path.parent.parent == shared
                @pytest.fixture
                def shared(tmp_path_factory):
                    return tmp_path_factory.getbasetemp().parent
                @pytest.mark.parametrize("same", [1, 1])
                def test_one(tmp_path, named, shared, same):
                    own(tmp_path, named, shared)
                    # As suites for pytest-xdist have it: once for all.
                    (shared / "once").mkdir(exist_ok=True)
                def test_two(tmp_path, named, shared):
                    own(tmp_path, named, shared)
                    assert (shared / "once").is_dir()
            """
        },
    )
    told = run_suite(folder, isolate=True, environment={"PYTEST_DEBUG_TEMPROOT": str(tmp_path)})
    assert told.outcomes == dict.fromkeys(["test_one[1_0]", "test_one[1_1]", "test_two"], "passed")
