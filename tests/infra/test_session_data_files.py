"""Data files with cases in them are loaded in company, and each is told by itself."""

from __future__ import annotations

from pathlib import Path

from runner_suites import Told, collect, run_batch, run_suite, spec_of, write_suite

from proctor.infra.runners.runner import SessionRunner

# What a file says is what it does: at its loading, or as its case.
CONFTEST = """
    import os
    import pytest

    def pytest_collect_file(file_path, parent):
        if file_path.suffix == ".txt":
            return Data.from_parent(parent, path=file_path)

    def pytest_configure(config):
        config.rounds = 0

    def pytest_collection_modifyitems(config):
        config.rounds += 1

    class Data(pytest.File):
        def collect(self):
            text = self.path.read_text()
            if os.environ.get("LOADS_BADLY") and text == "broken":
                raise ValueError("no data")
            if os.environ.get("LOADS_BADLY") and text == "deadly":
                os._exit(7)
            for name in text.split():
                yield Line.from_parent(self, name=name)

    class Line(pytest.Item):
        def runtest(self):
            if self.name == "wrong":
                raise ValueError(f"after {self.config.rounds} collections")
"""


def _suite(folder: Path, **texts: str) -> Path:
    files = {f"data/{name}.txt": text for name, text in texts.items()}
    return write_suite(folder, {"conftest.py": CONFTEST, **files})


def test_many_are_loaded_in_one_go(tmp_path: Path) -> None:
    """Each says what is in it, and the verdicts are each file's own."""
    folder = _suite(tmp_path, a="one two", b="three wrong", c="four")
    told = run_suite(folder)
    found = {each["file"]: each["ids"] for each in told.all("collected") if each["file"]}
    assert found == {
        "data/a.txt": ["data/a.txt::one", "data/a.txt::two"],
        "data/b.txt": ["data/b.txt::three", "data/b.txt::wrong"],
        "data/c.txt": ["data/c.txt::four"],
    }
    assert told.outcomes == {
        "one": "passed",
        "two": "passed",
        "three": "passed",
        "wrong": "failed",
        "four": "passed",
    }
    # One look was enough for all three files.
    assert "after 1 collections" in told.done["wrong"]["message"]


def _run(folder: Path, cases: list[tuple[str, str]]) -> Told:
    told = Told()
    runner = SessionRunner(spec_of(folder, environment={"LOADS_BADLY": "1"}))
    try:
        left = cases
        while left:
            end = run_batch(runner, left, told)
            assert len(end.left) < len(left), "a batch must make progress"
            left = [case for case in left if case[0] in end.left]
    finally:
        runner.close(0)
    return told


def _found(folder: Path) -> list[tuple[str, str]]:
    runner = SessionRunner(spec_of(folder))
    try:
        return collect(runner)
    finally:
        runner.close(0)


def test_one_that_is_broken_costs_its_own_cases(tmp_path: Path) -> None:
    folder = _suite(tmp_path, a="one", b="broken", c="two")
    told = _run(folder, _found(folder))
    assert told.outcomes == {"one": "passed", "broken": "error", "two": "passed"}
    assert "no data" in told.done["broken"]["message"]


def test_one_that_kills_the_session_is_named(tmp_path: Path) -> None:
    folder = _suite(tmp_path, a="one", b="deadly", c="two")
    told = _run(folder, _found(folder))
    assert told.outcomes == {"one": "passed", "deadly": "crashed", "two": "passed"}
    assert "while data/b.txt was imported" in told.done["deadly"]["message"]


def test_one_that_is_gone_keeps_no_other_back(tmp_path: Path) -> None:
    folder = _suite(tmp_path, a="one", b="gone", c="two")
    cases = _found(folder)
    (folder / "data" / "b.txt").unlink()
    told = _run(folder, cases)
    assert told.outcomes == {"one": "passed", "two": "passed"}
    assert [each["id"] for each in told.all("missing")] == ["data/b.txt::gone"]
