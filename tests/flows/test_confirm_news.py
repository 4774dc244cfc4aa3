"""Hints of the newest points are run again; what runs confirm is told, and nothing else."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proctor.flows.trending import confirm as confirming
from proctor.flows.trending.confirm import Confirming
from proctor.flows.trending.measure import NotMeasured, Run
from proctor.flows.trending.trend_run import Looked, look
from proctor.infra.ledgers.campaigns import campaigns_directory
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.provenance import Revision
from proctor.infra.records import Attempt, Case, Outcome, Usage, WorkerFacts
from proctor.monitoring.store import Store
from proctor.monitoring.trends.document import trend_document
from proctor.monitoring.trends.findings import Kind, Status
from proctor.monitoring.trends.journal import known_findings

CASE = "a/t.py::t"
HOUR = 3600.0


def commit(number: int) -> str:
    return f"{number:040x}"


@dataclass
class Project:
    """Campaigns of one case, each at a commit of its own, and a machine to run them again."""

    state: Path
    chance: random.Random
    # The commit that made it slower for runs, if any did.
    slower_at: int | None = None
    broken: bool = False
    # Whoever watches gives up at so many runs.
    given_up_at: int | None = None
    has_commits: bool = True
    count: int = 0
    asked: list[str] = field(default_factory=list)
    cases: tuple[str, ...] = (CASE,)
    said: list[str] = field(default_factory=list)

    def runs(self, count: int, seconds: float, *, noise: float = 0.04) -> None:
        for _ in range(count):
            self._campaign(
                {case: seconds * self.chance.lognormvariate(0, noise) for case in self.cases}
            )

    def _campaign(self, took: dict[str, float]) -> None:
        clock = [1.7e9 + self.count * HOUR]
        name = f"c{self.count:04d}"
        ledger = Ledger.open(
            campaigns_directory(self.state) / name, campaign=name, project="p",
            revision=Revision(commit=commit(self.count)), clock=lambda: clock[0], ttl=1e12,
        )  # fmt: skip
        with ledger:
            facts = WorkerFacts(
                name="w", incarnation=name, worker_class="cpu", slots=1, cpu=1, memory_bytes=1,
                host="h",
            )  # fmt: skip
            ledger.worker(facts, event="joined")
            for index, (case, seconds) in enumerate(took.items()):
                ledger.case(Case(id=case, group=case.partition("::")[0], index=index))
                ledger.attempt(
                    Attempt(
                        case=case, id=f"{name}-{index}", outcome=Outcome.PASSED, started=clock[0],
                        finished=clock[0] + seconds, usage=Usage(wall_seconds=seconds), worker="w",
                        incarnation=name,
                    )
                )  # fmt: skip
                clock[0] += seconds
            ledger.write("close", state="completed", exit_code=0)
        self.count += 1

    def look(self, *, confirm: bool = True) -> Looked:
        how = Confirming(
            directory=self.state, most=15, deadline=time.monotonic() + 60, say=self.said.append
        )
        return look(self.state, confirming=how if confirm else None)

    def statuses(self) -> list[str]:
        return [each.status for each in known_findings(Store(self.state), "p")]

    # A checkout that has every commit, and a campaign of it.

    def has(self, name: str) -> bool:
        return self.has_commits

    def parent(self, name: str) -> str:
        return commit(int(name, 16) - 1)

    def resolve(self, name: str) -> str:
        return name

    def __call__(self, name: str) -> Run:
        self.asked.append(name)
        if len(self.asked) == self.given_up_at:
            raise KeyboardInterrupt
        if self.broken:
            raise NotMeasured("the case does not pass there", remedy="mend it")
        slower = self.slower_at is not None and int(name, 16) >= self.slower_at
        return Run(seconds=(1.1 if slower else 1.0) * self.chance.lognormvariate(0, 0.02))


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    made = Project(state=tmp_path, chance=random.Random(29))

    @contextmanager
    def trees(directory: Path) -> Iterator[Project]:
        yield made

    monkeypatch.setattr(confirming, "checkouts", trees)
    monkeypatch.setattr(confirming, "CampaignMeasure", lambda **_: made)
    monkeypatch.setattr(confirming, "python_of", lambda _: "python")
    return made


def slightly_slower(project: Project) -> None:
    """Too little for the history to be sure of."""
    project.runs(40, 0.5)
    project.runs(4, 0.56)


def test_a_hint_is_told_to_nobody(project):
    """Without runs it may be anything; programs can read it."""
    slightly_slower(project)
    looked = project.look(confirm=False)
    assert looked.report.findings == ()
    assert looked.news == ()
    (hint,) = trend_document(looked.report)["suspicions"]
    assert looked.report.views == {}
    assert hint["series"][0]["case"] == CASE
    assert project.statuses() == []


def test_a_hint_that_runs_confirm_is_told_once_and_stands(project):
    """Also where nobody asks for runs again, and before the history can see it."""
    project.slower_at = 40
    slightly_slower(project)
    looked = project.look()
    (news,) = looked.news
    assert (news.before, news.status, news.worse) == ("", "confirmed", True)
    (found,) = looked.report.regressions
    assert commit(40) in found.commits
    assert "confirmed by" in found.text
    assert found.lead in looked.report.views
    project.runs(1, 0.56)
    later = project.look(confirm=False)
    assert later.news == ()
    assert [each.id for each in later.report.regressions] == [found.id]
    asked = len(project.asked)
    assert project.look().news == ()
    assert len(project.asked) == asked


def test_a_confirmed_hint_that_the_history_forgets_has_recovered(project):
    """Its few slow runs are followed by many as before."""
    project.slower_at = 40
    slightly_slower(project)
    (found,) = project.look().report.regressions
    project.runs(40, 0.5)
    looked = project.look(confirm=False)
    assert looked.report.regressions == ()
    assert [(each.id, each.status) for each in looked.news] == [(found.id, "recovered")]


def test_a_hint_that_runs_refute_is_not_told_nor_run_again(project):
    """The next look has only what came later to go by."""
    slightly_slower(project)
    looked = project.look()
    assert project.asked
    assert "runs again, at most 15 times" in project.said[0]
    assert "refuted by" in project.said[-1]
    assert looked.report.findings == ()
    assert looked.news == ()
    assert project.statuses() == ["dismissed"]
    asked = len(project.asked)
    assert project.look().news == ()
    assert len(project.asked) == asked


def test_a_hint_that_cannot_be_run_is_left_to_the_history(project):
    """One note; and it is told as soon as the history is sure."""
    project.broken = True
    slightly_slower(project)
    looked = project.look()
    assert looked.report.findings == ()
    assert looked.news == ()
    assert any("1 slight suspicion could not be run again" in note for note in looked.report.notes)
    asked = len(project.asked)
    assert not any("slight" in note for note in project.look().report.notes)
    assert len(project.asked) == asked
    project.runs(40, 0.56)
    (news,) = project.look(confirm=False).news
    assert news.status == "confirmed"


@pytest.mark.parametrize(
    ("slower_at", "status"), [(40, Status.CONFIRMED), (None, Status.DISMISSED)]
)
def test_what_the_history_just_found_is_run_again_too(project, slower_at, status):
    """Runs that see no difference between the commits take the alert back before it is sent."""
    project.runs(40, 0.5, noise=0.02)
    project.runs(8, 0.58, noise=0.02)
    project.slower_at = slower_at
    looked = project.look()
    (found,) = (each for each in looked.report.findings if each.kind is Kind.CHANGE)
    assert found.status is status
    (news,) = (each for each in looked.news if each.kind == Kind.CHANGE)
    assert news.status == ("confirmed" if slower_at else "refuted")
    asked = len(project.asked)
    project.look()
    assert len(project.asked) == asked


@pytest.mark.parametrize(("shape", "given_up_at"), [((8, 0.58, 0.02), 1), ((4, 0.56, 0.04), 20)])
def test_news_of_a_look_that_was_given_up_is_told_the_next_time(project, shape, given_up_at):
    """The history found it, or runs confirmed a hint, and then the next case ran for too long."""
    project.slower_at, project.given_up_at = 40, given_up_at
    project.cases = ("a/t.py::t", "b/t.py::t")
    slow, seconds, noise = shape
    project.runs(40, 0.5, noise=noise)
    project.runs(slow, seconds, noise=noise)
    with pytest.raises(KeyboardInterrupt):
        project.look()
    looked = project.look(confirm=False)
    assert [each for each in looked.news if each.kind == Kind.CHANGE] == []
    known = {each.id for each in looked.report.regressions if each.kind is Kind.CHANGE}
    assert known
    waiting = json.loads((project.state / "trends" / "told.json").read_text())["waiting"]
    assert {*waiting} >= known


def test_what_faded_before_it_was_sure_is_told_when_it_is_sure(project):
    """A suspicion of the history that is not seen once, and then is, was not dismissed by anyone."""
    project.runs(40, 0.5, noise=0.02)
    project.runs(4, 0.56, noise=0.01)
    assert [each.status for each in project.look(confirm=False).news] == ["suspected"]
    project.runs(1, 0.5, noise=0.001)
    project.look(confirm=False)
    project.runs(20, 0.56, noise=0.02)
    assert "confirmed" in [each.status for each in project.look(confirm=False).news]


def test_cases_of_one_file_that_moved_together_are_run_and_told_once(project):
    """The clearest of them stands for the others, also at the next look."""
    project.cases, project.chance = ("a/t.py::t0", "a/t.py::t1"), random.Random(38)
    project.slower_at = 40
    project.runs(40, 0.5)
    project.runs(4, 0.55)
    (hint,) = project.look(confirm=False).report.suspicions
    assert {each.case for each in hint.series} == {*project.cases}
    looked = project.look()
    assert [each.id for each in looked.report.regressions if each.kind is Kind.CHANGE] == [hint.id]
    asked = len(project.asked)
    project.runs(2, 0.55)
    later = project.look()
    assert [each for each in later.news if each.kind == Kind.CHANGE] == []
    assert [each.id for each in later.report.regressions if each.kind is Kind.CHANGE] == [hint.id]
    assert len(project.asked) == asked


def test_without_both_commits_a_hint_is_left_to_the_history(project):
    """Runs of one hour beside the history would confirm too many that are none."""
    project.has_commits = False
    slightly_slower(project)
    report = project.look().report
    assert (report.findings, report.notes, project.statuses()) == ((), (), [])


def test_without_both_commits_what_the_history_found_is_told_as_it_is(project):
    """As if nobody had asked for runs."""
    project.has_commits = False
    project.runs(40, 0.5, noise=0.02)
    project.runs(20, 0.58, noise=0.02)
    looked = project.look()
    assert [each.status for each in looked.news if each.kind == Kind.CHANGE] == ["confirmed"]
    assert looked.report.notes == ()
    assert project.asked == []


@pytest.mark.parametrize(
    ("slower_at", "commits", "status"),
    [(40, True, "confirmed"), (None, True, "dismissed"), (40, False, "suspected")],
)
def test_what_all_cases_did_at_once_is_decided_in_turns_alone(project, slower_at, commits, status):
    """Runs of today's code on a machine that got slower would only show that again."""
    project.cases = tuple(f"a/t.py::t{number}" for number in range(5))
    project.slower_at, project.has_commits = slower_at, commits
    project.runs(40, 0.5, noise=0.02)
    project.runs(12, 0.58, noise=0.02)
    (before,) = (each for each in project.look(confirm=False).report.findings if each.shared)
    assert before.status == "suspected"
    looked = project.look()
    (told,) = (each for each in looked.report.findings if each.kind is Kind.CHANGE)
    assert (told.id, told.status) == (before.id, status)
    assert bool(project.asked) == commits
    assert looked.report.notes == ()
