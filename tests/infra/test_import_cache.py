"""Compiled modules: kept by us where the user's environment forbids them in place, only there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from runner_suites import Told, collect, run_batch, spec_of, write_suite

from proctor.infra.runners.runner import SessionRunner

FORBIDDEN = {"PYTHONDONTWRITEBYTECODE": "1"}
FILES = {
    "conftest.py": "import product\n",
    "product.py": "def answer():\n    return 41\n",
    "test_product.py": """
        import sys
        import product

        def test_answer():
            assert product.answer() == 42, product.answer()

        def test_interpreter_is_as_the_user_set_it():
            assert sys.dont_write_bytecode
            assert sys.pycache_prefix is None

        def test_modules_of_tests_are_not_kept(tmp_path, monkeypatch):
            tmp_path.joinpath("made_by_test.py").write_text("x = 1")
            monkeypatch.syspath_prepend(tmp_path)
            import made_by_test
    """,
}


def run(folder: Path, place: Path, environment: Mapping[str, str]) -> Told:
    """All cases of the suite in a fresh session."""
    spec = spec_of(folder, import_cache=str(place), environment=environment, directory_on_path=True)
    told = Told()
    runner = SessionRunner(spec)
    try:
        run_batch(runner, collect(runner, told), told)
    finally:
        runner.close()
    return told


def compiled(folder: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in folder.rglob("*.pyc")}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return write_suite(tmp_path / "suite", FILES)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "compiled"
    path.mkdir()
    return path


def replace_unnoticed(path: Path, old: str, new: str) -> None:
    """Change a source so that its time and its size do not tell."""
    before = path.stat()
    text = path.read_text()
    assert len(old) == len(new)
    assert old in text
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_modules_are_kept_and_used_again(suite: Path, place: Path) -> None:
    """Product, conftest and tests are compiled once; the source tree and the tests see nothing."""
    outcomes = run(suite, place, FORBIDDEN).outcomes
    assert outcomes == {
        "test_answer": "failed",
        "test_interpreter_is_as_the_user_set_it": "passed",
        "test_modules_of_tests_are_not_kept": "passed",
    }
    assert compiled(suite) == set()
    ours = {"conftest", "product", "test_product"}
    assert compiled(place) >= ours
    assert "made_by_test" not in compiled(place)
    # pytest replaces its file when it cannot use it; it knows its sources by their content.
    (rewritten,) = place.rglob("test_product.*pytest*.pyc")
    kept = rewritten.stat().st_ino
    # Only code that comes out of the cache can still say what the source no longer says.
    replace_unnoticed(suite / "product.py", "41", "42")
    assert run(suite, place, FORBIDDEN).done["test_answer"]["message"] == "AssertionError: 41"
    assert rewritten.stat().st_ino == kept


def test_a_changed_file_is_compiled_anew(suite: Path, place: Path) -> None:
    """What the cache holds of an older source is not used."""
    assert run(suite, place, FORBIDDEN).outcomes["test_answer"] == "failed"
    (suite / "product.py").write_text("def answer():\n    return 40 + 2\n")
    assert run(suite, place, FORBIDDEN).outcomes["test_answer"] == "passed"


def test_python_that_may_write_needs_no_cache(suite: Path, place: Path) -> None:
    """Compiled files go beside their sources, as ever."""
    run(suite, place, {"PYTHONDONTWRITEBYTECODE": ""})
    assert compiled(place) == set()
    assert {"conftest", "product", "test_product"} <= compiled(suite)


def test_a_folder_of_the_users_own_is_left_alone(suite: Path, place: Path, tmp_path: Path) -> None:
    """Who set PYTHONPYCACHEPREFIX has decided where compiled files are."""
    theirs = tmp_path / "theirs"
    run(suite, place, {**FORBIDDEN, "PYTHONPYCACHEPREFIX": str(theirs)})
    assert compiled(place) == set()


def test_a_folder_that_is_not_there(suite: Path, tmp_path: Path) -> None:
    """A worker on another machine has no such folder, and makes none."""
    missing = tmp_path / "no" / "such" / "folder"
    told = run(suite, missing, FORBIDDEN)
    assert told.outcomes["test_interpreter_is_as_the_user_set_it"] == "passed"
    assert not missing.exists()
