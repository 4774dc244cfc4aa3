"""The ten fault-tolerance cases, each with real processes: a fleet is broken under a campaign."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from faulty_fleets import PATIENCE, FaultyFleet, faulty_fleet
from real_campaigns import attempts_of, executions, judgements, run, type_in, write_project
from waiting import wait_until

from proctor.flows.campaigns.conduct import Conducted, Unwatched
from proctor.infra.engine import cluster
from proctor.infra.engine.cluster import Cluster
from proctor.infra.fleet.chaos_mark import edge_directory
from proctor.infra.fleet.roster import read_roster
from proctor.infra.records import Attempt, Case

# A Dask client that lost its scheduler leaves the socket to the collector of garbage.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FILES = 6
CASES_IN_FILE = 12
CASES = FILES * CASES_IN_FILE
# What a slot that dies loses at most: the case that runs, and one whose record was on its way.
AT_A_KILL = 2
SUITE = {
    f"test_{letter}.py": f"""\
        import time
        import pytest
        from executions import ran

        @pytest.mark.parametrize("n", range({CASES_IN_FILE}))
        def test_case(n):
            time.sleep(0.1)
            ran(f"{letter}{{n}}")
        """
    for letter in "abcdef"[:FILES]
}
GPU_SUITE = {
    "test_mixed.py": """\
        import pytest
        from executions import ran

        @pytest.mark.resources(gpu=1)
        @pytest.mark.parametrize("n", range(4))
        def test_on_gpu(n):
            ran(f"gpu{n}")

        @pytest.mark.parametrize("n", range(8))
        def test_anywhere(n):
            ran(f"any{n}")
        """,
}
# Each is held until the only worker that can run it dies.
HELD = """\
    from pathlib import Path
    import signal
    import pytest

    @pytest.mark.resources(gpu=1)
    @pytest.mark.parametrize("n", range(4))
    def test_held(n):
        mark = Path(__file__).with_name(f"mark-{n}")
        if not mark.exists():
            mark.write_text("here")
            signal.pause()
    """


class AtCommit(Unwatched):
    """Does something when so many attempts have been recorded; each thing once."""

    def __init__(self, acts: dict[int, Callable[[], object]]) -> None:
        self._acts = acts
        self.count = 0

    def attempt(self, case: Case, attempt: Attempt) -> None:
        self.count += 1
        if self.count in self._acts:
            self._acts[self.count]()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyFleet]:
    place = tmp_path_factory.mktemp("ten")
    with faulty_fleet(place / "state", "--cpu", "2", "--gpu", "1") as fleet:
        yield fleet
    # Now, where the warning is expected, and not at the end of the session.
    gc.collect()


@pytest.fixture(autouse=True)
def _whole(fleet: FaultyFleet) -> None:
    fleet.await_workers(3)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "p", SUITE)


def events(conducted: Conducted) -> list[tuple[str, str]]:
    assert conducted.record is not None
    return [(each.worker, each.event) for each in conducted.record.workers]


def ran_on(conducted: Conducted) -> Counter[str]:
    assert conducted.record is not None
    return Counter(
        attempt.worker
        for attempts in conducted.record.attempts.values()
        for attempt in attempts
        if attempt.outcome.is_result
    )


def check_whole(conducted: Conducted, project: Path, *, most_wasted: int) -> None:
    """Every case passed and counts once; only what was cut off was executed again."""
    assert conducted.exit_code == 0
    assert conducted.counts == {"passed": CASES}
    assert len(judgements(conducted)) == CASES
    ran = executions(project)
    assert len(ran) == CASES
    assert conducted.record is not None
    # What a slot kept waiting is begun anew on an idle one, on purpose.
    moved = sum(len(each.cases) for each in conducted.record.moves)
    assert ran.total() - CASES <= most_wasted + moved
    for case in conducted.record.cases:
        *before, last = attempts_of(conducted, case)
        assert last == "passed"
        assert set(before) <= {"infra-lost", "passed", "cancelled"}


def largest_batch(conducted: Conducted) -> int:
    assert conducted.record is not None
    return max(len(batch.cases) for batch in conducted.record.batches)


def test_01_basic_initialization(fleet: FaultyFleet) -> None:
    """All parts are up, each worker behind its proxy, and the fleet is marked as a target."""
    fleet.targets.check_marked()
    assert fleet.targets.has_scheduler()
    assert fleet.targets.workers() == ["cpu-1", "cpu-2", "gpu-1"]
    assert all(
        edge_directory(fleet.files.directory, each).is_dir() for each in fleet.targets.workers()
    )


def test_02_worker_registration(fleet: FaultyFleet) -> None:
    """Workers say what they offer, and are listed with it."""
    facts = {name: seen.facts for name, seen in read_roster(fleet.files.roster).workers.items()}
    assert {name: (each.worker_class, each.gpu) for name, each in facts.items()} == {
        "cpu-1": ("cpu", 0.0),
        "cpu-2": ("cpu", 0.0),
        "gpu-1": ("gpu", 1.0),
    }
    assert len({each.incarnation for each in facts.values()}) == 3


def test_03_task_assignment(fleet: FaultyFleet, tmp_path: Path) -> None:
    """Cases run on workers that have what they need, and on those alone."""
    project = write_project(tmp_path / "p", GPU_SUITE)
    conducted = run(project, fleet.state)
    assert conducted.exit_code == 0
    assert conducted.record is not None
    on_gpu = {
        attempt.worker
        for case, attempts in conducted.record.attempts.items()
        if "test_on_gpu" in case
        for attempt in attempts
    }
    assert on_gpu == {"gpu-1"}


def test_04_worker_failure_detection(fleet: FaultyFleet, project: Path) -> None:
    """A killed worker is told to be lost while the campaign runs; no other is."""
    conducted = run(
        project, fleet.state, watcher=AtCommit({5: lambda: fleet.inject("kill", "worker:cpu-1")})
    )
    check_whole(conducted, project, most_wasted=AT_A_KILL)
    lost = [worker for worker, event in events(conducted) if event == "lost"]
    assert lost == ["cpu-1"]


def test_05_task_reassignment(fleet: FaultyFleet, tmp_path: Path) -> None:
    """What ran on the worker that died runs again elsewhere, unblamed; so does its batch."""
    project = write_project(
        tmp_path / "p",
        {
            **SUITE,
            "test_held.py": """\
                from pathlib import Path
                import signal
                from executions import ran

                def test_held():
                    mark = Path(__file__).with_name("mark")
                    if not mark.exists():
                        mark.write_text("here")
                        signal.pause()
                """,
        },
    )
    held = "test_held.py::test_held"
    killed: list[str] = []

    class Watcher(Unwatched):
        def running(self, case: Case, slot) -> None:
            if case.id == held and not killed:
                killed.append(slot.worker)
                wait_until((project / "mark").exists, what="the case to hold")
                fleet.inject("kill", f"worker:{slot.worker}")

    conducted = run(project, fleet.state, watcher=Watcher())
    assert conducted.exit_code == 0
    assert attempts_of(conducted, held) == ["infra-lost", "passed"]
    assert conducted.record is not None
    first, _second = conducted.record.attempts[held]
    assert first.worker == killed[0]
    assert conducted.counts == {"passed": CASES + 1}


def test_06_worker_recovery(fleet: FaultyFleet, project: Path) -> None:
    """It comes back under its name as another life, and works for the same campaign."""
    before = read_roster(fleet.files.roster).workers["cpu-1"].facts.incarnation

    class Watcher(AtCommit):
        def attempt(self, case: Case, attempt: Attempt) -> None:
            super().attempt(case, attempt)
            if self.count == 20:
                # The rest of the suite is there for the one that returns.
                fleet.await_life("cpu-1", but=[before])

    watcher = Watcher({5: lambda: fleet.inject("kill", "worker:cpu-1")})
    conducted = run(project, fleet.state, watcher=watcher)
    check_whole(conducted, project, most_wasted=AT_A_KILL)
    mine = [event for worker, event in events(conducted) if worker == "cpu-1"]
    assert mine == ["joined", "lost", "joined"]
    assert conducted.record is not None
    lives = {
        attempt.incarnation
        for attempts in conducted.record.attempts.values()
        for attempt in attempts
        if attempt.worker == "cpu-1" and attempt.outcome.is_result
    }
    assert lives - {before}


def test_07_simultaneous_failures(fleet: FaultyFleet, project: Path) -> None:
    """All workers die at once; all come back and finish."""
    conducted = run(
        project, fleet.state, watcher=AtCommit({10: lambda: fleet.inject("kill", "worker:all")})
    )
    check_whole(conducted, project, most_wasted=3 * AT_A_KILL)
    lost = sorted(worker for worker, event in events(conducted) if event == "lost")
    assert lost == ["cpu-1", "cpu-2", "gpu-1"]


def test_08_work_stealing(fleet: FaultyFleet, project: Path) -> None:
    """A stronger worker that joins in the middle takes its part of what waits."""
    commands = ThreadPoolExecutor(1)
    arguments = ("--prefect", "off", "--state", str(fleet.state))
    joining = []

    def join() -> None:
        told = commands.submit(
            type_in, "up", "--class", "big:slots=3", *arguments, cwd=project.parent
        )
        joining.append(told)
        told.result()

    conducted = run(project, fleet.state, watcher=AtCommit({6: join}))
    commands.shutdown()
    assert joining[0].result().returncode == 0, joining[0].result().stderr
    gone = type_in("scale", "big=0", "--state", str(fleet.state), cwd=project.parent)
    assert gone.returncode == 0, gone.stderr
    check_whole(conducted, project, most_wasted=3)
    assert ran_on(conducted)["big-1"] > 0


def test_09_task_completion(fleet: FaultyFleet, project: Path) -> None:
    """One worker dies, then the next, then the scheduler: every case gets its one verdict."""
    acts = {
        8: lambda: fleet.inject("kill", "worker:cpu-1"),
        16: lambda: fleet.inject("kill", "worker:cpu-2"),
        30: lambda: fleet.inject("kill", "scheduler"),
    }
    conducted = run(project, fleet.state, watcher=AtCommit(acts))
    # Workers without a scheduler go on with their batches, and nobody hears of it.
    check_whole(conducted, project, most_wasted=2 * AT_A_KILL + 3 * largest_batch(conducted))


def test_10_repeated_failures(fleet: FaultyFleet, tmp_path: Path) -> None:
    """The same worker dies again and again, and nobody's case pays for it."""
    project = write_project(tmp_path / "p", {**SUITE, "test_held.py": HELD})
    held = [f"test_held.py::test_held[{n}]" for n in range(4)]
    killed: list[str] = []

    class Watcher(Unwatched):
        def running(self, case: Case, slot) -> None:
            if case.id in held and case.id not in killed:
                # Each of its lives dies in another case, which waits for that.
                killed.append(case.id)
                wait_until((project / f"mark-{held.index(case.id)}").exists, what="it to hold")
                # It may run a case before whoever looks for workers has heard of its new life.
                fleet.await_workers(3)
                fleet.inject("kill", f"worker:{slot.worker}")

    conducted = run(project, fleet.state, watcher=Watcher())
    assert conducted.exit_code == 0
    assert conducted.counts == {"passed": CASES + len(held)}
    assert [attempts_of(conducted, each) for each in held] == [["infra-lost", "passed"]] * len(held)
    lost = [worker for worker, event in events(conducted) if event == "lost"]
    assert lost == ["gpu-1"] * len(held)


def test_11_network_interruption(fleet: FaultyFleet, project: Path) -> None:
    """A worker's network is cut, swallows all for a while, and is slow: nothing is lost."""
    acts = {
        6: lambda: fleet.inject("disconnect", "worker:cpu-1", seconds=1),
        20: lambda: fleet.inject("partition", "worker:cpu-2", seconds=2),
        30: lambda: fleet.inject("latency", "worker:gpu-1", seconds=3, delay="200ms"),
    }
    conducted = run(project, fleet.state, watcher=AtCommit(acts))
    # Who is cut off goes on with its batch, and nobody hears of it.
    check_whole(conducted, project, most_wasted=len(acts) * largest_batch(conducted))


def test_12_a_killed_runner_is_nobodys_fault(fleet: FaultyFleet, project: Path) -> None:
    """Somebody kills a session from outside: the case that ran there runs once more, unblamed."""
    acts = {8: lambda: fleet.inject("kill", "runner:busy")}
    conducted = run(project, fleet.state, watcher=AtCommit(acts))
    check_whole(conducted, project, most_wasted=AT_A_KILL)


def test_13_a_clock_that_lies_loses_nothing(fleet: FaultyFleet, project: Path) -> None:
    """Times in the ledger are wrong by an hour; verdicts are not."""
    acts = {4: lambda: fleet.inject("clock", "worker:cpu-1", seconds=60, offset="1h")}
    conducted = run(project, fleet.state, watcher=AtCommit(acts))
    fleet._injector.undo_all()
    check_whole(conducted, project, most_wasted=0)
    assert conducted.record is not None
    odd = [
        attempt
        for attempts in conducted.record.attempts.values()
        for attempt in attempts
        if attempt.started > conducted.record.last + 1800
    ]
    assert {attempt.worker for attempt in odd} == {"cpu-1"}


def test_14_a_scheduler_that_returns_behind_our_back(
    fleet: FaultyFleet, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask reconnects by itself, to a scheduler that knows of no subscription: it is noticed."""
    clusters: list[Cluster] = []

    class Kept(Cluster):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            clusters.append(self)

    monkeypatch.setattr(cluster, "Cluster", Kept)

    def kill_and_wait() -> None:
        client = clusters[0]._client
        before = client.scheduler_comm
        fleet.inject("kill", "scheduler")
        wait_until(
            lambda: client.status == "running" and client.scheduler_comm is not before,
            timeout=PATIENCE,
            what="Dask's own reconnecting",
        )

    conducted = run(project, fleet.state, watcher=AtCommit({10: kill_and_wait}))
    check_whole(conducted, project, most_wasted=3 * largest_batch(conducted))
