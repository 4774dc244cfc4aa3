"""A case that crashes, hangs or eats memory costs exactly itself."""

from __future__ import annotations

import textwrap
from pathlib import Path

import psutil
import pytest
from runner_suites import (
    PATIENCE_SECONDS,
    Told,
    run_batch,
    run_suite,
    spec_of,
    write_suite,
)
from waiting import wait_until

from proctor.infra.runners.runner import SessionRunner

# name: (body of the test, outcome, what its message says, seconds it may take)
POISONS = {
    "segfault": ("import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV"),
    "abort": ("os.abort()", "crashed", "SIGABRT"),
    "exits": ("os._exit(3)", "crashed", "os._exit(3)"),
    "exits_with_zero": ("os._exit(0)", "crashed", "os._exit(0)"),
    "kills_itself": ("os.kill(os.getpid(), signal.SIGKILL)", "crashed", "SIGKILL"),
    "terminates_itself": ("os.kill(os.getpid(), signal.SIGTERM)", "crashed", "SIGTERM"),
    "closes_all": ("os.closerange(0, 65536)", "crashed", "file descriptors"),
    "sys_exit": ("sys.exit(5)", "failed", "SystemExit"),
    "pytest_exit": ("pytest.exit('enough')", "error", "enough"),
    "interrupt": ("raise KeyboardInterrupt", "error", "KeyboardInterrupt"),
    "system_exit_in_thread": (
        "t = threading.Thread(target=sys.exit); t.start(); t.join()",
        "passed",
        "",
    ),
    "thread_left": (
        "threading.Thread(target=lambda: time.sleep(3600)).start()",
        "passed",
        "",
    ),
    "changes_directory": ("os.chdir('/')", "passed", ""),
    "removes_directory": (
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
        "passed",
        "",
    ),
    "forked_child_returns": ("os.fork() or print('I am the child')", "passed", ""),
    "forked_child_fails": (
        "pid = os.fork()\nif not pid: raise RuntimeError\nassert os.waitpid(pid, 0)[1] != 0",
        "passed",
        "",
    ),
    "fork_hangs_holding_the_pipe": ("if not os.fork(): time.sleep(3600)", "passed", ""),
    "fork_hangs_after_death": (
        "if not os.fork(): time.sleep(3600)\nos._exit(7)",
        "crashed",
        "os._exit(7)",
    ),
    "daemon_after_death": (
        """
        if not os.fork():
            os.setsid()
            if os.fork(): os._exit(0)
            open("daemon.pid", "w").write(str(os.getpid()))
            time.sleep(3600)
        while not os.path.exists("daemon.pid"): time.sleep(0.01)
        os._exit(8)
        """,
        "crashed",
        "os._exit(8)",
    ),
    "prints_much": ("for _ in range(100): print('x' * 999_999)", "passed", ""),
    "asks_to_stop": ("request.session.shouldstop = 'please'", "passed", ""),
    "asks_to_fail": ("request.session.shouldfail = 'please'", "passed", ""),
    "recursion": ("def f(): f()\nf()", "failed", "RecursionError"),
    "timeout_plugin": (
        # What pytest-timeout does with its thread method.
        "os.write(2, b'++++ Timeout ++++'); os._exit(1)",
        "timed-out",
        "pytest-timeout",
    ),
    "takes_the_signal": (
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "passed",
        "",
    ),
}


def suite_of(bodies: dict[str, str]) -> str:
    """A poison between two innocents, for each."""
    lines = ["import os, signal, sys, threading, time", "import pytest", ""]
    for name, body in bodies.items():
        inner = textwrap.indent(textwrap.dedent(body).strip(), "    ")
        lines += [
            f"def test_before_{name}(): print('fine')",
            f"def test_{name}(request):",
            "    print('before the end', flush=True)",
            inner,
            f"def test_after_{name}(): assert os.path.exists('pytest.ini')",
        ]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    bodies = {name: body for name, (body, _, _) in POISONS.items()}
    folder = write_suite(tmp_path_factory.mktemp("poisons"), {"test_poison.py": suite_of(bodies)})
    return folder, run_suite(folder)


@pytest.mark.parametrize("name", POISONS)
def test_a_poison_costs_only_itself(poisoned: tuple[Path, Told], name: str) -> None:
    """The poison has its own outcome and its neighbours pass."""
    _, told = poisoned
    _, outcome, message = POISONS[name]
    done = told.done[f"test_{name}"]
    assert (done["outcome"], message in done["message"]) == (outcome, True), done
    assert told.outcomes[f"test_before_{name}"] == "passed"
    assert told.outcomes[f"test_after_{name}"] == "passed"


def test_no_case_is_told_twice_or_lost(poisoned: tuple[Path, Told]) -> None:
    """However often the runner died, each case was done once."""
    _, told = poisoned
    cases = [message["id"] for message in told.all("done")]
    assert len(cases) == len(set(cases)) == 3 * len(POISONS)


def test_only_deaths_have_culprits(poisoned: tuple[Path, Told]) -> None:
    """A batch names as culprit the one case that ended its runner."""
    _, told = poisoned
    culprits = {end.culprit for end in told.ends if end.culprit}
    deadly = ("crashed", "timed-out")
    crashed = {m["id"] for m in told.all("done") if m["outcome"] in deadly}
    assert culprits == crashed
    assert sum(end.runner_died for end in told.ends) == len(crashed)


def test_output_before_a_crash_is_kept(poisoned: tuple[Path, Told]) -> None:
    """What pytest had captured when the process died is in the record, with the fatal stack."""
    _, told = poisoned
    assert "before the end" in told.text("test_segfault", "stdout")
    assert "test_poison.py" in told.text("test_segfault", "stderr")
    assert "fine" not in told.text("test_segfault", "stdout")


def test_much_output_is_cut_in_the_middle(poisoned: tuple[Path, Told]) -> None:
    """100 MB of output become head, tail and the number of bytes between."""
    _, told = poisoned
    text = told.text("test_prints_much", "stdout")
    assert len(text) < 300 * 1024
    assert text.startswith("before the end\nxxx")
    assert text.endswith("xxx\n")
    left_out = int(text.partition("[... ")[2].split(" ")[0])
    assert left_out + len(text) == pytest.approx(100_000_000, abs=200)


def test_directories_are_put_back_with_a_note(poisoned: tuple[Path, Told]) -> None:
    """A changed or removed working directory does not reach the next case."""
    _, told = poisoned
    for name in ("test_changes_directory", "test_removes_directory"):
        assert told.done[name]["notes"] == ["left its working directory changed"]


def test_requests_to_stop_are_noted_and_not_followed(poisoned: tuple[Path, Told]) -> None:
    """A case cannot end the session for the others."""
    _, told = poisoned
    for name in ("test_asks_to_stop", "test_asks_to_fail"):
        assert told.done[name]["notes"] == ["asked the session to stop: please"]


def test_nothing_that_a_dead_runner_started_lives_on(poisoned: tuple[Path, Told]) -> None:
    """Even a daemon in a session of its own ends with its runner."""
    folder, _ = poisoned
    daemon = int((folder / "daemon.pid").read_text())
    wait_until(lambda: not psutil.pid_exists(daemon), what="the end of the daemon")
    wait_until(
        lambda: (
            str(folder) not in {process.info["cwd"] for process in psutil.process_iter(["cwd"])}
        ),
        what="the end of all others",
    )


HANGS = """
    import ctypes, os, re, signal, subprocess, sys, threading, time
    import pytest

    def test_sleeps():
        print("about to sleep")
        time.sleep(3600)

    def test_innocent(): pass

    def test_deadlocks():
        first, second = threading.Lock(), threading.Lock()
        barrier = threading.Barrier(2)
        def take(one, other):
            with one:
                barrier.wait()
                with other: pass
        def in_the_thread(): take(second, first)
        thread = threading.Thread(target=in_the_thread, daemon=True)
        thread.start()
        take(first, second)

    def test_holds_the_interpreter_lock():
        # A C loop of hours, in which no Python code can run.
        re.match("(a+)+$", "a" * 64 + "b")

    def test_wakes_up_when_asked_for_stacks():
        ctypes.CDLL(None).pause()

    def test_waits_for_a_child_that_ignores_signals():
        code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(3600)"
        subprocess.run([sys.executable, "-c", code])

    def test_ignores_signals():
        for number in range(1, 30):
            if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV):
                signal.signal(number, signal.SIG_IGN)
        time.sleep(3600)

    def test_stops_itself(): os.kill(os.getpid(), signal.SIGSTOP)

    @pytest.fixture
    def slow_teardown():
        yield
        time.sleep(3600)

    def test_hangs_in_teardown(slow_teardown): pass

    def test_last_innocent(): pass
"""


@pytest.fixture(scope="module", params=[False, True], ids=["shared", "isolated"])
def hung(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Told:
    folder = write_suite(tmp_path_factory.mktemp("hangs"), {"test_hang.py": HANGS})
    return run_suite(folder, timeout=allowed_to, isolate=request.param)


def allowed_to(case: str) -> float:
    """Who does not hang may take its time; who does, long enough to come to where it hangs."""
    if "innocent" in case:
        return PATIENCE_SECONDS
    told = ("test_sleeps", "test_deadlocks", "test_holds_the_interpreter_lock")
    return 3.0 if case.endswith(told) else 1.0


def test_what_hangs_times_out_and_nothing_else(hung: Told) -> None:
    """Sleeps, deadlocks, C loops and stopped processes end as timed-out."""
    innocent = {name for name in hung.outcomes if "innocent" in name}
    assert {hung.outcomes[name] for name in innocent} == {"passed"}
    others = {name: outcome for name, outcome in hung.outcomes.items() if name not in innocent}
    assert set(others.values()) == {"timed-out"}, others
    assert len(hung.all("done")) == 10


def test_stacks_of_all_threads_come_with_a_time_out(hung: Told) -> None:
    """The record shows where each thread stood, without the frames below the test."""
    stacks = hung.text("test_deadlocks", "stacks")
    assert "in in_the_thread" in stacks
    assert "in test_deadlocks" in stacks
    assert "_pytest/runner.py" not in stacks
    assert "test_holds_the_interpreter_lock" in hung.text(
        "test_holds_the_interpreter_lock", "stacks"
    )
    assert "about to sleep" in hung.text("test_sleeps", "stdout")


@pytest.mark.parametrize("isolate", [False, True])
def test_memory_over_the_limit_ends_the_case(tmp_path: Path, isolate: bool) -> None:
    """A case that grows beyond its limit is out of memory, also when a child of it grows."""
    folder = write_suite(
        tmp_path,
        {
            "test_memory.py": """
                import subprocess, sys, time
                def test_grows():
                    blocks = []
                    # More than it may have, and no more than there is if nobody looks for long.
                    for _ in range(50):
                        blocks.append(bytearray(20_000_000))
                        time.sleep(0.02)
                    time.sleep(3600)
                def test_innocent(): pass
                def test_child_grows():
                    code = "import time; block = bytearray(600_000_000); time.sleep(3600)"
                    subprocess.run([sys.executable, "-c", code])
                def test_another(): pass
            """
        },
    )
    told = run_suite(folder, memory=400_000_000, isolate=isolate)
    assert told.outcomes == {
        "test_grows": "out-of-memory",
        "test_innocent": "passed",
        "test_child_grows": "out-of-memory",
        "test_another": "passed",
    }
    assert "its limit is 400 MB" in told.done["test_grows"]["message"]
    assert told.done["test_grows"]["peak"] > 400_000_000


def test_an_isolated_case_that_stops_its_session_times_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session cannot say that its child died: it is ended too, and the case to blame."""
    monkeypatch.setattr("proctor.infra.runners.session_watch.KILL_SECONDS", 0.5)
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import os, signal, time
                def test_stops():
                    os.kill(os.getppid(), signal.SIGSTOP)
                    time.sleep(3600)
                def test_innocent(): pass
            """
        },
    )
    told = run_suite(folder, timeout=allowed_to, isolate=True)
    assert told.outcomes == {"test_stops": "timed-out", "test_innocent": "passed"}


def test_isolated_cases_share_nothing(tmp_path: Path) -> None:
    """Each case runs in a fresh copy of the warm session, and a dead copy is replaced."""
    folder = write_suite(
        tmp_path,
        {
            "test_alone.py": """
                import os, pytest
                seen = []
                @pytest.fixture(scope="module")
                def module_wide():
                    yield os.getpid()
                    assert seen == ["one"] or seen == ["two"]
                def test_one(module_wide, tmp_path):
                    seen.append("one")
                    assert seen == ["one"]
                def test_crash(): os.abort()
                def test_exit(): os._exit(0)
                def test_two(module_wide, tmp_path):
                    seen.append("two")
                    assert seen == ["two"]
            """
        },
    )
    told = run_suite(folder, isolate=True)
    assert told.outcomes == {
        "test_one": "passed",
        "test_crash": "crashed",
        "test_exit": "crashed",
        "test_two": "passed",
    }
    # The warm session outlived them all.
    assert not any(end.runner_died for end in told.ends)


@pytest.mark.parametrize(
    ("line", "outcome", "reason"),
    [
        ("import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV"),
        ("import time; time.sleep(3600)", "timed-out", "hung for 1 s"),
    ],
)
def test_an_import_that_kills_takes_only_its_own_file(
    tmp_path: Path, line: str, outcome: str, reason: str
) -> None:
    """Cases of a file that cannot be imported share its fate; those of other files run."""
    folder = write_suite(
        tmp_path,
        {"test_bad.py": line + "\ndef test_x(): pass", "test_good.py": "def test_y(): pass"},
    )
    # The process that crashes is not to be taken for one that hangs, on however slow a machine.
    patience = 1.0 if outcome == "timed-out" else PATIENCE_SECONDS
    runner = SessionRunner(spec_of(folder, hang_timeout_seconds=patience))
    other = SessionRunner(spec_of(folder))
    told = Told()
    cases = [
        ("test_bad.py::test_x", "test_bad.py"),
        ("test_bad.py::test_z", "test_bad.py"),
        ("test_good.py::test_y", "test_good.py"),
    ]
    try:
        end = run_batch(runner, cases, told)
        assert end.left == ("test_good.py::test_y",)
        run_batch(other if outcome == "timed-out" else runner, cases[2:], told)
    finally:
        runner.close()
        other.close()
    assert told.outcomes == {"test_x": outcome, "test_z": outcome, "test_y": "passed"}
    assert told.done["test_x"]["message"].endswith("while test_bad.py was imported")
    assert reason in told.done["test_x"]["message"]
