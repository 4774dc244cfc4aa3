"""The command from its first moment: a Ctrl-C is answered while it still loads."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from real_campaigns import environment

# Ctrl-C is pressed when this is looked for.
INTERRUPTED = """\
import sys

class Person:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Person())
sys.argv = ["proctor", "list"]
"""
AS_MODULE = """\
import runpy
runpy.run_module("proctor", run_name="__main__")
"""
# What an installed console script does.
AS_SCRIPT = """\
from {module} import {name}
sys.exit({name}())
"""


def script() -> str:
    """As it is declared; what is installed beside us may be older."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    module, _, name = project["project"]["scripts"]["proctor"].partition(":")
    return AS_SCRIPT.format(module=module, name=name)


@pytest.mark.parametrize("module", ["proctor.deployments.cli", "proctor.infra.errors"])
@pytest.mark.parametrize("started", [AS_MODULE, script()], ids=["module", "script"])
def test_an_interruption_of_our_imports_is_told_in_a_line(
    tmp_path: Path, module: str, started: str
) -> None:
    """Not by a traceback, and not by the exit code of failed cases."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module) + started],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "proctor: interrupted\n")


def test_nothing_is_loaded_before_somebody_can_answer(tmp_path: Path) -> None:
    """Of ours, or what takes a while of others."""
    told = "import sys; before = {*sys.modules}\n"
    told += f"{script().splitlines()[0]}\nprint(*sorted({{*sys.modules}} - before))"
    done = subprocess.run(
        [sys.executable, "-c", told],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    loaded = done.stdout.split()
    ours = [name for name in loaded if name.split(".")[0] == "proctor"]
    assert ours == ["proctor", "proctor.deployments", "proctor.deployments.entry"]
    assert "typing" not in loaded
