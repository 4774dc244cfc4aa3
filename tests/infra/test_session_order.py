"""Cases that a plugin puts in another order than they stand in."""

from __future__ import annotations

from pathlib import Path

import pytest
from runner_suites import Told, collect, run_batch, run_suite, spec_of, write_suite

from proctor.infra.runners.runner import SessionRunner

SUITE = "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n"
BACKWARDS = """
    import pytest
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(config, items):
        config.hook.pytest_deselected(items=[items.pop()])
        items.reverse()
"""


def told_of(folder: Path, *arguments: str) -> list[str]:
    """What is told of cases, in its order, when all are collected."""
    told = Told()
    path = f"{folder}:{folder}/site-packages"
    runner = SessionRunner(spec_of(folder, *arguments, environment={"PYTHONPATH": path}))
    try:
        collect(runner, told)
    finally:
        runner.close(0)
    return [message["id"].partition("::")[2] for message in told.all("item")]


def test_the_order_of_pytest_order_is_the_order_cases_are_told_in(tmp_path: Path) -> None:
    """Whoever runs them begins with what is told first; what is deselected is not told."""
    folder = write_suite(tmp_path, {"test_a.py": SUITE, "pytest_order.py": BACKWARDS})
    assert told_of(folder, "-p", "pytest_order", ".") == ["test_b", "test_a"]
    # Installed plugins that nobody is known to rely on so are not waited for.
    elsewhere = folder / "site-packages"
    elsewhere.mkdir()
    (folder / "pytest_order.py").rename(elsewhere / "pytest_other.py")
    assert told_of(folder, "-p", "pytest_other", ".") == ["test_a", "test_b", "test_c"]


FIRST_B = """
    def to_the_front(items, name):
        items.insert(0, next(item for item in items if item.name == name))

    def pytest_collection_modifyitems(items):
        to_the_front(items, "test_b")
        del items[2]
"""


@pytest.mark.parametrize("place", ["conftest.py", "inner/conftest.py"])
def test_the_order_of_a_conftest_is_the_order_cases_are_told_in(tmp_path: Path, place: str) -> None:
    folder = write_suite(tmp_path, {"inner/test_a.py": SUITE, place: FIRST_B})
    assert told_of(folder) == ["test_b", "test_a", "test_c"]


SPLITS = """
    def pytest_addoption(parser):
        parser.addoption("--part", default="")
    def pytest_collection_modifyitems(config, items):
        if config.getoption("--part"):
            del items[4:]
"""


@pytest.mark.parametrize(("options", "waits"), [((), False), (("--part=1",), True)])
def test_a_hook_whose_option_is_not_given_is_not_waited_for(
    tmp_path: Path, options: tuple[str, ...], waits: bool
) -> None:
    """Each session loads the one file that it is to run; all files where the hook acts."""
    files = {"test_a.py": SUITE, "test_b.py": SUITE, "conftest.py": SPLITS}
    folder = write_suite(tmp_path, files)
    told = Told()
    runner = SessionRunner(spec_of(folder, *options))
    try:
        run_batch(runner, [("test_a.py::test_a", "test_a.py")], told)
    finally:
        runner.close(0)
    assert told.outcomes == {"test_a": "passed"}
    entered = [message["file"] for message in told.all("collected")]
    assert entered == (["test_a.py", "test_b.py"] if waits else ["test_a.py"])


@pytest.mark.parametrize("isolate", [False, True])
def test_cases_that_are_cut_out_by_place_are_the_same_in_each_session(
    tmp_path: Path,
    isolate: bool,
) -> None:
    """One session collects, another runs: what it leaves of a file depends on all others."""
    cut = "def pytest_collection_modifyitems(items):\n    items[:] = items[1::2]\n"
    folder = write_suite(
        tmp_path, {"conftest.py": cut, "test_a.py": SUITE, "test_b.py": SUITE, "test_c.py": SUITE}
    )
    told = run_suite(folder, isolate=isolate)
    assert [message["id"] for message in told.all("done")] == [
        "test_a.py::test_b", "test_b.py::test_a", "test_b.py::test_c", "test_c.py::test_b",
    ]  # fmt: skip
    assert {message["outcome"] for message in told.all("done")} == {"passed"}
    assert not told.all("missing")


def test_files_that_are_collected_with_all_others_are_told_each(tmp_path: Path) -> None:
    cut = "def pytest_collection_modifyitems(items):\n    del items[:4]\n    len(items[1:])\n"
    broken = {"test_b.py": "def test_x(): pass\n", "test_d.py": "import nowhere\n"}
    folder = write_suite(tmp_path, {"conftest.py": cut, "test_a.py": SUITE, **broken})
    told = Told()
    runner = SessionRunner(spec_of(folder))
    try:
        order = [("test_b.py::test_x", "test_b.py"), ("test_d.py::test_y", "test_d.py")]
        run_batch(runner, order, told)
    finally:
        runner.close(0)
    assert [message["id"] for message in told.all("missing")] == ["test_b.py::test_x"]
    assert told.outcomes == {"test_y": "error"}
