"""The commit that made a case slower, or broke it, is found; really, in a repository of ten."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proctor.flows.trending.bisect import NothingToFind, bisect_case, search
from proctor.flows.trending.checkouts import BadCheckout, checkouts
from proctor.flows.trending.measure import CampaignMeasure, Run

QUIET = lambda text: None  # noqa: E731
COMMITS = [f"{number:040x}" for number in range(33)]


class Noisy:
    """A case whose level moves at one commit; some commits cannot be run."""

    def __init__(self, at: int, *, by: float, noise: float = 0.03, void: tuple[int, ...] = ()):
        self.chance = random.Random(7)
        self.at, self.by, self.noise, self.void = at, by, noise, void

    def __call__(self, commit: str) -> Run:
        number = int(commit, 16)
        if number in self.void:
            return Run()
        level = self.by if number >= self.at else 1.0
        return Run(seconds=level * self.chance.lognormvariate(0, self.noise))


@pytest.mark.parametrize("at", [1, 5, 17, 32])
def test_the_first_slower_commit_is_found_in_noise(at):
    """A tenth more with 3 % of noise, anywhere among 32."""
    told = search("t", COMMITS, Noisy(at, by=1.1), most=15, say=QUIET)
    assert told.commits == (COMMITS[at],)
    assert told.runs < 80


def test_commits_that_cannot_be_run_are_named_with_the_one_behind_them():
    """Nobody can tell which of the three it was."""
    told = search("t", COMMITS, Noisy(12, by=1.3, void=(11, 12)), most=15, say=QUIET)
    assert told.commits == tuple(COMMITS[11:14])


@pytest.mark.parametrize("known_from", [1, 40])
def test_a_case_that_is_not_there_is_told_so(known_from):
    """Neither slow nor failing: there is no such case, or not yet."""

    def measure(commit: str) -> Run:
        return Run(is_missing=True) if int(commit, 16) < known_from else Run(seconds=1.0)

    with pytest.raises(NothingToFind, match=rf"there is no case t\.py::nope at {COMMITS[0][:12]}"):
        search("t.py::nope", COMMITS, measure, most=8, say=QUIET)


def test_a_file_that_a_commit_lacks_is_not_run_there(repository, tmp_path):
    """It came later; nothing has to be started to see that."""
    folder, commits = repository
    with checkouts(folder) as trees:
        measure = CampaignMeasure(
            trees=trees, case="tests/test_later.py::test_it", python=sys.executable, deadline=0.0
        )
        assert measure(commits[0]).is_missing


def test_ends_that_do_not_differ_end_the_search():
    """Rather than blame somebody by chance."""
    with pytest.raises(NothingToFind, match="is not slower"):
        search("t", COMMITS, Noisy(40, by=2), most=8, say=QUIET)


def test_nobody_is_blamed_for_a_machine_that_gets_slower_meanwhile():
    """After its ends were run the case takes a fifth longer at any commit."""
    case = Noisy(17, by=1.2)
    runs = iter(range(10_000))

    def measure(commit: str) -> Run:
        factor = 1.2 if next(runs) >= 12 else 1.0
        return Run(seconds=(case(commit).seconds or 0.0) * factor)

    with pytest.raises(NothingToFind, match=f"{COMMITS[1][:12]} seemed to be the first"):
        search("t", COMMITS, measure, most=15, say=QUIET)


def test_a_case_that_fails_now_and_then_at_the_good_end_is_flaky():
    """It happened to pass there once."""
    runs = iter(range(10_000))

    def measure(commit: str) -> Run:
        fails = commit == COMMITS[-1] or next(runs) > 0
        return Run(failed=True) if fails else Run(seconds=1.0)

    with pytest.raises(NothingToFind, match=f"flaky at {COMMITS[0][:12]}"):
        search("t", COMMITS, measure, most=15, say=QUIET)


def test_a_failure_is_found_as_well():
    """A pass says good, three failures say bad."""

    def measure(commit: str) -> Run:
        return Run(failed=True) if int(commit, 16) >= 9 else Run(seconds=1.0)

    told = search("t", COMMITS, measure, most=15, say=QUIET)
    assert (told.what, told.commits) == ("fails", (COMMITS[9],))


def git(folder: Path, *words: str) -> str:
    made = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", *words],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return made.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """Six commits; the fourth makes the case wait ten times as long."""
    folder = tmp_path / "r"
    (folder / "tests").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (folder / "tests" / "test_press.py").write_text(
        "import time\nimport press\n\ndef test_press():\n    time.sleep(press.SECONDS)\n"
    )
    commits = []
    for number in range(6):
        (folder / "press.py").write_text(
            f"SECONDS = {1.0 if number >= 3 else 0.1}\nVERSION = {number}\n"
        )
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"number {number}")
        commits.append(git(folder, "rev-parse", "HEAD"))
    return folder, commits


def test_a_real_slow_down_is_bisected_with_real_campaigns(repository, tmp_path, monkeypatch):
    """Worktrees, Proctor underneath, and nothing left behind in the repository."""
    folder, commits = repository
    monkeypatch.setenv("PROCTOR_PYTHON", sys.executable)
    # More runs than it takes: a few that the machine kept waiting must not decide.
    told = bisect_case(
        "tests/test_press.py::test_press", good=commits[0], bad="HEAD", directory=folder, most=15,
        deadline=time.monotonic() + 380, say=QUIET,
    )  # fmt: skip
    assert told.commits == (commits[3],)
    assert git(folder, "worktree", "list").count("\n") == 0
    assert git(folder, "status", "--short") == ""


def test_commits_must_lie_on_one_line(repository):
    """What is good has to come before what is bad."""
    folder, commits = repository
    with checkouts(folder) as trees, pytest.raises(BadCheckout, match="no earlier commit"):
        trees.between(commits[4], commits[1])


def test_a_directory_without_git_is_told(tmp_path):
    """With git's own words."""
    with pytest.raises(BadCheckout, match="not a git repository"), checkouts(tmp_path):
        pass
