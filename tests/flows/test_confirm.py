"""A suspicion is run again on both sides, in turns, before anybody is told."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from proctor.flows.trending import confirm as confirming
from proctor.flows.trending.confirm import Confirming, confirm, in_turns
from proctor.flows.trending.measure import NotMeasured, Run
from proctor.infra.errors import UsageProblem
from proctor.monitoring.store import Store
from proctor.monitoring.trends.journal import Known, find_known, record
from proctor.monitoring.trends.sequential import Answer


def quiet(text: str) -> None:
    """Nobody listens."""


def how(folder: Path) -> Confirming:
    return Confirming(directory=folder, most=15, deadline=time.monotonic() + 60, say=quiet)


class Levels:
    """A level for each commit, with noise; every call is noted."""

    def __init__(self, **levels: float) -> None:
        self.chance = random.Random(3)
        self.levels = levels
        self.asked: list[str] = []

    def __call__(self, commit: str) -> Run:
        self.asked.append(commit)
        return Run(seconds=self.levels[commit] * self.chance.lognormvariate(0, 0.02))


def test_a_slower_commit_is_confirmed_within_few_runs():
    """And the two sides take turns, with the first place changing."""
    measure = Levels(old=1.0, new=1.1)
    told = in_turns(measure, "old", "new", suspected=0.1, most=15, say=quiet)
    assert told.compared.answer is Answer.WORSE
    assert told.runs <= 20
    assert measure.asked[2:6] == ["old", "new", "new", "old"]


def test_a_false_suspicion_is_dismissed():
    """Both sides take the same time."""
    told = in_turns(Levels(old=1.0, new=1.0), "old", "new", suspected=0.2, most=15, say=quiet)
    assert told.compared.answer is Answer.SAME
    assert "is not different" in told.text


def test_a_case_that_fails_has_no_duration():
    """One clear sentence, rather than a comparison of nothing."""
    with pytest.raises(NotMeasured, match="does not pass at old"):
        in_turns(lambda commit: Run(failed=True), "old", "new", suspected=0.1, most=5, say=quiet)


def git(folder: Path, *words: str) -> str:
    made = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", *words],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return made.stdout.strip()


def finding(commits: list[str], metric: str = "seconds") -> dict:
    return {
        "id": "abc123", "kind": "change", "status": "suspected", "project": "p", "case": "t.py::t",
        "metric": metric, "class": "cpu", "since": 1.7e9, "text": "t.py::t: slower",
        "detail": {"commits": commits, "before": 1.0, "after": 1.1, "worse": True},
    }  # fmt: skip


@pytest.fixture
def repository(tmp_path):
    """Three commits."""
    folder = tmp_path / "r"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    names = []
    for number in range(3):
        git(folder, "commit", "-q", "--allow-empty", "-m", str(number))
        names.append(git(folder, "rev-parse", "HEAD"))
    return folder, names


def settle(tmp_path, folder: Path, line: dict) -> tuple[Store, Known]:
    store = Store(tmp_path / "state")
    store.state.mkdir()
    record(store, [line])
    project, known = find_known(store, "abc")
    confirm(store, project, known, how(folder))
    return store, known


@pytest.mark.parametrize(("slower", "status"), [(1.1, "confirmed"), (1.0, "dismissed")])
def test_what_came_of_it_is_remembered(repository, tmp_path, monkeypatch, slower, status):
    """The side before is the parent of the first suspect."""
    folder, names = repository
    levels = Levels(**{names[0]: 1.0, names[1]: slower, names[2]: slower})
    monkeypatch.setattr(confirming, "CampaignMeasure", lambda **parts: levels)
    store, _ = settle(tmp_path, folder, finding([names[1], names[2]]))
    assert find_known(store, "abc123")[1].status == status
    assert set(levels.asked) == {names[0], names[2]}


def test_without_the_commits_the_history_has_to_judge(repository, tmp_path):
    """Somebody else's checkout, or one without its history; here there is no history either."""
    with pytest.raises(UsageProblem, match="knows no project"):
        settle(tmp_path, repository[0], finding(["f" * 40]))


def test_a_move_the_other_way_refutes_what_was_suspected(repository, tmp_path, monkeypatch):
    """It was said to be slower, and is faster: nobody may read that as confirmed."""
    folder, names = repository
    levels = Levels(**{names[0]: 1.0, names[1]: 0.8, names[2]: 0.8})
    monkeypatch.setattr(confirming, "CampaignMeasure", lambda **parts: levels)
    store, _ = settle(tmp_path, folder, finding([names[1], names[2]]))
    known = find_known(store, "abc123")[1]
    assert known.status == "dismissed"
    assert "refuted by" in known.text


def test_what_the_runs_said_is_said_once(repository, tmp_path, monkeypatch):
    """A second confirmation takes the place of the first one's words."""
    folder, names = repository
    levels = Levels(**{names[0]: 1.0, names[2]: 1.1})
    monkeypatch.setattr(confirming, "CampaignMeasure", lambda **parts: levels)
    store, _ = settle(tmp_path, folder, finding([names[1], names[2]]))
    project, known = find_known(store, "abc")
    told = confirm(store, project, known, how(folder))
    assert told.known.text.count("confirmed by") == 1
    assert told.news.status == "confirmed"


def test_only_durations_can_be_run_again(repository, tmp_path):
    """What a case records is known to nobody else."""
    with pytest.raises(UsageProblem, match="only durations"):
        settle(tmp_path, repository[0], finding([], metric="litres"))
