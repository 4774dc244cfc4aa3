"""Cases that a plugin puts in another order than they stand in."""

from __future__ import annotations

from pathlib import Path

from runner_suites import Told, collect, spec_of, write_suite

from proctor.infra.runners.runner import SessionRunner

BACKWARDS = """
    import pytest
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(config, items):
        config.hook.pytest_deselected(items=[items.pop()])
        items.reverse()
"""


def told_of(folder: Path, *arguments: str) -> list[str]:
    told = Told()
    runner = SessionRunner(spec_of(folder, *arguments, environment={"PYTHONPATH": str(folder)}))
    try:
        assert len(collect(runner, told)) == 2
    finally:
        runner.close(0)
    return [message["id"].partition("::")[2] for message in told.all("item")]


def test_the_order_of_pytest_order_is_the_order_cases_are_told_in(tmp_path: Path) -> None:
    """Whoever runs them begins with what is told first; what is deselected is not told."""
    suite = "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n"
    folder = write_suite(tmp_path, {"test_a.py": suite, "pytest_order.py": BACKWARDS})
    assert told_of(folder, "-p", "pytest_order", ".") == ["test_b", "test_a"]
    # Other plugins that put cases in order are not waited for.
    (folder / "pytest_order.py").rename(folder / "pytest_other.py")
    assert told_of(folder, "-p", "pytest_other", ".") == ["test_a", "test_b", "test_c"]
