"""A regression that is there is found in the history, run again in turns, and told as confirmed."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from timed_campaigns import write_timed

from proctor.deployments.cli import main

CASE = "tests/test_press.py::test_press"
OTHER = "tests/test_press.py::test_sort"
COMMITS, SLOWER_AT = 24, 16
BEGAN, DAY = 1.7e9, 86_400.0
# What a round of the loop takes is the machine's; that one commit does four times as many is not.
ROUNDS = {False: 300_000, True: 1_200_000}


def git(folder: Path, *words: str) -> str:
    made = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", *words],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return made.stdout.strip()


def make_repository(folder: Path, *, slower_at: int) -> list[str]:
    """Commits of a suite; from one of them on a case computes four times as long."""
    (folder / "tests").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "pyproject.toml").write_text('[project]\nname = "press"\nversion = "1"\n')
    (folder / "tests" / "test_press.py").write_text(
        "from press import press\n\n\n"
        "def test_press():\n    assert press() >= 0\n\n\n"
        "def test_sort():\n    pass\n"
    )
    commits = list[str]()
    for number in range(COMMITS):
        (folder / "press.py").write_text(
            f"VERSION = {number}\n\n\n"
            f"def press():\n    return sum(i % 7 for i in range({ROUNDS[number >= slower_at]}))\n"
        )
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"number {number}")
        commits.append(git(folder, "rev-parse", "HEAD"))
    return commits


def write_history(state: Path, root: Path, commits: list[str]) -> None:
    """A campaign of each commit; from one on the case takes four times as long."""
    chance = random.Random(5)
    for number, commit in enumerate(commits):
        seconds = {
            case: 0.03
            * (4.0 if case == CASE and number >= SLOWER_AT else 1.0)
            * chance.lognormvariate(0, 0.03)
            for case in (CASE, OTHER)
        }
        write_timed(
            state, f"old-{number:02d}", seconds, began=BEGAN + number * DAY, commit=commit,
            name="nightly", root=str(root), project="press", command=("tests",),
            host=socket.gethostname(),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("slower_at", "status", "code"), [(SLOWER_AT, "confirmed", 10), (COMMITS, "dismissed", 0)]
)
def test_a_regression_is_found_run_again_and_told(
    tmp_path, monkeypatch, capsys, slower_at, status, code
):
    """The commit's own code decides: where it is no slower, the history's word is refuted."""
    commits = make_repository(tmp_path / "press", slower_at=slower_at)
    state = ["--state", str(tmp_path / "state")]
    write_history(tmp_path / "state", tmp_path / "press", commits)
    monkeypatch.setenv("PROCTOR_PYTHON", sys.executable)
    asked = ["--confirm", "--directory", str(tmp_path / "press"), "--timeout", "380"]
    assert main(["trends", *asked, *state, "--json", "--fail-on", "regression"]) == code
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["status"], found["commit"]) == (status, commits[SLOWER_AT])
    assert f"{commits[SLOWER_AT - 1][:10]}" in found["remark"]
    assert git(tmp_path / "press", "worktree", "list").count("\n") == 0
    # The next look says the same without a run.
    assert main(["trends", *state, "--fail-on", "regression"]) == code
