"""Pytest's search for its root ends at the edge of a project's copy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proctor.infra.runners.project_fence import fenced
from proctor.infra.runners.spec import RunnerSpec

TEST = "def test_it(): ..."


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy below another project, whose settings and conftest no test of it survives."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not of this project')")
    root = tmp_path / "scratch" / "digest-0" / "files"
    (root / "tests").mkdir(parents=True)
    (root / "tests" / "test_a.py").write_text(TEST)
    return root


def options(copy: Path, *arguments: str, directory: str = "") -> list[str]:
    """What is added to the arguments."""
    spec = RunnerSpec(python="p", directory=str(copy / directory), arguments=arguments)
    there = list(fenced(spec, copy).arguments)
    assert there[len(there) - len(arguments) :] == list(arguments)
    return there[: len(there) - len(arguments)]


def collected(folder: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_ids_are_the_projects_own_whatever_stands_above(copy):
    """Without it pytest takes the settings above for the project's."""
    assert collected(copy, "tests") == []
    assert collected(copy, *options(copy, "tests"), "tests") == ["tests/test_a.py::test_it"]


def test_a_project_with_settings_of_its_own_needs_nothing(copy):
    """Also where they are above the directory, or beside the tests that are named."""
    settings = copy / "tests" / "tox.ini"
    settings.write_text("[pytest]\n")
    assert options(copy, "tests/test_a.py::test_it", "-k", "x") == []
    assert options(copy) != []
    (copy / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    assert options(copy) == []
    (copy / "pyproject.toml").unlink()
    settings.rename(copy / "tox.ini")
    assert options(copy, directory="tests") == []
    assert options(copy, "-c", "other.ini") == []
    assert options(copy, "../..") == []


def test_a_root_is_where_a_project_begins(copy):
    """As pytest has it where there are no settings at all."""
    (copy / "tests" / "setup.py").touch()
    assert options(copy, directory="tests")[0] == f"--rootdir={copy / 'tests'}"
    (copy / "pyproject.toml").write_text("[project]\n[tool.pytest-other]\n")
    assert options(copy, directory="tests")[0] == f"--rootdir={copy}"
