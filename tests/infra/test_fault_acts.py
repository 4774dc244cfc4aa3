"""How faults act and are undone where that is less simple than it seems."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from waiting import wait_until

from proctor.infra.faults.catalogue import choose_kind
from proctor.infra.faults.experiment import FaultStep, PauseStep, parse_experiment
from proctor.infra.faults.inject import Injector
from proctor.infra.faults.journal import Done, ExperimentJournal
from proctor.infra.faults.kinds import FaultOrder, FaultPlan
from proctor.infra.faults.lease import FaultFiles, FaultLease, grant, held, settle
from proctor.infra.faults.reaper import _reap_on
from proctor.infra.faults.record import FaultRecorder
from proctor.infra.faults.run import ExperimentRun, lateness
from proctor.infra.faults.targets import Part, Target, Targets
from proctor.infra.faults.undo import follow, remove
from proctor.infra.faults.verdict import Finding, Validity
from proctor.infra.fleet.files import FleetFiles
from proctor.infra.process_ref import ProcessRef

# Starts a child when it is told to, with a name that is given, and says its number.
PARENT = """
import subprocess, sys
sys.stdin.readline()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *sys.argv[1:]])
print(child.pid, flush=True)
child.wait()
"""


class Family:
    """A process that has a child once it is told so."""

    def __init__(self, *child_arguments: str) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *child_arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.child: psutil.Process | None = None

    def grow(self) -> psutil.Process:
        assert self.parent.stdin is not None
        assert self.parent.stdout is not None
        self.parent.stdin.write(b"\n")
        self.parent.stdin.flush()
        self.child = psutil.Process(int(self.parent.stdout.readline()))
        return self.child

    def end(self) -> None:
        if self.child is not None:
            self.child.kill()
        self.parent.kill()
        self.parent.communicate()


@pytest.fixture
def family(request: pytest.FixtureRequest) -> Iterator[Family]:
    made = Family(*getattr(request, "param", ()))
    yield made
    made.end()


def plan_of(kind: str, state: Path, pid: int, *, name: str = "f-1", **parameters: object):
    ref = ProcessRef.of(pid)
    assert ref is not None
    target = Target(name="worker:a", part=Part.WORKER, processes=(("a", ref),))
    order = FaultOrder(
        id=name,
        target=target,
        until=time.time() + 60,
        parameters=parameters,
        files=FleetFiles(state=state),
    )
    return choose_kind(kind).plan(order)


def lease_of(plan: FaultPlan, name: str = "f-1") -> FaultLease:
    now = time.time()
    return FaultLease(
        id=name, kind="k", target="worker:a", begins=now, until=now + 60, undo=plan.undo
    )


def limit_of(pid: int) -> tuple[int, int]:
    return resource.prlimit(pid, resource.RLIMIT_FSIZE)


def test_what_began_on_a_full_disk_can_write_when_it_is_over(
    tmp_path: Path, family: Family
) -> None:
    """A session that started meanwhile has the limit from its worker, and outlives the fault."""
    pid = family.parent.pid
    before = limit_of(pid)
    plan = plan_of("disk-full", tmp_path, pid, limit=0)
    plan.act()
    child = family.grow()
    assert limit_of(child.pid)[0] == 0

    follow(plan.undo)

    assert (limit_of(pid), limit_of(child.pid)) == (before, before)


def test_two_full_disks_are_both_undone(tmp_path: Path, family: Family) -> None:
    """The second must not give back what the first one did."""
    pid = family.parent.pid
    before = limit_of(pid)
    first = plan_of("disk-full", tmp_path, pid, limit=0)
    files = FaultFiles(state=tmp_path)
    grant(files, lease_of(first))
    first.act()
    second = plan_of("disk-full", tmp_path, pid, name="f-2", limit=0)
    second.act()

    follow(first.undo)
    follow(second.undo)

    assert limit_of(pid) == before


@pytest.mark.parametrize("family", [("proctor.infra.faults.reaper",)], indirect=True)
def test_who_undoes_faults_is_never_frozen(tmp_path: Path, family: Family) -> None:
    """A supervisor may have started the reaper: frozen with it, nobody would end the freeze."""
    child = family.grow()
    plan = plan_of("freeze", tmp_path, family.parent.pid)
    plan.act()
    try:
        parent = psutil.Process(family.parent.pid)
        wait_until(lambda: parent.status() == psutil.STATUS_STOPPED, what="the stop")
        assert child.status() != psutil.STATUS_STOPPED
    finally:
        follow(plan.undo)


def test_one_fault_that_cannot_be_undone_keeps_no_other(tmp_path: Path) -> None:
    """The reaper tries it again; the load is still ended, and the others are undone."""
    files = FaultFiles(state=tmp_path)
    rule = tmp_path / "rule.json"
    rule.touch()
    stuck = FaultLease(
        id="f-1", kind="k", target="t", begins=0.0, until=1.0, undo=({"do": "dance"},)
    )
    other = replace(stuck, id="f-2", undo=(remove(rule),))
    injector = Injector(files, recorder=FaultRecorder(files))
    for lease in (stuck, other):
        grant(files, lease)
        injector.active[lease.id] = lease

    injector.undo_all()

    assert not rule.exists()
    assert injector.active == {}
    assert [lease.id for lease in held(files)] == ["f-1"]


def test_a_fault_ends_in_time_though_the_clock_is_put_back(tmp_path: Path) -> None:
    """A lease that seems to end in an hour, by a clock that was put back since."""
    files = FaultFiles(state=tmp_path)
    rule = tmp_path / "rule.json"
    rule.touch()
    begins = time.time() + 3600
    grant(
        files,
        FaultLease(
            id="f-1", kind="k", target="t", begins=begins, until=begins + 0.2, undo=(remove(rule),)
        ),
    )
    reaper = threading.Thread(target=_reap_on, args=(files, 0.3), daemon=True)
    reaper.start()
    wait_until(lambda: not rule.exists(), what="the rule to go")
    reaper.join(60)
    assert not reaper.is_alive()


def test_a_machine_with_many_cores_can_be_pressed_on() -> None:
    """More cores than a fault may burn: by default it burns as many as it may."""
    script = (
        "import os; os.sched_getaffinity = lambda pid: set(range(128))\n"
        "from proctor.infra.faults.catalogue import choose_kind\n"
        "from proctor.infra.faults.kinds import read_parameters\n"
        "print(read_parameters(choose_kind('cpu'), {})['processes'])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert told.stdout.strip() == "64", told.stderr


METHOD = {"title": "t", "method": [{"fault": "cpu", "target": "host", "for": "1s"}]}


def test_a_fleet_that_is_not_given_any_more_is_left_alone(tmp_path: Path) -> None:
    """Whoever took it down and up again without the mark, in the middle, gave nothing away."""
    experiment = parse_experiment(METHOD, source="here", directory=tmp_path)
    run = ExperimentRun(experiment, state=tmp_path, targets=Targets(tmp_path))
    run._ends = time.monotonic() + 60
    done = run._do(experiment.method[0])
    assert (done.status, held(FaultFiles(state=tmp_path))) == ("failed", [])
    assert "not marked as a target" in done.problem


@pytest.mark.parametrize(("how", "after"), [("asked", 8.0), ("expired", 50.5)])
def test_a_fault_that_somebody_else_has_undone_is_not_waited_for(
    tmp_path: Path, how: str, after: float
) -> None:
    """It is told, and the journal has the true end; the reaper at its time is nothing to tell."""
    files = FaultFiles(state=tmp_path)
    begins = time.time()
    lease = FaultLease(id="f-1", kind="slow", target="w", begins=begins, until=begins + 50, undo=())
    experiment = parse_experiment(METHOD, source="here", directory=tmp_path)
    said: list[str] = []
    run = ExperimentRun(experiment, state=tmp_path, targets=Targets(tmp_path), say=said.append)
    run._ends = time.monotonic() + 600
    grant(files, lease)
    run._injector.active[lease.id] = lease
    run._look_at_faults()
    assert (said, list(run._injector.active)) == ([], ["f-1"])

    assert settle(files, lease, how)
    end = json.loads((files.undone / "f-1.json").read_text())
    end["detail"]["undone_at"] = begins + after
    (files.undone / "f-1.json").write_text(json.dumps(end))
    run._wait(lambda: not run._injector.active)

    told = ["slow w was undone by somebody else after 8.0 s (asked)"]
    assert said == (told if how == "asked" else [])
    fault = {"id": "f-1", "begins": begins, "until": begins + 50}
    journal = ExperimentJournal(experiment=experiment, began=begins, faults=[fault])
    run._end(journal)
    (written,) = journal.document("1")["proctor"]["faults"]
    assert (written["until"], written["ended"]) == (begins + after, how)


def test_a_step_that_came_too_late_says_so(tmp_path: Path) -> None:
    """Steps wait for each other: what a late one met is not what was asked for."""
    given = {"title": "t", "method": [{"fault": "cpu", "target": "host", "at": "10s"}]}
    experiment = parse_experiment(given, source="here", directory=tmp_path)
    said: list[str] = []
    run = ExperimentRun(experiment, state=tmp_path, targets=Targets(tmp_path), say=said.append)
    now = time.monotonic()
    run._began, run._ends = now - 15.2, now + 60

    done = run._do(experiment.method[0])

    assert done.note.startswith("asked for 10 s, came at ")
    assert any(done.note in line for line in said), "told at once, not in the journal only"
    journal = ExperimentJournal(experiment=experiment, began=0.0, run=[done])
    assert journal.document("1")["run"][0]["note"] == done.note


@pytest.mark.parametrize(
    ("came", "told"),
    [
        (3.0, ""),
        (10.9, ""),
        (15.2, "asked for 10 s, came at 15.2 s (each step waits for the one before it)"),
    ],
)
def test_only_what_is_a_second_late_is_told(came: float, told: str) -> None:
    """Everything comes a little after its moment."""
    assert lateness(10.0, came=came) == told


@pytest.mark.parametrize(
    ("problem", "validity"), [("", Validity.VALID), ("it was late", Validity.UNKNOWN)]
)
def test_a_fault_that_never_acted_shows_nothing(
    tmp_path: Path, problem: str, validity: Validity
) -> None:
    """All went well, and nobody knows what it would have come to: that is no pass."""
    experiment = parse_experiment(METHOD, source="here", directory=tmp_path)
    (step,) = experiment.method
    assert isinstance(step, FaultStep)
    journal = ExperimentJournal(
        experiment=experiment,
        began=0.0,
        findings=(Finding(invariant="ended", validity=Validity.VALID),),
        run=[
            Done(step=step, began=0.0, ended=1.0, status="failed", problem=problem),
            Done(step=PauseStep(seconds=0.0), began=1.0, ended=1.0, status="succeeded"),
        ],
    )
    assert journal.validity is validity
