"""Whoever reads what a run prints may leave before it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from real_campaigns import PATIENCE_SECONDS, environment, write_project


@pytest.mark.parametrize("document", [(), ("--json",)])
def test_the_exit_code_is_that_of_the_tests(tmp_path: Path, document: tuple[str, ...]) -> None:
    """`proctor run | grep -q failed` in a shell that looks at both: a failure stays one."""
    project = write_project(tmp_path / "p", {"test_a.py": "def test_a(): assert 0\n"})
    command = (sys.executable, "-m", "proctor", "run", "-n", "1", "--prefect", "off", *document)
    with subprocess.Popen(
        (*command, "--state", str(tmp_path / "state")),
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(PATIENCE_SECONDS) == 1, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.parametrize("document", [(), ("--json",)])
def test_a_disk_that_is_full_hides_no_exit_code(tmp_path: Path, document: tuple[str, ...]) -> None:
    """`proctor run > log` where the log's disk is full: one line says so, and the rest is kept."""
    project = write_project(tmp_path / "p", {"test_a.py": "def test_a(): assert 0\n"})
    state = ("--state", str(tmp_path / "state"))
    command = ("run", "-n", "1", "--prefect", "off", *document)
    ran = _with_full_disk(*command, *state, directory=project)
    assert ran.returncode == 1, ran.stderr
    assert _last_line(ran) == _FULL
    listed = _with_full_disk("list", *document, *state, directory=project)
    assert listed.returncode == 6
    assert listed.stderr.strip() == _FULL


_FULL = (
    "proctor: stdout takes nothing more: No space left on device; make room, or send it elsewhere"
)


def _with_full_disk(*words: str, directory: Path) -> subprocess.CompletedProcess[str]:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        return subprocess.run(
            (sys.executable, "-m", "proctor", *words),
            cwd=directory,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )


def _last_line(ran: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.stderr.strip().splitlines()[-1]
