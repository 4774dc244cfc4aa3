"""What is checked before anything starts, and which fleet a campaign gets."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from ledger_parts import Clock, freeze

from proctor.deployments.cli import exit_code_of, main
from proctor.flows.campaigns import fleet_choice
from proctor.flows.campaigns.fleet_choice import FleetChoice, choose_fleet, reached
from proctor.flows.campaigns.preparation import prepare
from proctor.flows.campaigns.rehearsal import rehearse
from proctor.flows.campaigns.request import RunRequest
from proctor.infra.engine import cluster as clusters
from proctor.infra.engine.fakes import FakeCluster
from proctor.infra.errors import BadSetting, InterpreterProblem, UnknownCampaign, UsageProblem
from proctor.infra.fleet.certificates import Certificates
from proctor.infra.fleet.files import FleetFiles, FleetRecord, write_record
from proctor.infra.fleet.local_fleet import START_SECONDS
from proctor.infra.ledgers.lease import lease_path
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.listener import REFUSED_SECONDS
from proctor.infra.process_ref import ProcessRef
from proctor.infra.runners.memory_room import memory_there


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "pyproject.toml").write_text(
        "[project]\nname = 'orchard'\n[tool.proctor]\nretries = 2\n"
    )
    (root / "test_a.py").write_text(
        "import pytest\n\n@pytest.mark.parametrize('n', range(6))\ndef test_a(n): ...\n"
    )
    return root


def request(root: Path, *, flags: Mapping[str, object] = {}, **fields: object) -> RunRequest:
    usual = {"state": str(root.parent / "state"), "prefect": "off", "slots": "2"}
    given = {"directory": str(root), "flags": {**usual, **flags}, **fields}
    return RunRequest(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("sub", "it is a directory"),
        ("test_a.py/junit.xml", "{root}/test_a.py is no directory"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_at_once(
    root: Path, asked: str, why: str
) -> None:
    """Hours later nobody would see the summary for it."""
    told = f"cannot be written to {root / asked}: {why.format(root=root)}"
    with pytest.raises(UsageProblem, match=re.escape(told)):
        prepare(request(root, junitxml=asked))


def test_a_report_may_go_to_a_folder_that_is_still_to_be_made(root: Path) -> None:
    """As pytest makes it."""
    prepare(request(root, junitxml="new/folder/junit.xml"))
    assert not (root / "new").exists()


def test_nothing_is_written(root: Path) -> None:
    """A campaign that is only looked at leaves no trace."""
    prepared = prepare(request(root))
    assert not prepared.directory.exists()
    assert not prepared.state.exists()
    assert prepared.settings.retries == 2
    assert prepared.project_name == "orchard"
    assert prepared.root == root
    assert [worker.slots for worker in prepared.fleet.workers] == [2]


def test_a_plan_shows_a_fleet_the_certificates_it_asks_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a campaign does: whoever shows none is refused."""
    (root / "tasks.toml").write_text("[[tasks]]\nid = 'one'\ncommand = 'true'\n")
    prepared = prepare(request(root, tasks="tasks.toml"))
    mine = Certificates(root)
    choice = FleetChoice(address="tls://127.0.0.1:9", certificates=mine)
    shown: list[object] = []

    def connect(address: str, **told: object) -> FakeCluster:
        shown.append(told.get("certificates"))
        return FakeCluster(prepared.fleet.workers)

    monkeypatch.setattr(clusters, "Cluster", connect)
    monkeypatch.setattr(fleet_choice, "await_listener", lambda address, *, seconds: None)
    rehearse(replace(prepared, fleet=choice))
    assert shown == [mine]


def test_what_is_ours_among_pytests_arguments_is_taken_over(root: Path) -> None:
    """Settings, fields and the rest each go where they belong; what does nothing is told."""
    (root / "pytest.ini").write_text("[pytest]\naddopts = --pdb --tb=short\n")
    words = ("-x", "--lf", "--junitxml=j.xml", "-n", "3", "-p", "no:randomly", "--durations=3")
    prepared = prepare(request(root, pytest_args=words))
    assert (prepared.settings.maxfail, prepared.settings.slots) == (1, 3)
    assert (prepared.request.last_failed, prepared.request.junitxml) == (True, "j.xml")
    assert prepared.request.pytest_arguments() == ("-p", "no:randomly", "--durations=3")
    (remark,) = prepared.remarks
    assert remark.startswith("--durations, --pdb of pytest have no effect here")


def test_each_campaign_has_an_id_of_its_own(root: Path) -> None:
    """Two in one second do not meet."""
    assert prepare(request(root)).campaign_id != prepare(request(root)).campaign_id


def test_checkouts_in_other_places_share_their_history(root: Path, tmp_path: Path) -> None:
    """By the project's name, also from a folder inside it; others have their own."""
    project = prepare(request(root)).project
    assert prepare(request(root, directory=str(root / "sub"))).project == project
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pyproject.toml").write_text("[project]\nname = 'or chard'\n")
    other = prepare(request(elsewhere)).project
    assert other.parent == project.parent
    assert other != project


@pytest.mark.parametrize(
    ("fields", "problem", "says"),
    [
        ({"directory": "/no/such/place"}, UsageProblem, "/no/such/place"),
        ({"paths": ("gone.py",)}, UsageProblem, "gone.py"),
        ({"paths": ("gone.py::test_a",)}, UsageProblem, "gone.py"),
        ({"resume": "1999"}, UnknownCampaign, "1999"),
        ({"keyword": "a\udcff"}, UsageProblem, r"'a\\udcff' is no text in UTF-8"),
        ({"paths": ("a\udcff.py",)}, UsageProblem, r"'a\\udcff.py' is no text in UTF-8"),
        (
            {"tasks": "t.toml", "keyword": "a", "paths": ("sub",), "pytest_args": ("-v",)},
            UsageProblem,
            r"-k, sub, -v cannot go with --tasks: all of t\.toml runs",
        ),
        ({"fleet_classes": ("cpu:rooms=3",)}, BadSetting, "rooms"),
        ({"fleet_classes": ("higmem",)}, BadSetting, "no worker class 'higmem'"),
        ({"fleet_classes": ("cpu=0",)}, UsageProblem, "no worker"),
    ],
)
def test_what_cannot_be_is_refused(
    root: Path, fields: dict[str, object], problem: type[Exception], says: str
) -> None:
    """With the value that was given."""
    with pytest.raises(problem, match=says):
        prepare(request(root, **fields))


def test_ids_and_package_names_are_no_paths(root: Path) -> None:
    """What stands behind :: or in brackets is not looked for on the disk."""
    prepare(request(root, paths=("test_a.py::test_a[1]", "sub")))
    prepare(request(root, paths=("no.such.package",), pytest_args=("--pyargs",)))


def test_an_interpreter_is_found_and_not_resolved(root: Path, tmp_path: Path) -> None:
    """A virtual environment's python is a link, and what it links to has other packages."""
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    flags = {"state": str(tmp_path / "state"), "python": str(link)}
    assert prepare(request(root, flags=flags)).python == str(link)
    for wrong, told in (
        ("no-such-python", "there is no interpreter no-such-python"),
        (str(root / "test_a.py"), "test_a.py is no interpreter: it cannot be executed"),
    ):
        with pytest.raises(InterpreterProblem, match=told):
            prepare(request(root, flags={**flags, "python": wrong}))
    assert main(["run", "--directory", str(root), "--python", "no-such-python"]) == 4


def test_a_campaign_that_runs_is_not_resumed(root: Path) -> None:
    """That is for who typed it, and nothing is wrong with any record."""
    first = prepare(request(root))
    told = {"request": asdict(first.request), "python": sys.executable}
    with (
        Ledger.open(first.directory, campaign=first.campaign_id, settings=told),
        pytest.raises(UsageProblem, match="is running: nothing is there") as refused,
    ):
        prepare(request(root, resume=first.campaign_id))
    assert exit_code_of(refused.value) == 4


def test_a_resumed_campaign_is_asked_what_it_was_asked(root: Path) -> None:
    """Its own request, interpreter and place."""
    first = prepare(request(root, keyword="a", paths=("test_a.py",)))
    told = {
        "request": asdict(first.request),
        "python": "/its/python",
        "origin": {"directory": "/there", "environment": {"PROCTOR_SLOTS": "2"}},
    }
    with Ledger.open(
        first.directory,
        campaign=first.campaign_id,
        root=str(root),
        project="orchard",
        settings=json.loads(json.dumps(told)),
    ):
        pass
    again = prepare(request(root, resume="last", directory=str(root.parent)))
    assert again.campaign_id == first.campaign_id
    assert again.request == first.request
    assert (again.python, again.root, again.project) == ("/its/python", root, first.project)
    assert again.origin.directory == "/there"
    assert again.origin.environment == {"PROCTOR_SLOTS": "2"}
    assert again.record is not None
    assert (again.resumed, again.remarks) == ("by hand", ())


def test_what_was_to_end_before_it_died_ends_unless_asked_otherwise(root: Path) -> None:
    """And how to ask otherwise is said."""
    first = prepare(request(root))
    told = {"request": asdict(first.request), "python": "python"}
    with Ledger.open(first.directory, campaign=first.campaign_id, root=str(root), settings=told):
        pass
    wish = first.directory / "cancel"
    wish.touch()
    ends = prepare(request(root, resume="last", by_itself=True))
    assert wish.exists()
    assert ends.resumed == "by itself"
    assert f"proctor resume --run-on {first.campaign_id}" in ends.remarks[-1]
    runs_on = prepare(request(root, resume="last", run_on=True))
    assert not wish.exists()
    assert "it runs on" in runs_on.remarks[-1]


def test_only_who_is_asked_to_goes_on_after_x_ended_a_campaign(root: Path) -> None:
    """A fleet that resumes it by itself does as it was told at first."""
    first = prepare(request(root, flags={"maxfail": 1}))
    told = {"request": first.request.to_json(), "python": "python"}
    with Ledger.open(
        first.directory, campaign=first.campaign_id, root=str(root), settings=told
    ) as ledger:
        ledger.write("note", level="warning", text="the campaign stopped after 1 failed case (-x)")
    assert prepare(request(root, resume="last", by_itself=True)).settings.maxfail == 1
    assert prepare(request(root, resume="last")).settings.maxfail == 0


def test_what_ended_as_cancelled_runs_on_when_somebody_resumes_it(root: Path) -> None:
    """Its wish was granted: whoever resumes it wants the rest."""
    first = prepare(request(root))
    told = {"request": asdict(first.request), "python": "python"}
    with Ledger.open(
        first.directory, campaign=first.campaign_id, root=str(root), settings=told
    ) as ledger:
        ledger.write("close", state="cancelled", exit_code=2, counts={}, makespan=0.0,
                     lower_bound=0.0, slots=1)  # fmt: skip
    (first.directory / "cancel").touch()
    again = prepare(request(root, resume="last"))
    assert not (first.directory / "cancel").exists()
    assert again.remarks == ()


def test_a_deadline_is_of_the_campaign_and_not_of_each_of_its_lives(root: Path) -> None:
    """What earlier processes used of it is gone; the time in which nobody worked is not."""
    first = prepare(request(root, flags={"deadline": "10m"}))
    assert first.deadline_at(1000.0) == 1600.0
    clock = Clock()
    told = {"request": asdict(first.request), "python": "python"}
    for seconds in (200.0, 300.0):
        ledger = Ledger.open(
            first.directory, campaign=first.campaign_id, root=str(root), settings=told, clock=clock
        )
        clock.now += 10.0
        ledger.write("note", level="info", text="a case begins, and takes long")
        ledger.commit()
        freeze(ledger)
        clock.now += seconds - 10.0
        # It was alive until then, and had nothing to say.
        os.utime(lease_path(first.directory, ledger.epoch), (clock.now, clock.now))
        clock.now += 10_000.0
    again = prepare(request(root, resume="last"))
    assert again.deadline_at(1000.0) == pytest.approx(1100.0)
    later = prepare(request(root, resume="last", flags={"deadline": "15m"}))
    assert later.deadline_at(1000.0) == pytest.approx(1400.0)
    assert later.request.flags["deadline"] == "15m", "also for whoever resumes it after this"


def test_a_campaign_that_used_up_its_deadline_asks_for_a_later_one(root: Path) -> None:
    """Else it would start a fleet only to be cancelled again."""
    first = prepare(request(root, flags={"deadline": "10s"}))
    told = {"request": asdict(first.request), "python": "python"}
    clock = Clock()
    ledger = Ledger.open(
        first.directory, campaign=first.campaign_id, root=str(root), settings=told, clock=clock
    )
    clock.now += 12.0
    ledger.write("close", state="cancelled", exit_code=9, counts={}, makespan=0.0,
                 lower_bound=0.0, slots=1)  # fmt: skip
    ledger.commit()
    freeze(ledger)
    with pytest.raises(UsageProblem, match="used up its deadline of 10s: it has run for 12s"):
        prepare(request(root, resume="last"))
    on = prepare(request(root, resume="last", flags={"deadline": "none"}))
    assert on.deadline_at(1000.0) is None


def test_a_campaign_whose_project_is_gone_waits_for_it(root: Path) -> None:
    """No fleet starts in vain, and it can be resumed once the project is back."""
    first = prepare(request(root))
    told = {"request": first.request.to_json(), "python": "python"}
    gone = root.with_name("gone")
    with Ledger.open(first.directory, campaign=first.campaign_id, root=str(gone), settings=told):
        pass
    with pytest.raises(UsageProblem, match=f"ran in {gone}, and there is no such directory"):
        prepare(request(root, resume="last"))
    gone.mkdir()
    assert prepare(request(root, resume="last")).root == gone


@pytest.mark.parametrize("told", [{}, {"request": {"of_tomorrow": 1}}, {"request": 5}])
def test_what_another_version_asked_for_is_told_and_not_guessed(
    root: Path, told: dict[str, object]
) -> None:
    """One sentence: the state directory is shared, and the one who resumes is older."""
    first = prepare(request(root))
    settings = {"python": "python", **told}
    if isinstance(told.get("request"), dict):
        settings["request"] = {**first.request.to_json(), "of_tomorrow": 1}
    with Ledger.open(
        first.directory, campaign=first.campaign_id, root=str(root), settings=settings
    ):
        pass
    with pytest.raises(UsageProblem, match="another version of Proctor"):
        prepare(request(root, resume="last"))


def test_a_completed_campaign_is_not_resumed(root: Path) -> None:
    """Nothing is left to do, and that is said."""
    first = prepare(request(root))
    told = {"request": asdict(first.request), "python": "python"}
    with Ledger.open(first.directory, campaign=first.campaign_id, settings=told) as ledger:
        ledger.write("close", state="completed", exit_code=0, counts={}, makespan=0.0,
                     lower_bound=0.0, slots=1)  # fmt: skip
    with pytest.raises(UsageProblem, match="is completed"):
        prepare(request(root, resume=first.campaign_id[:12]))


def test_a_named_fleet_comes_before_all_others(tmp_path: Path) -> None:
    """Then classes, then workers of our own."""
    named = choose_fleet(
        state=tmp_path, certs=tmp_path, named="tcp://127.0.0.1:1", slots=2, classes=("cpu",)
    )
    assert (named.address, named.workers) == ("tcp://127.0.0.1:1", ())
    with pytest.raises(UsageProblem, match=r"192\.0\.2\.7:1 is a fleet in the clear"):
        choose_fleet(state=tmp_path, certs=tmp_path, named="tcp://192.0.2.7:1", slots=2, classes=())
    classes = ("cpu:slots=2", "gpu:slots=1,gpu=1,memory=1GB,tags=a+b,simulated")
    chosen = choose_fleet(state=tmp_path, certs=tmp_path, named="", slots=2, classes=classes)
    assert chosen.address == ""
    assert [worker.name for worker in chosen.workers] == ["cpu-1", "gpu-2"]
    gpu = chosen.workers[1]
    assert (gpu.gpu, gpu.memory_bytes, gpu.slots) == (1, 1_000_000_000, 1)
    assert gpu.tags == {"a", "b", "gpu"}
    assert gpu.simulated_gpu
    own = choose_fleet(state=tmp_path, certs=tmp_path, named="", slots=3, classes=())
    assert [worker.slots for worker in own.workers] == [3]


def test_workers_that_this_machine_cannot_hold_are_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    """Their cases would be sent where the memory is not."""
    classes = ("cpu:slots=2", "big:slots=1,memory=900TB")
    with pytest.raises(BadSetting, match="worker big-2 is to have memory=900TB, and this machine"):
        choose_fleet(state=tmp_path, certs=tmp_path, named="", slots=2, classes=classes)


def test_workers_that_share_the_memory_they_are_promised_are_told_of(root: Path) -> None:
    """Each fits alone."""
    most = f"slots=1,memory={memory_there() - 1}"
    told = prepare(request(root, fleet_classes=(f"a:{most}",)))
    assert not [each for each in told.remarks if "promised" in each]
    told = prepare(request(root, fleet_classes=(f"a:{most}", f"b:{most}")))
    assert [each for each in told.remarks if each.startswith("workers are promised memory=")]


def test_only_a_scheduler_that_somebody_keeps_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that `proctor up` keeps is being started again; elsewhere a refusal is told soon."""
    waited: list[float] = []
    monkeypatch.setattr(
        fleet_choice, "await_listener", lambda address, *, seconds: waited.append(seconds)
    )
    me = ProcessRef.of(os.getpid())
    assert me is not None
    record = FleetRecord(supervisor=me, address="tcp://127.0.0.1:7", port=7)
    files = FleetFiles(state=tmp_path)
    files.record.parent.mkdir(parents=True, exist_ok=True)
    write_record(files.record, record)

    for named in ("tcp://127.0.0.1:7", "tcp://127.0.0.1:8"):
        choice = choose_fleet(state=tmp_path, certs=tmp_path, named=named, slots=1, classes=())
        assert reached(choice) == named

    assert waited == [START_SECONDS, REFUSED_SECONDS]


def test_the_project_may_say_what_a_fleet_of_its_own_is(root: Path) -> None:
    """In [tool.proctor], by names of its own classes too; what is given by hand comes first."""
    (root / "pyproject.toml").write_text(
        "[project]\nname = 'or chard'\n"
        "[tool.proctor]\nfleet = 'tcp://127.0.0.1:1'\n"
        "fleet_classes = ['cpu', 'big=2', 'gpu:slots=1,gpu=1,simulated']\n"
        "[tool.proctor.classes.big]\nslots = 3\ntags = ['large']\n"
    )

    def workers(**fields: object) -> list[tuple[str, int]]:
        fleet = prepare(request(root, **fields)).fleet
        return [(worker.name, worker.slots) for worker in fleet.workers]

    assert prepare(request(root)).fleet.address == "tcp://127.0.0.1:1"
    own = workers(flags={"fleet": "none"})
    assert [name for name, _ in own] == ["cpu-1", "big-2", "big-3", "gpu-4"]
    assert [slots for _, slots in own][1:] == [3, 3, 1]
    # That of the project, which names a fleet, stands back as well.
    assert workers(fleet_classes=("cpu", "cpu"), flags={"slots": 8}) == [("cpu-1", 4), ("cpu-2", 4)]
    assert (
        prepare(
            request(root, fleet_classes=("cpu",), flags={"fleet": "tcp://127.0.0.1:2"})
        ).fleet.address
        == "tcp://127.0.0.1:2"
    )


def test_a_rehearsal_places_every_case_once_and_runs_none(root: Path) -> None:
    """On the workers there would be, within the bounds of any schedule; the look is remembered."""
    (root / "test_b.py").write_text("def test_b():\n    open('ran', 'w')\n")
    prepared = prepare(request(root))
    plan = rehearse(prepared)
    assert len(plan.placements) == len(plan.cases) == 7
    assert {placed.case.id for placed in plan.placements} == {case.id for case in plan.cases}
    assert {placed.worker for placed in plan.placements} == {"cpu-1"}
    assert plan.makespan >= plan.lower_bound > 0
    assert (plan.slots, plan.known) == (2, 0)
    assert not (root / "ran").exists()
    assert not prepared.directory.exists()
    assert list(prepared.project.glob("inventory-*.json"))
    assert rehearse(prepare(request(root))).cases == plan.cases
