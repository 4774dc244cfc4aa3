"""The life of a session: its start, its orders and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest
import runner_suites
from runner_suites import (
    PATIENCE_SECONDS,
    PYTHON,
    Told,
    collect,
    run_batch,
    run_suite,
    spec_of,
    write_suite,
)
from waiting import wait_until

from proctor.infra.errors import CollectionProblem, InterpreterProblem
from proctor.infra.runners.child import Child
from proctor.infra.runners.runner import Order, SessionProblem, SessionRunner, Work

TEN = "import pytest, time\n@pytest.mark.parametrize('n', range(10))\ndef test_n(n): pass\n"


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    return write_suite(tmp_path, {"test_ten.py": TEN})


def ten_cases(count: int = 10) -> list[tuple[str, str]]:
    return [(f"test_ten.py::test_n[{number}]", "test_ten.py") for number in range(count)]


# -- starting ------------------------------------------------------------------------------


def test_hello_says_what_the_session_is(ten: Path) -> None:
    """The first message names interpreter, pytest, root and what decides which files are tests."""
    runner = SessionRunner(spec_of(ten, ".", "--maxfail=3"))
    try:
        hello = runner.start()
        assert hello["rootdir"] == str(ten)
        assert hello["inifile"] == str(ten / "pytest.ini")
        assert hello["maxfail"] == 3
        assert "test_*.py" in hello["test_patterns"]
        assert psutil.Process(hello["pid"]).is_running()
        # Starting what runs already changes nothing.
        assert runner.start() is hello
    finally:
        runner.close()
    assert not runner.alive
    assert not psutil.pid_exists(hello["pid"])


def test_an_interpreter_that_is_not_there(ten: Path) -> None:
    """One sentence names the interpreter."""
    runner = SessionRunner(spec_of(ten, python="/no/such/python"))
    with pytest.raises(InterpreterProblem, match="/no/such/python"):
        runner.start()


def test_an_interpreter_without_pytest(ten: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One sentence says that pytest is missing there."""
    bare = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True, timeout=180)
    runner = SessionRunner(spec_of(ten, python=str(bare / "bin" / "python")))
    with pytest.raises(InterpreterProblem, match="no usable pytest"):
        runner.start()


def test_an_interpreter_that_is_too_old(ten: Path, tmp_path: Path) -> None:
    """One sentence says so, and not what of ours it cannot read."""
    pretends = "import sys\nsys.version_info, sys.version = (3, 8, 18), '3.8.18 (old)'\n"
    (tmp_path / "sitecustomize.py").write_text(pretends)
    runner = SessionRunner(spec_of(ten, environment={"PYTHONPATH": str(tmp_path)}))
    with pytest.raises(InterpreterProblem, match=r"is Python 3\.8\.18, and suites need 3\.9"):
        runner.start()


def test_something_that_is_no_python(ten: Path) -> None:
    """A program that leaves without a word is reported with its exit code."""
    runner = SessionRunner(spec_of(ten, python="/bin/false"))
    with pytest.raises(CollectionProblem, match="exit code 1"):
        runner.start()


def test_a_session_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conftest.py that hangs is given up after the deadline, and named."""
    text = "import time\nopen('hangs', 'w').close()\ntime.sleep(3600)\n"
    folder = write_suite(tmp_path, {"conftest.py": text})
    runner = SessionRunner(spec_of(folder))
    await_hello = runner._await_hello

    def await_it(child: Child, deadline: float, called_off: threading.Event) -> dict[str, object]:
        # What comes before may take its time.
        wait_until((folder / "hangs").exists, what="the conftest.py to hang")
        return await_hello(child, time.monotonic() + 0.5, called_off)

    monkeypatch.setattr(runner, "_await_hello", await_it)
    with pytest.raises(InterpreterProblem, match=r"not ready.*conftest\.py"):
        runner.start()
    assert not runner.alive


def test_a_session_may_start_as_slowly_as_a_file_may_load(
    ten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its conftest.py is imported before it answers, and the user says how long that may take."""
    runner = SessionRunner(spec_of(ten, hang_timeout_seconds=500.0))
    allowed: list[float] = []

    def await_hello(
        child: object, deadline: float, called_off: threading.Event
    ) -> dict[str, object]:
        allowed.append(deadline - time.monotonic())
        return {}

    monkeypatch.setattr(runner, "_await_hello", await_hello)
    runner.start()
    runner.close(0)
    assert 400 < allowed[0] <= 500


def test_arguments_and_conftests_that_pytest_refuses(tmp_path: Path) -> None:
    """Pytest's own exit code and words come through."""
    folder = write_suite(tmp_path, {"test_a.py": ""})
    with pytest.raises(SessionProblem, match="--no-such-option") as caught:
        SessionRunner(spec_of(folder, "--no-such-option")).start()
    assert (caught.value.exit_code, caught.value.conftest) == (4, "")
    (folder / "conftest.py").write_text("import no_such_module")
    with pytest.raises(SessionProblem, match="no_such_module") as caught:
        SessionRunner(spec_of(folder)).start()
    assert caught.value.conftest == str(folder / "conftest.py")
    assert caught.value.message.startswith(f"{caught.value.conftest} cannot be imported: Mod")
    assert "conftest.py" in caught.value.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import os\n\nraise RuntimeError('boom')\n", "RuntimeError: boom (conftest.py:3)"),
        ("import os\nimport helper_of_it\n", "ValueError: no (conftest.py:2)"),
        ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax ({conftest}:2)"),
        ("import sys\nsys.exit(3)\n", ""),
    ],
)
def test_where_a_conftest_is_broken_is_told(tmp_path: Path, text: str, says: str) -> None:
    """The line of the conftest.py itself, where pytest says it."""
    folder = write_suite(
        tmp_path,
        {"test_a.py": "", "conftest.py": text, "helper_of_it.py": "raise ValueError('no')"},
    )
    with pytest.raises(SessionProblem, match=r"conftest\.py cannot be imported") as caught:
        SessionRunner(spec_of(folder)).start()
    assert caught.value.message.endswith(says.format(conftest=folder / "conftest.py"))


# -- collecting ----------------------------------------------------------------------------


def test_a_path_that_does_not_exist_and_an_empty_one(tmp_path: Path) -> None:
    """They end like pytest's: usage error 4, nothing collected 5."""
    folder = write_suite(tmp_path, {"empty/readme.txt": ""})
    told = Told()
    runner = SessionRunner(spec_of(folder, "nowhere"))
    try:
        assert runner.collect(told.messages.append)["exit"] == 4
    finally:
        runner.close()
    assert "nowhere" in told.all("collect-error")[0]["text"]
    runner = SessionRunner(spec_of(folder, "empty"))
    try:
        assert runner.collect(told.messages.append)["exit"] == 5
    finally:
        runner.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV while collecting test_b.py"),
        ("import os; os._exit(3)", r"os._exit\(3\) while collecting test_b.py"),
        ("import sys; sys.exit(3)", "sys.exit while collecting test_b.py"),
        ("import time; time.sleep(3600)", "nothing for 4 s while collecting test_b.py"),
    ],
)
def test_an_import_that_ends_the_collection_is_named(tmp_path: Path, line: str, words: str) -> None:
    """The file that crashed or hung stands in the message; what came before was streamed."""
    folder = write_suite(
        tmp_path, {"test_a.py": "def test_a(): pass", "test_b.py": line, "test_c.py": ""}
    )
    told = Told()
    # What crashes is not to be taken for what hangs, and what came before may take its time.
    patience = 4.0 if "sleep" in line else PATIENCE_SECONDS
    runner = SessionRunner(spec_of(folder, hang_timeout_seconds=patience))
    with pytest.raises(SessionProblem, match=words):
        runner.collect(told.messages.append)
    assert [item["id"] for item in told.all("item")] == ["test_a.py::test_a"]


def test_items_are_told_before_the_collection_ends(tmp_path: Path) -> None:
    """Running can start elsewhere while a slow file is still being imported."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": "def test_a(): pass",
            "test_b.py": """
                import os, time
                while not os.path.exists("go"): time.sleep(0.01)
            """,
        },
    )
    runner = SessionRunner(spec_of(folder))
    told = Told()

    def emit(message: dict[str, object]) -> None:
        told.messages.append(message)
        if message["k"] == "item":
            (folder / "go").touch()

    try:
        collected = runner.collect(emit)
    finally:
        runner.close()
    assert collected["ids"] == ["test_a.py::test_a"]


def test_a_collection_can_be_stopped(tmp_path: Path) -> None:
    """Stopping does not wait for the import that is under way."""
    folder = write_suite(tmp_path, {"test_a.py": "import time; time.sleep(3600)"})
    runner = SessionRunner(spec_of(folder))
    stop = threading.Event()
    stop.set()
    with pytest.raises(CollectionProblem, match="stopped"):
        runner.collect(Told().messages.append, stop)
    assert not runner.alive


def test_a_runner_that_has_collected_can_collect_again(ten: Path) -> None:
    """It takes a fresh session: no session collects a file twice."""
    runner = SessionRunner(spec_of(ten))
    try:
        first = collect(runner)
        pid = runner.hello["pid"]
        assert collect(runner) == first
        assert runner.hello["pid"] != pid
    finally:
        runner.close()


# -- orders --------------------------------------------------------------------------------


def test_the_budget_ends_a_batch_between_cases(tmp_path: Path) -> None:
    """A case that was begun is finished; the rest is left, and the session lives."""
    text = TEN.replace("pass", "time.sleep(3.2 if n == 1 else 0)")
    folder = write_suite(tmp_path, {"test_ten.py": text})
    runner = SessionRunner(spec_of(folder))
    told = Told()
    try:
        end = run_batch(runner, ten_cases(), told, budget=3.0)
        assert len(told.done) == 2
        assert end.left == tuple(case for case, _ in ten_cases()[2:])
        assert not end.runner_died
        run_batch(runner, ten_cases()[2:3], told, budget=0.0)
        assert len(told.done) == 3, "a batch does at least one case"
    finally:
        runner.close()


@pytest.mark.parametrize("isolate", [False, True])
def test_stop_ends_a_batch_after_the_current_case(tmp_path: Path, isolate: bool) -> None:
    """The running case comes to its own end."""
    # The second one lasts until the word has come, if that comes late.
    text = TEN.replace("pass", "time.sleep(6 if n == 1 else 0.3)")
    folder = write_suite(tmp_path, {"test_ten.py": text})
    runner = SessionRunner(spec_of(folder, isolate=isolate))
    told = Told()
    stop = threading.Event()
    stop.set()
    try:
        end = run_batch(runner, ten_cases(), told, stop=stop)
        assert {message["outcome"] for message in told.all("done")} == {"passed"}
        assert len(told.done) + len(end.left) == 10
        assert len(end.left) >= 8
        stop.clear()
        run_batch(runner, ten_cases()[-1:], told, stop=stop)
        assert "test_n[9]" in told.done
    finally:
        runner.close()


@pytest.mark.parametrize("isolate", [False, True])
def test_kill_ends_a_batch_at_once_and_blames_nobody(tmp_path: Path, isolate: bool) -> None:
    """The case that ran is among those left; the next batch gets a fresh session."""
    folder = write_suite(tmp_path, {"test_ten.py": TEN.replace("pass", "time.sleep(n * 3600)")})
    runner = SessionRunner(spec_of(folder, isolate=isolate))
    told = Told()
    kill = threading.Event()

    def emit_and_kill(message: dict[str, object]) -> None:
        told.messages.append(message)
        if message["k"] == "start" and "test_n[1]" in str(message["id"]):
            kill.set()

    try:
        order = Order(batch="b", work=tuple(Work(id=c, group=f) for c, f in ten_cases()))
        end = runner.run(order, emit_and_kill, threading.Event(), kill)
        assert end.left == tuple(case for case, _ in ten_cases()[1:])
        assert (end.runner_died, end.culprit, end.reason) == (True, None, "interrupted")
        assert list(told.done) == ["test_n[0]"]
        run_batch(runner, ten_cases(1), told)
    finally:
        runner.close()


def test_kill_from_another_thread(tmp_path: Path) -> None:
    """A worker that closes ends its runners, and their batches return."""
    folder = write_suite(tmp_path, {"test_ten.py": TEN.replace("pass", "time.sleep(3600)")})
    runner = SessionRunner(spec_of(folder))
    told = Told()

    def kill_when_started() -> None:
        wait_until(lambda: told.all("start"), what="the start of a case")
        runner.kill()

    thread = threading.Thread(target=kill_when_started)
    thread.start()
    end = run_batch(runner, ten_cases(), told)
    thread.join()
    assert (len(end.left), end.reason) == (10, "interrupted")
    assert told.all("done") == []


def test_a_listener_that_fails_ends_the_session(ten: Path) -> None:
    """What the caller raises reaches the caller, and nothing runs on unheard."""
    runner = SessionRunner(spec_of(ten))

    def emit(message: dict[str, object]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        runner.run(Order(batch="b", work=(Work(id="test_ten.py::test_n[0]"),)), emit)
    assert not runner.alive


def test_a_large_order_is_sent_while_the_session_reads(tmp_path: Path) -> None:
    """Orders beyond the size of a pipe arrive whole."""
    long = "x" * 200
    folder = write_suite(
        tmp_path,
        {
            "test_many.py": f"""
                import pytest
                @pytest.mark.parametrize("n", [f"{{n}}-{long}" for n in range(2000)])
                def test_n(n): pass
            """
        },
    )
    told = run_suite(folder)
    assert len(told.all("done")) == 2000
    assert len(told.ends) == 1


# -- ends ----------------------------------------------------------------------------------


def test_a_session_survives_the_thread_that_started_it(ten: Path) -> None:
    """The kernel's parent-death signal is bound to a thread, which must not be the caller's."""
    runner = SessionRunner(spec_of(ten))
    thread = threading.Thread(target=runner.start)
    thread.start()
    thread.join()
    told = Told()
    try:
        end = run_batch(runner, ten_cases(), told)
    finally:
        runner.close()
    assert len(told.done) == 10
    assert not end.runner_died


@pytest.mark.parametrize("isolate", [False, True])
def test_kill_9_of_the_parent_takes_the_session_along(tmp_path: Path, isolate: bool) -> None:
    """A worker that dies leaves no session behind, even one in the middle of a case."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import os, time
                def test_a():
                    open("pid", "w").write(str(os.getpid()))
                    os.rename("pid", "pid.done")
                    time.sleep(3600)
            """
        },
    )
    program = textwrap.dedent(
        f"""
        from proctor.infra.runners.runner import *
        spec = RunnerSpec(python={PYTHON!r}, directory={str(folder)!r}, isolate={isolate})
        runner = SessionRunner(spec)
        work = (Work(id="test_a.py::test_a", group="test_a.py"),)
        runner.run(Order(batch="b", work=work), print)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    try:
        wait_until((folder / "pid.done").exists, what="the case to run")
        session = int((folder / "pid.done").read_text())
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not psutil.pid_exists(session), what="the end of the session")


def test_closing_gives_everything_back(ten: Path) -> None:
    """No descriptor, process or file stays, however the session ended."""
    scratch = ten / "scratch"
    scratch.mkdir()

    # In a process of its own: threads of other tests open and close what they like in this one.
    program = textwrap.dedent(
        f"""
        import json, os
        from pathlib import Path
        import psutil
        from runner_suites import Told, run_batch, spec_of
        from proctor.infra.runners.runner import SessionRunner

        def life(end):
            runner = SessionRunner(spec_of(Path({str(ten)!r})), scratch=Path({str(scratch)!r}))
            told = Told()
            run_batch(runner, [("test_ten.py::test_n[0]", "test_ten.py")], told)
            assert told.outcomes == {{"test_n[0]": "passed"}}
            if end == "kill":
                runner.kill()
            runner.close(0 if end == "at once" else 5)

        life("warm up: the thread that spawns stays")
        before = sorted(os.listdir("/proc/self/fd"))
        for end in ("orderly", "kill", "at once"):
            life(end)
        after = sorted(os.listdir("/proc/self/fd"))
        print(json.dumps([before, after, [str(each) for each in psutil.Process().children()]]))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(runner_suites.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    before, after, children = json.loads(done.stdout)
    assert after == before
    assert list(scratch.iterdir()) == []
    assert children == []


def test_a_thread_left_behind_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """The interpreter waits for threads at its end; we wait no longer than the grace."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import threading, time
                def test_a():
                    threading.Thread(target=time.sleep, args=(3600,), name="lingers").start()
                    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
            """
        },
    )
    runner = SessionRunner(spec_of(folder))
    told = Told()
    run_batch(runner, [("test_a.py::test_a", "test_a.py")], told)
    began = time.monotonic()
    runner.close(0.5, told.messages.append)
    assert time.monotonic() - began < 60
    assert told.all("late") == []
    assert told.all("overstayed") == [{"k": "overstayed", "seconds": 0.5, "threads": ["lingers"]}]
