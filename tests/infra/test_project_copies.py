"""A project that is brought to a worker: unpacked once, set up once, let go of when it is old."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from proctor.infra.engine.shipment import Snapshot, take_snapshot
from proctor.infra.errors import InfrastructureProblem
from proctor.infra.runners import project_copies
from proctor.infra.runners.project_copies import ProjectCopies, moved, this_machine, told_as
from proctor.infra.runners.spec import ProjectFiles, RunnerSpec


def files_of(root: Path, **more) -> ProjectFiles:
    return ProjectFiles(root=str(root), **{"machine": "elsewhere", **more})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "orchard"
    root.mkdir()
    (root / "test_a.py").write_text("one")
    return root


class Worker:
    """Its copies, and a campaign that answers when it asks."""

    def __init__(self, scratch: Path, project: Path, snapshot: Snapshot | None = None) -> None:
        self.copies = ProjectCopies(scratch, worker="w")
        self.project = project
        self.snapshot = snapshot or take_snapshot(project)
        self.asked = 0
        self.sent = 0

    def place(self, campaign: str = "c", **more) -> RunnerSpec:
        spec = RunnerSpec(
            python="/nowhere/python",
            directory=str(self.project),
            files=files_of(self.project, **more),
        )
        return self.copies.place(
            spec,
            campaign,
            python="/own/python",
            ask=lambda: self._answer(campaign),
            ended=threading.Event(),
        )

    def _answer(self, campaign: str) -> None:
        self.asked += 1
        if not self.copies.has(campaign, self.snapshot.digest):
            self.sent += 1
            self.copies.take(campaign, self.snapshot.digest, self.snapshot.archive)


def test_who_has_the_project_needs_nothing(tmp_path, project):
    """The same machine and the path there; another machine may have other files under it."""
    copies = ProjectCopies(tmp_path / "scratch", worker="w")
    here = files_of(project, machine=this_machine())
    assert not copies.is_needed(None)
    assert not copies.is_needed(here)
    assert copies.is_needed(replace(here, always=True))
    assert copies.is_needed(files_of(project))
    assert copies.is_needed(files_of(tmp_path / "absent", machine=this_machine()))


def test_files_come_once_for_all_orders_and_campaigns(tmp_path, project):
    """A campaign asks once; what an earlier one brought is not sent again."""
    worker = Worker(tmp_path / "scratch", project)
    first = worker.place()
    assert (Path(first.directory) / "test_a.py").read_text() == "one"
    assert worker.place().directory == first.directory
    assert (worker.asked, worker.sent) == (1, 1)
    assert worker.place("another").directory == first.directory
    assert (worker.asked, worker.sent) == (2, 1)


def test_another_content_is_another_copy(tmp_path, project):
    """The first campaign goes on with what it began with."""
    worker = Worker(tmp_path / "scratch", project)
    first = worker.place()
    (project / "test_a.py").write_text("two")
    worker.snapshot = take_snapshot(project)
    second = worker.place("another")
    assert (Path(first.directory) / "test_a.py").read_text() == "one"
    assert (Path(second.directory) / "test_a.py").read_text() == "two"


def test_the_setup_command_runs_once_for_a_content(tmp_path, project):
    """Also for two workers that share their scratch directory; another command runs."""
    setup = 'echo "$PROCTOR_PYTHON" >> made'
    one, two = (Worker(tmp_path / "scratch", project) for _ in range(2))
    made = Path(one.place(setup=setup).directory) / "made"
    two.place(setup=setup)
    assert made.read_text() == "/own/python\n"
    two.place("another", setup=f"{setup}; true")
    assert made.read_text() == "/own/python\n" * 2


def test_a_setup_that_fails_says_its_last_line(tmp_path, project):
    """And is tried again by the next order."""
    worker = Worker(tmp_path / "scratch", project)
    with pytest.raises(InfrastructureProblem, match=r"ended with 3 on worker w: no such wheel"):
        worker.place(setup="echo no such wheel; exit 3")
    assert worker.place(setup="true").directory


def test_a_setup_ends_when_nobody_wants_it_any_more(tmp_path, project):
    """The campaign was cancelled: the command and what it started are gone."""
    worker = Worker(tmp_path / "scratch", project)
    worker.place()
    ended = threading.Event()
    ended.set()
    spec = RunnerSpec(python="p", files=files_of(project, setup="sleep 600"))
    with pytest.raises(InfrastructureProblem, match="was ended on worker w"):
        worker.copies.place(
            spec, "another", python="p", ask=lambda: worker._answer("another"), ended=ended
        )


def test_files_that_do_not_come_have_a_deadline(tmp_path, project, monkeypatch):
    """And the campaign's own reason is told, where it gives one."""
    monkeypatch.setattr(project_copies, "ARRIVAL_SECONDS", 0.0)
    copies = ProjectCopies(tmp_path / "scratch", worker="w")
    spec = RunnerSpec(python="p", files=files_of(project))
    quiet = threading.Event()
    with pytest.raises(InfrastructureProblem, match="did not come within 0 s"):
        copies.place(spec, "c", python="p", ask=lambda: None, ended=quiet)
    with pytest.raises(InfrastructureProblem, match=r"has not got the files of .*: too many"):
        copies.place(spec, "c", python="p", ask=lambda: copies.refuse("c", "too many"), ended=quiet)


def test_what_arrives_broken_is_refused(tmp_path, project):
    """Nothing half-unpacked is taken for the project."""
    worker = Worker(tmp_path / "scratch", project, Snapshot(digest="d", archive=b"no", count=1))
    with pytest.raises(InfrastructureProblem, match="cannot be unpacked"):
        worker.place()
    assert not worker.copies.has("c", "d")


def test_old_copies_make_room_unless_somebody_uses_them(tmp_path, project):
    """The oldest go; that of a running campaign stays, whoever brings the new one."""
    scratch = tmp_path / "scratch"
    holder, bringer = Worker(scratch, project), Worker(scratch, project)
    held = Path(holder.place("long").directory)
    places = []
    for number in range(project_copies.KEPT + 2):
        (project / "test_a.py").write_text(f"content {number}")
        bringer.snapshot = take_snapshot(project)
        places.append(Path(bringer.place(f"c{number}").directory))
        bringer.copies.forget(f"c{number}")
    assert held.exists()
    assert not places[0].exists()
    assert all(place.exists() for place in places[-2:])


def test_what_stood_below_the_project_stands_below_the_copy():
    """Directory, arguments and interpreter; what only begins alike stays."""
    spec = RunnerSpec(
        python="/p/.venv/bin/python",
        directory="/p/sub",
        arguments=("/p/sub/test_a.py", "-k", "/prefix", "tests"),
        environment={"DATA": "/p/data"},
        files=ProjectFiles(root="/p", machine="m"),
    )
    there = moved(spec, Path("/copy"))
    assert there.directory == "/copy/sub"
    assert there.arguments == ("/copy/sub/test_a.py", "-k", "/prefix", "tests")
    assert there.environment == {"DATA": "/copy/data"}
    # It is not there: the worker's own is taken.
    assert there.python == ""


def test_what_is_told_names_the_project_as_the_campaign_knows_it():
    """In every text, however deep."""
    told = {"text": [["traceback", "File /copy/a.py"]], "t": 1.5, "hello": {"rootdir": "/copy"}}
    assert told_as(told, Path("/copy"), "/p") == {
        "text": [["traceback", "File /p/a.py"]],
        "t": 1.5,
        "hello": {"rootdir": "/p"},
    }
