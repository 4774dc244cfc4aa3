"""kill -9 of workers and of campaigns: no verdict lost, none counted twice, nobody blamed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
from real_campaigns import (
    PATIENCE_SECONDS,
    AtStart,
    attempts_of,
    begin,
    executions,
    judgements,
    moved,
    only_campaign,
    run,
    type_in,
    write_project,
)
from waiting import is_over, wait_until

from proctor.infra.dispatching.batches import Slot
from proctor.infra.fleet.local_fleet import LocalFleet, WorkerClass
from proctor.infra.judge import check_invariants
from proctor.infra.runners.outbox import read_outbox

CASES = 40
# While a file says so, each slot is held up by a case in the middle of what it runs.
MANY = {
    f"test_{letter}.py": f"""\
        import os
        import time
        import pytest
        from executions import ran, wait_for

        @pytest.mark.parametrize("n", range({CASES // 4}))
        def test_case(n):
            if n >= 5 and os.path.exists("hold"):
                open(f"held-{letter}{{n}}", "w").close()
                wait_for("hold", there=False)
            time.sleep(0.05)
            ran(f"{letter}{{n}}")
        """
    for letter in "abcd"
}


def test_a_killed_worker_costs_one_execution(tmp_path: Path, state: Path) -> None:
    """Its running case is lost and runs again; the worker is replaced; nobody else is touched."""
    project = write_project(
        tmp_path / "p",
        {
            **MANY,
            "test_victim.py": """\
            from pathlib import Path
            import signal

            def test_victim():
                mark = Path(__file__).with_name("mark")
                if not mark.exists():
                    mark.touch()
                    signal.pause()
            """,
        },
    )
    victim = "test_victim.py::test_victim"
    classes = (WorkerClass(name="one", slots=1), WorkerClass(name="two", slots=1))
    with LocalFleet(
        workers=[each.facts(1) for each in classes], scratch=tmp_path / "scratch"
    ) as fleet:

        def kill(slot: Slot) -> None:
            # It is told as running a moment before it is.
            wait_until((project / "mark").exists, what="the victim's first execution")
            os.kill(fleet._hosts[slot.worker].pid, signal.SIGKILL)

        conducted = run(project, state, fleet=fleet.address(), watcher=AtStart(victim, kill))
    assert conducted.exit_code == 0
    assert conducted.counts == {"passed": CASES + 1}
    assert attempts_of(conducted, victim) == ["infra-lost", "passed"]
    assert conducted.record is not None
    others = judgements(conducted).keys() - {victim} - moved(conducted.record)
    assert {tuple(attempts_of(conducted, case)) for case in others} == {("passed",)}
    events = [event.event for event in conducted.record.workers]
    assert events.count("lost") == 1


def test_a_killed_scheduler_of_a_run_comes_back(tmp_path: Path, state: Path) -> None:
    """Nobody has to bring it up and to resume: what ran is lost with its workers, and runs again."""
    project = write_project(tmp_path / "p", MANY)
    victim = "test_b.py::test_case[3]"
    with LocalFleet(
        workers=[WorkerClass(name="one", slots=1).facts(1)], scratch=tmp_path / "scratch"
    ) as fleet:

        def kill(_: Slot) -> None:
            assert fleet._scheduler is not None
            os.kill(fleet._scheduler.pid, signal.SIGKILL)

        conducted = run(project, state, fleet=fleet.address(), watcher=AtStart(victim, kill))
    assert conducted.exit_code == 0
    assert conducted.counts == {"passed": CASES}


def _kill_in_the_middle(project: Path, log: Path, *arguments: str, slots: int) -> int:
    """Kill it while each slot is at a case; how many were over by then."""
    hold = project / "hold"
    hold.touch()
    process = begin(["run", "--prefect", "off", *arguments], cwd=project, log=log)
    own: list[psutil.Process] = []
    try:
        wait_until(
            lambda: len(list(project.glob("held-*"))) == slots,
            timeout=PATIENCE_SECONDS,
            what="a case on each slot",
        )
        own = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
        process.wait()
    over = executions(project).total()
    wait_until(lambda: all(map(is_over, own)), what="the end of its own fleet")
    hold.unlink()
    return over


def test_a_killed_campaign_is_resumed(tmp_path: Path, state: Path) -> None:
    """Its fleet dies with it; what was measured counts, at most one execution a slot is wasted."""
    project = write_project(tmp_path / "p", MANY)
    over = _kill_in_the_middle(project, tmp_path / "log", "--state", str(state), "-n", "2", slots=2)
    assert 0 < over <= CASES // 2
    before = only_campaign(state)
    promised = {each.id for several in before.attempts.values() for each in several}
    resumed = type_in("resume", "--state", str(state), "--json", cwd=project)
    assert resumed.returncode == 0, resumed.stderr
    record = only_campaign(state)
    assert check_invariants(record) == []
    assert set(judgements(record).values()) == {"passed"}
    assert len(record.cases) == CASES == len(executions(project))
    assert promised <= {each.id for several in record.attempts.values() for each in several}
    assert executions(project).total() <= CASES + 2


def test_results_in_outboxes_of_a_fleet_that_is_up_are_kept(
    tmp_path: Path, state: Path, fleet: str, fleet_scratch: Path
) -> None:
    """The workers go on without the campaign; what they finish meanwhile does not run again."""
    project = write_project(tmp_path / "p", MANY)
    over = _kill_in_the_middle(
        project, tmp_path / "log", "--state", str(state), "--fleet", fleet, slots=3
    )
    interrupted = only_campaign(state)
    recorded = sum(map(len, interrupted.attempts.values()))
    assert recorded <= over
    # Batches in flight run on: more is executed than the ledger of the dead process holds.
    wait_until(
        lambda: len(list(read_outbox(fleet_scratch, interrupted.campaign))) >= over + 3,
        timeout=PATIENCE_SECONDS,
        what="results nobody has heard of",
    )
    resumed = run(project, state, fleet=fleet, resume="last")
    assert resumed.counts == {"passed": CASES}
    assert resumed.record is not None
    epochs = {each.epoch for several in resumed.record.attempts.values() for each in several}
    assert epochs == {1, 2}
    kept = sum(each.epoch == 1 for several in resumed.record.attempts.values() for each in several)
    assert kept > recorded
    # What ran on each slot when the fence came down, and cases that were moved too late.
    assert executions(project).total() <= CASES + 6


def test_one_campaign_has_one_writer(tmp_path: Path, state: Path, fleet: str) -> None:
    """Resuming a campaign that runs is refused in one line, and does it no harm.

    Another campaign passes on the same fleet.
    """
    held = write_project(
        tmp_path / "held" / "p",
        {
            "test_held.py": """\
            from executions import ran
            from pathlib import Path
            import pytest, time

            def test_held():
                ran("held")
                end = time.monotonic() + 80
                while not Path(__file__).with_name("go").exists():
                    assert time.monotonic() < end
                    time.sleep(0.02)

            @pytest.mark.parametrize("n", range(40))
            def test_more(n):
                time.sleep(0.02)
            """
        },
    )
    arguments = ["run", "--prefect", "off", "--state", str(state), "--fleet", fleet]
    process = begin(arguments, cwd=held, log=tmp_path / "log")
    try:
        wait_until(lambda: executions(held)["held"], timeout=PATIENCE_SECONDS, what="the first")
        first = only_campaign(state)
        refused = type_in("resume", first.campaign, "--state", str(state), cwd=held)
        assert refused.returncode == 4
        assert refused.stderr.count("\n") == 1
        assert "is running: nothing is there to resume" in refused.stderr
        assert process.poll() is None
        (held / "go").touch()
        other = write_project(tmp_path / "other" / "p", MANY)
        assert run(other, tmp_path / "state2", fleet=fleet).counts == {"passed": CASES}
        assert process.wait(PATIENCE_SECONDS) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
    assert set(judgements(only_campaign(state)).values()) == {"passed"}
    assert len(only_campaign(state).headers) == 1
    assert executions(held) == {"held": 1}
