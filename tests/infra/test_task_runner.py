"""Commands and callables run one process each and end with a typed outcome."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
from runner_suites import Told
from waiting import wait_until

from proctor.infra.errors import InterpreterProblem
from proctor.infra.records import CaseKind, TaskSpec
from proctor.infra.runners.runner import BatchEnd, Order, RunnerSpec, TaskRunner, Work
from proctor.infra.runners.usage import FakeGpu, GpuSample


def command(name: str, *words: str, timeout: float = 60.0, **settings: object) -> Work:
    memory = settings.pop("memory", None)
    return Work(
        id=f"::{name}",
        kind=CaseKind.COMMAND,
        timeout_seconds=timeout,
        memory_limit_bytes=memory,  # type: ignore[arg-type]
        task=TaskSpec(command=words, **settings),  # type: ignore[arg-type]
    )


def shell(name: str, script: str, **settings: object) -> Work:
    return command(name, "sh", "-c", textwrap.dedent(script), **settings)  # type: ignore[arg-type]


def callable_case(name: str, target: str, timeout: float = 60.0, **arguments: object) -> Work:
    return Work(
        id=f"::{name}",
        kind=CaseKind.CALLABLE,
        timeout_seconds=timeout,
        task=TaskSpec(callable=target, arguments=arguments),
    )


def perform(folder: Path, *work: Work, **settings: object) -> tuple[Told, BatchEnd]:
    order = {key: settings.pop(key) for key in ("budget_seconds",) if key in settings}
    events = {key: settings.pop(key) for key in ("stop", "kill") if key in settings}
    gpu = settings.pop("gpu", None)
    told = Told()
    spec = RunnerSpec(python=sys.executable, directory=str(folder), **settings)  # type: ignore[arg-type]
    runner = TaskRunner(spec, gpu=gpu)  # type: ignore[arg-type]
    end = runner.run(Order(batch="b", work=work, **order), told.messages.append, **events)  # type: ignore[arg-type]
    return told, end


def test_commands_end_as_their_exit_codes_say(tmp_path: Path) -> None:
    """Zero passes, other codes fail, signals crash, what cannot start is an error."""
    told, end = perform(
        tmp_path,
        shell("good", "echo out; echo err >&2"),
        shell("bad", "echo first; echo the reason >&2; exit 3"),
        shell("killed", "kill -9 $$"),
        shell("kills_its_group", "kill 0; sleep 60"),
        command("nowhere", "/no/such/program"),
        command("no_directory", "true", working_directory="no/such/folder"),
        shell("last", "true"),
    )
    assert end == BatchEnd()
    assert told.outcomes == {
        "good": "passed",
        "bad": "failed",
        "killed": "crashed",
        "kills_its_group": "crashed",
        "nowhere": "error",
        "no_directory": "error",
        "last": "passed",
    }
    assert told.text("good", "stdout") == "out\n"
    assert told.text("good", "stderr") == "err\n"
    assert told.done["bad"]["message"] == "exit code 3: the reason"
    assert told.done["killed"]["message"] == "killed by SIGKILL"
    assert "/no/such/program" in told.done["nowhere"]["message"]
    assert "no/such/folder" in told.done["no_directory"]["message"]


def test_commands_have_their_own_surroundings(tmp_path: Path) -> None:
    """Directory and environment are those of the task; input is empty, signals are default."""
    (tmp_path / "sub").mkdir()
    told, _ = perform(
        tmp_path,
        shell(
            "where",
            "basename $(pwd); echo $MINE $OURS; cat; ls /proc/self/fd | wc -l",
            working_directory="sub",
            environment={"MINE": "1"},
        ),
        # With SIGPIPE ignored, `yes` would complain.
        shell("pipe", "yes | head -1"),
        environment={"OURS": "2", "MINE": "0"},
    )
    assert told.text("where", "stdout").split() == ["sub", "1", "2", "4"]
    assert told.done["pipe"]["text"] == [["stdout", "y\n"]]


def test_usage_of_a_command_is_its_own(tmp_path: Path) -> None:
    """CPU and peak memory are those of the command and what it waited for, not the worker's."""
    burn = "import time; e = time.process_time() + .2\nwhile time.process_time() < e: pass"
    eat = "b = bytearray(200_000_000)"
    told, _ = perform(
        tmp_path,
        shell("small", "true"),
        command("burns", sys.executable, "-c", burn),
        shell("child", f"{sys.executable} -c '{eat}'"),
    )
    assert told.done["burns"]["cpu"] >= 0.2
    assert told.done["small"]["peak"] < 30_000_000
    assert told.done["child"]["peak"] > 200_000_000


def test_a_command_that_takes_too_long(tmp_path: Path) -> None:
    """It ends with all it started, whatever signals it ignores and sessions it opens."""
    told, _ = perform(
        tmp_path,
        shell(
            "slow",
            """
            trap '' TERM HUP INT
            echo begun
            setsid sh -c 'echo $$ > pid; mv pid daemon; exec sleep 3600' &
            while true; do sleep 1; done
            """,
            timeout=4.0,
        ),
        shell("after", "true"),
    )
    assert told.outcomes == {"slow": "timed-out", "after": "passed"}
    assert told.text("slow", "stdout") == "begun\n"
    daemon = int((tmp_path / "daemon").read_text())
    wait_until(lambda: not psutil.pid_exists(daemon), what="the end of the daemon")


def test_what_a_command_leaves_running_ends_with_it(tmp_path: Path) -> None:
    """A background process neither delays the result nor survives it."""
    told, _ = perform(tmp_path, shell("forks", "sleep 3600 & echo $! > pid"))
    assert told.outcomes == {"forks": "passed"}
    left = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(left), what="the end of the background process")


def test_memory_over_the_limit(tmp_path: Path) -> None:
    """The whole tree of a command counts."""
    eat = "import time; b = bytearray(300_000_000); time.sleep(3600)"
    told, _ = perform(tmp_path, shell("eats", f"{sys.executable} -c '{eat}'", memory=200_000_000))
    assert told.outcomes == {"eats": "out-of-memory"}


def test_long_output_is_cut(tmp_path: Path) -> None:
    """Head and tail stay."""
    told, _ = perform(
        tmp_path,
        shell("prints", "echo head; yes | head -1000000; echo tail"),
        output_limit_bytes=1000,
    )
    text = told.text("prints", "stdout")
    assert text.startswith("head\n")
    assert text.endswith("tail\n")
    assert "bytes left out" in text
    assert len(text) < 1100


CALLABLES = """
    import asyncio, ctypes, os, sys, time
    def add(a, b=1): return a + b
    def nothing(): print("said")
    def fails(): raise ValueError("the reason")
    def odd(): return {1: object()}
    def crashes(): ctypes.string_at(0)
    def exits(): sys.exit(3)
    def leaves(): os._exit(0)
    def hangs(): time.sleep(3600)
    async def later(): await asyncio.sleep(0); return "done"
    class Suite:
        @staticmethod
        def inner(): return 5
"""


def test_callables_end_as_functions_do(tmp_path: Path) -> None:
    """Results and exceptions come back; a crash costs only its own case."""
    (tmp_path / "tasks.py").write_text(textwrap.dedent(CALLABLES))
    names = ("nothing", "fails", "odd", "crashes", "exits", "leaves", "later")
    told, _ = perform(
        tmp_path,
        callable_case("add", "tasks:add", a=2, b=3),
        *(callable_case(name, f"tasks:{name}") for name in names),
        callable_case("inner", "tasks:Suite.inner"),
        # Long enough to come to where it hangs, on a slow machine too.
        callable_case("hangs", "tasks:hangs", timeout=8.0),
        callable_case("no_module", "no_such_module:f"),
        callable_case("no_function", "tasks:no_such"),
    )
    assert told.outcomes == {
        "add": "passed",
        "nothing": "passed",
        "fails": "failed",
        "odd": "passed",
        "crashes": "crashed",
        "exits": "failed",
        "leaves": "passed",
        "later": "passed",
        "inner": "passed",
        "hangs": "timed-out",
        "no_module": "failed",
        "no_function": "failed",
    }
    assert told.done["add"]["props"] == [["result", 5]]
    assert told.done["later"]["props"] == [["result", "done"]]
    assert told.text("nothing", "stdout") == "said\n"
    assert told.done["fails"]["message"] == "ValueError: the reason"
    assert "tasks.py" in told.text("fails", "traceback")
    assert "call_task.py" not in told.text("fails", "traceback")
    assert "SIGSEGV" in told.done["crashes"]["message"]
    assert "in crashes" in told.text("crashes", "stderr")
    assert "in hangs" in told.text("hangs", "stacks")


def test_where_a_module_was_looked_for_is_told(tmp_path: Path) -> None:
    """Of the callable's own, and not of what that imports."""
    (tmp_path / "lacking.py").write_text("import no_such_module\n")
    told, _ = perform(
        tmp_path,
        callable_case("no_module", "no_such_module:f"),
        callable_case("no_package", "no_such.module:f"),
        callable_case("lacking", "lacking:f"),
    )
    where = f" (looked for from {tmp_path}; tasks start where `proctor run` does, or in their cwd)"
    assert told.done["no_module"]["message"] == (
        f"ModuleNotFoundError: No module named 'no_such_module'{where}"
    )
    assert told.done["no_package"]["message"].endswith(f"'no_such'{where}")
    assert told.done["lacking"]["message"].endswith("No module named 'no_such_module'")


RESULTS = """
    import atexit, threading
    class Unspeakable:
        def __repr__(self): raise RuntimeError
    def keyed(): return {(1, 2): 3}
    def circle():
        found = []
        found.append(found)
        return found
    def unspeakable(): return Unspeakable()
    def huge(): return 2 ** 70
    def endless(): return float("nan")
    def long(): return "x" * 5000
    def works_on():
        def work():
            threading.main_thread().join()
            print("thread")
        threading.Thread(target=work).start()
        atexit.register(print, "handler")
        globals()["file"] = open("left_open.txt", "w")
        file.write("written")
"""


def test_what_a_callable_returns_does_not_fail_it(tmp_path: Path) -> None:
    """JSON has no word for some of it, and other libraries none for some of JSON."""
    (tmp_path / "tasks.py").write_text(textwrap.dedent(RESULTS))
    names = ("keyed", "circle", "unspeakable", "huge", "endless", "long")
    told, _ = perform(
        tmp_path,
        *(callable_case(name, f"tasks:{name}") for name in names),
        output_limit_bytes=2000,
    )
    assert set(told.outcomes.values()) == {"passed"}
    results = {name: told.done[name]["props"][0][1] for name in names}
    assert results == {
        "keyed": "{(1, 2): 3}",
        "circle": "[[...]]",
        "unspeakable": "<Unspeakable>",
        "huge": str(2**70),
        "endless": "nan",
        "long": "x" * 1000,
    }
    assert "bytes left out" in told.text("long", "result")


def test_a_callable_ends_as_a_program_does(tmp_path: Path) -> None:
    """Its threads are waited for, its exit handlers run, its files are written."""
    (tmp_path / "tasks.py").write_text(textwrap.dedent(RESULTS))
    told, _ = perform(tmp_path, callable_case("works_on", "tasks:works_on"))
    assert told.outcomes == {"works_on": "passed"}
    assert told.text("works_on", "stdout") == "thread\nhandler\n"
    assert (tmp_path / "left_open.txt").read_text() == "written"


def test_surroundings_that_no_process_can_have_are_the_tasks_own_error(tmp_path: Path) -> None:
    """A zero character in a variable, or more arguments than the kernel takes."""
    told, end = perform(
        tmp_path,
        command("zero", "true", environment={"A": "x\0y"}),
        command("large", "true", "x" * 300_000),
        command("fine", "true"),
    )
    assert told.outcomes == {"zero": "error", "large": "error", "fine": "passed"}
    assert "could not be started" in told.done["large"]["message"]
    assert end.left == ()


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    """A callable needs the user's interpreter: without it nothing can be said of the case."""
    with pytest.raises(InterpreterProblem, match="/no/such/python"):
        TaskRunner(RunnerSpec(python="/no/such/python", directory=str(tmp_path))).run(
            Order(batch="b", work=(callable_case("x", "tasks:x"),)), Told().messages.append
        )


def test_stop_and_budget_leave_the_rest(tmp_path: Path) -> None:
    """No further task is begun; a killed one is left too."""
    work = [shell(name, "sleep 0.1") for name in "abc"]
    stop = threading.Event()
    stop.set()
    told, end = perform(tmp_path, *work, stop=stop)
    assert (end.left, told.messages) == (("::a", "::b", "::c"), [])
    told, end = perform(tmp_path, *work, budget_seconds=0.05)
    assert (end.left, list(told.done)) == (("::b", "::c"), ["a"])
    told = Told()
    kill = threading.Event()

    def emit(message: dict[str, object]) -> None:
        told.messages.append(message)
        kill.set()

    runner = TaskRunner(RunnerSpec(python=sys.executable, directory=str(tmp_path)))
    end = runner.run(Order(batch="b", work=(shell("a", "sleep 60"), *work)), emit, None, kill)
    assert (len(end.left), end.reason, end.culprit) == (4, "interrupted", None)


def test_gpu_use_is_sampled(tmp_path: Path) -> None:
    """What the probe sees of the task's processes is in its record."""

    class Telling(FakeGpu):
        """Lets the task end once it was asked twice."""

        def sample(self, pids: Iterable[int]) -> GpuSample | None:
            told = super().sample(pids)
            if len(self.asked) > 1:
                (tmp_path / "asked").touch()
            return told

    gpu = Telling(
        [GpuSample(utilisation=50.0, memory_bytes=7), GpuSample(utilisation=0.0, memory_bytes=9)]
    )
    told, _ = perform(tmp_path, shell("a", "until [ -e asked ]; do sleep 0.05; done"), gpu=gpu)
    assert told.done["a"]["gpu_memory"] == 9
    assert 0 < told.done["a"]["gpu"] <= 50
    assert len(gpu.asked[0]) >= 1


def test_kill_9_of_the_worker_takes_the_command_along(tmp_path: Path) -> None:
    """Not even a pipeline in the background survives its worker."""
    program = textwrap.dedent(
        f"""
        from proctor.infra.records import *
        from proctor.infra.runners.runner import *
        script = "(sleep 3600; true) & echo $! > pid; mv pid pid.done; sleep 3600"
        task = TaskSpec(command=("sh", "-c", script))
        work = (Work(id="x", kind=CaseKind.COMMAND, task=task),)
        runner = TaskRunner(RunnerSpec(python="python", directory={str(tmp_path)!r}))
        runner.run(Order(batch="b", work=work), print)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    try:
        wait_until((tmp_path / "pid.done").exists, what="the command to run")
        inner = int((tmp_path / "pid.done").read_text())
        tree = psutil.Process(parent.pid).children(recursive=True)
    finally:
        parent.kill()
        parent.wait()
    assert inner in {process.pid for process in tree}
    wait_until(
        lambda: not any(process.is_running() for process in tree), what="the end of the tree"
    )
