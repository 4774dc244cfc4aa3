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
