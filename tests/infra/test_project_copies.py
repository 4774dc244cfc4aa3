"""A project that is brought to a worker: unpacked once, set up once, let go of when it is old."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from proctor.infra.engine.shipment import Snapshot, take_snapshot
from proctor.infra.errors import ProjectUnavailable
from proctor.infra.machine import this_machine
from proctor.infra.records import TaskSpec
from proctor.infra.runners import project_copies
from proctor.infra.runners.project_copies import ProjectCopies
from proctor.infra.runners.project_paths import (
    interpreter,
    known_as,
    moved,
    moved_order,
    outside,
    told_as,
)
from proctor.infra.runners.spec import Order, ProjectFiles, RunnerSpec, Work


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

    def place(self, campaign: str = "c/1", **more) -> RunnerSpec:
        spec = RunnerSpec(
            python="/nowhere/python",
            directory=str(self.project),
            files=files_of(self.project, **more),
        )
        root = self.copies.place(
            spec,
            campaign,
            python="/own/python",
            ask=lambda: self._answer(campaign),
            ended=threading.Event(),
        )
        return moved(spec, root)

    def _answer(self, user: str) -> None:
        self.asked += 1
        if not self.copies.has(user, self.snapshot.digest):
            self.sent += 1
            self.copies.take(user, self.snapshot.digest, self.snapshot.archive)


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
    assert worker.place("another/1").directory == first.directory
    assert (worker.asked, worker.sent) == (2, 1)


def test_workers_of_one_machine_have_one_copy(tmp_path, project):
    """Also when both were brought it at the same time."""
    one, two = (Worker(tmp_path / "scratch", project) for _ in range(2))
    spec = RunnerSpec(python="p", directory=str(project), files=files_of(project))
    snapshot = one.snapshot

    def answer() -> None:
        for each in (one, two):
            assert not each.copies.has("c/1", snapshot.digest)
        for each in (one, two):
            each.copies.take("c/1", snapshot.digest, snapshot.archive)

    # The other waits for them as well.
    two.copies._copies["c/1"] = project_copies._Copy()
    one.copies.place(spec, "c/1", python="p", ask=answer, ended=threading.Event())
    assert one.copies._copies["c/1"].root == two.copies._copies["c/1"].root
    assert len(list((tmp_path / "scratch" / "projects").glob("*/files"))) == 1


def test_another_content_is_another_copy(tmp_path, project):
    """The first campaign goes on with what it began with."""
    worker = Worker(tmp_path / "scratch", project)
    first = worker.place()
    (project / "test_a.py").write_text("two")
    worker.snapshot = take_snapshot(project)
    second = worker.place("another/1")
    assert (Path(first.directory) / "test_a.py").read_text() == "one"
    assert (Path(second.directory) / "test_a.py").read_text() == "two"


def test_the_setup_command_runs_once_for_a_content(tmp_path, project):
    """Also for two workers that share their scratch directory; another command runs."""
    setup = 'echo "$PROCTOR_PYTHON" >> made'
    one, two = (Worker(tmp_path / "scratch", project) for _ in range(2))
    made = Path(one.place(setup=setup).directory) / "made"
    two.place(setup=setup)
    assert made.read_text() == "/own/python\n"
    two.place("another/1", setup=f"{setup}; true")
    assert made.read_text() == "/own/python\n" * 2


def test_a_setup_that_fails_says_its_last_line_and_is_not_run_for_each_slot(tmp_path, project):
    """Another life of the campaign tries it anew, with what the project says then."""
    worker = Worker(tmp_path / "scratch", project)
    setup = "echo again >> ../../tries; echo no such wheel; exit 3"
    for _ in range(3):
        with pytest.raises(ProjectUnavailable, match="ended with 3 on worker w: no such wheel"):
            worker.place(setup=setup)
    assert (tmp_path / "scratch/projects/tries").read_text() == "again\n"
    assert worker.place("c/2", setup="true").directory


def test_a_resumed_campaign_runs_what_is_there_now(tmp_path, project):
    """A worker that stayed up asks again for another life of it."""
    worker = Worker(tmp_path / "scratch", project)
    worker.place("c/1")
    (project / "test_a.py").write_text("mended")
    worker.snapshot = take_snapshot(project)
    worker.copies.forget("c", below=2)
    again = Path(worker.place("c/2").directory)
    assert (again / "test_a.py").read_text() == "mended"
    # What comes late for the life that is over is nobody's any more.
    worker.copies.take("c/1", worker.snapshot.digest, worker.snapshot.archive)
    assert worker.copies.root("c/1") is None


def test_a_copy_that_tests_have_changed_is_not_used_again(tmp_path, project):
    """More beside it is no harm; what came has to be as it came."""
    worker = Worker(tmp_path / "scratch", project)
    first = Path(worker.place("c/1").directory)
    (first / "made.txt").write_text("by a setup")
    worker.place("d/1")
    assert worker.sent == 1
    (first / "test_a.py").write_text("spoilt")
    second = Path(worker.place("e/1").directory)
    assert worker.sent == 2
    assert (second / "test_a.py").read_text() == "one"
    # Who had the first one goes on with it.
    assert first.exists()


def test_a_setup_ends_when_nobody_wants_it_any_more(tmp_path, project):
    """The campaign was cancelled: the command and what it started are gone."""
    worker = Worker(tmp_path / "scratch", project)
    worker.place()
    ended = threading.Event()
    ended.set()
    spec = RunnerSpec(python="p", files=files_of(project, setup="sleep 600"))
    with pytest.raises(
        ProjectUnavailable, match=r"nobody wants them any more|was ended on worker w"
    ):
        worker.copies.place(
            spec, "another/1", python="p", ask=lambda: worker._answer("another/1"), ended=ended
        )


def test_files_that_do_not_come_have_a_deadline(tmp_path, project, monkeypatch):
    """And the campaign's own reason is told, where it gives one; the next order asks again."""
    copies = ProjectCopies(tmp_path / "scratch", worker="w")
    spec = RunnerSpec(python="p", files=files_of(project))

    def place(ask) -> None:
        copies.place(spec, "c/1", python="p", ask=ask, ended=threading.Event())

    monkeypatch.setattr(project_copies, "ARRIVAL_SECONDS", -1.0)
    with pytest.raises(ProjectUnavailable, match="did not come within -1 s"):
        place(lambda: None)
    monkeypatch.setattr(project_copies, "ARRIVAL_SECONDS", 30.0)
    with pytest.raises(ProjectUnavailable, match=r"has not got the files of .*: too many"):
        place(lambda: copies.refuse("c/1", "too many"))
    snapshot = take_snapshot(project)
    place(lambda: copies.take("c/1", snapshot.digest, snapshot.archive))
    assert copies.root("c/1") is not None


def test_what_arrives_broken_is_refused(tmp_path, project):
    """Nothing half-unpacked is taken for the project."""
    worker = Worker(tmp_path / "scratch", project, Snapshot(digest="d", archive=b"no", count=1))
    with pytest.raises(ProjectUnavailable, match="cannot be unpacked"):
        worker.place()
    assert not (tmp_path / "scratch/projects/d-0").exists()


def test_old_copies_make_room_unless_somebody_uses_them(tmp_path, project):
    """The oldest go; that of a running campaign stays, whoever brings the new one."""
    scratch = tmp_path / "scratch"
    holder, bringer = Worker(scratch, project), Worker(scratch, project)
    held = Path(holder.place("long/1").directory)
    places = []
    for number in range(project_copies.KEPT + 2):
        (project / "test_a.py").write_text(f"content {number}")
        bringer.snapshot = take_snapshot(project)
        places.append(Path(bringer.place(f"c{number}/1").directory))
        bringer.copies.forget(f"c{number}")
        # A second apart, as times of files go.
        os.utime(places[-1].parent, (number, number))
    assert held.exists()
    assert not places[0].exists()
    assert all(place.exists() for place in places[-2:])


def test_what_stood_below_the_project_stands_below_the_copy():
    """Directory, arguments and interpreter; what only begins alike stays."""
    spec = RunnerSpec(
        python="/p/.venv/bin/python",
        directory="/p/sub",
        arguments=("/p/sub/test_a.py", "-k", "/prefix", "tests", "--rootdir=/p", "-c/p/x.ini"),
        environment={"DATA": "/p/data"},
        files=ProjectFiles(root="/p", machine="m"),
    )
    there = moved(spec, Path("/copy"))
    assert there.directory == "/copy/sub"
    assert there.arguments[:4] == ("/copy/sub/test_a.py", "-k", "/prefix", "tests")
    assert there.arguments[4:] == ("--rootdir=/copy", "-c/copy/x.ini")
    assert there.environment == {"DATA": "/copy/data"}
    assert there.python == "/copy/.venv/bin/python"


def test_what_is_told_names_the_project_as_the_campaign_knows_it():
    """In every text, however deep."""
    told = {"text": [["traceback", "File /copy/a.py"]], "t": 1.5, "hello": {"rootdir": "/copy"}}
    assert told_as(told, Path("/copy"), "/p") == {
        "text": [["traceback", "File /p/a.py"]],
        "t": 1.5,
        "hello": {"rootdir": "/p"},
    }


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("t[/app/a.csv-/app]", "t[/copy/a.csv-/copy]"),
        ("t[/app-/app]", "t[/copy-/copy]"),
        ("-I/app/include", "-I/copy/include"),
        ("cd '/app/data' && ls", "cd '/copy/data' && ls"),
        ("/lib:/app/lib", "/lib:/copy/lib"),
        ("file:///app/x", "file:///copy/x"),
        ("t[/srv/app/x]", "t[/srv/app/x]"),
        ("t[/api/v1/app]", "t[/api/v1/app]"),
        ("/application/x", "/application/x"),
        ("/app-2/x", "/app-2/x"),
    ],
)
def test_only_whole_paths_are_known_as_the_copys(text, there):
    """A case whose id was changed by mistake would not be found, and be lost without a word."""
    assert known_as(text, "/app", Path("/copy")) == there


def test_tasks_run_in_the_copy():
    """What they name below the project's root is below the copy's: nobody else has the first."""
    task = TaskSpec(
        command=("bash", "-c", "cat /p/in > out"),
        arguments={"paths": ["/p/a", 1], "deep": {"root": "/p"}},
        environment={"DATA": "/p/data"},
        working_directory="/p/sub",
    )
    work = (Work(id="t[/p/a]", group="/p/t", task=task), Work(id="u"))
    order = Order(batch="b", work=work, finishes=("/p/t",), ahead=("/p/t", "u"), beside=("/p/v",))
    there = moved_order(order, "/p", Path("/copy"))
    assert (there.ahead, there.beside) == (("/copy/t", "u"), ("/copy/v",))
    assert (there.work[0].id, there.work[0].group, there.finishes) == (
        *("t[/copy/a]", "/copy/t"),
        ("/copy/t",),
    )
    assert there.work[0].task == TaskSpec(
        command=("bash", "-c", "cat /copy/in > out"),
        arguments={"paths": ["/copy/a", 1], "deep": {"root": "/copy"}},
        environment={"DATA": "/copy/data"},
        working_directory="/copy/sub",
    )
    assert there.work[1] == work[1]


def test_the_interpreter_is_the_projects_own_or_the_workers_or_as_asked(tmp_path):
    """What somebody named is not replaced by one that nobody did."""
    copy, given = tmp_path / "copy", tmp_path / "given"
    (copy / "bin").mkdir(parents=True)

    def chosen(python: str, *, named: bool = True, given: str = "") -> str:
        spec = RunnerSpec(python=python, files=files_of(Path("/p"), python_is_named=named))
        return interpreter(spec, moved(spec, copy), given=given, worker="w")

    # An environment of the project that its setup has not made.
    assert chosen("/p/bin/python") == sys.executable
    assert chosen("/p/bin/python", given=str(given)) == str(given)
    (copy / "bin/python").touch()
    assert chosen("/p/bin/python", given=str(given)) == str(copy / "bin/python")
    assert chosen("/bin/sh") == "/bin/sh"
    assert chosen("/bin/sh", given=str(given)) == str(given)
    assert chosen("/nowhere/python", named=False) == sys.executable
    assert chosen("/nowhere/python", given=str(given)) == str(given)
    with pytest.raises(ProjectUnavailable, match="worker w has no interpreter /nowhere/python"):
        chosen("/nowhere/python")


def test_an_interpreter_named_by_a_command_is_looked_for_on_each_workers_path(
    tmp_path, monkeypatch
):
    """It lies elsewhere on another machine; a path that was named is that path."""
    here = tmp_path / "bin" / "python3.77"
    here.parent.mkdir()
    here.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(here.parent))
    for command, python in (("python3.77", str(here)), ("", "")):
        files = files_of(Path("/p"), python_is_named=True, python_command=command)
        spec = RunnerSpec(python="/opt/python3.77", files=files)
        # What a setup command makes an environment with is what would run without one.
        assert outside(spec, given="") == python
        assert outside(spec, given="/given") == "/given"
        if python:
            assert interpreter(spec, spec, given="", worker="w") == python
        else:
            with pytest.raises(ProjectUnavailable, match=r"no interpreter /opt/python3\.77"):
                interpreter(spec, spec, given="", worker="w")
