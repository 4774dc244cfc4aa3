"""Poisonous cases cost exactly themselves: each culprit has its type, no innocent is marked."""

from __future__ import annotations

import json
from pathlib import Path

from real_campaigns import document, type_in, write_project

# Those that never end by themselves have a limit of their own: for all others there is time.
HANGS = "[[tool.proctor.requirements]]\nmatch = '{case}'\ntimeout = '3s'\n"
# Kind: the judgement it must get, and its body.
POISONS = {
    "segfault": ("crashed", "ctypes.string_at(0)"),
    "exit_zero": ("crashed", "os._exit(0)"),
    "killed": ("crashed", "os.kill(os.getpid(), signal.SIGKILL)"),
    "memory": (
        "out-of-memory",
        "hoard = []\n    while len(hoard) < 3000:\n        hoard.append(bytearray(b'x' * 1000000))",
    ),
    "fork_and_hang": (
        "timed-out",
        "child = os.fork()\n    if child == 0:\n        time.sleep(600)\n    os.waitpid(child, 0)",
    ),
    "deadlock": ("timed-out", "lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()"),
    "loud": ("passed", "for _ in range(100):\n        print('x' * 1000000)"),
    "wanders": ("passed", "os.chdir('/')"),
    "sys_exit": ("failed", "sys.exit(3)"),
}
INNOCENTS_BEFORE_EACH = 5
HEAD = "import ctypes, os, signal, sys, threading, time\n\nHERE = os.getcwd()\n"


def test_each_poison_costs_exactly_itself(tmp_path: Path) -> None:
    """Sixty cases with one poison of each kind among them, over two files and two slots."""
    files: dict[str, str] = {}
    expected: dict[str, str] = {}
    for place, (kind, (judgement, body)) in enumerate(POISONS.items()):
        name = f"test_part_{place % 2}.py"
        text = files.setdefault(name, HEAD)
        for number in range(INNOCENTS_BEFORE_EACH):
            case = f"test_{place}_{number}_innocent"
            text += f"\ndef {case}():\n    assert os.getcwd() == HERE\n"
            expected[f"{name}::{case}"] = "passed"
        text += f"\ndef test_{place}_{kind}():\n    {body}\n"
        expected[f"{name}::test_{place}_{kind}"] = judgement
        files[name] = text
    limits = [HANGS.format(case=case) for case, told in expected.items() if told == "timed-out"]
    files["pyproject.toml"] = "\n".join(["[project]\nname = 'orchard'\n", *limits])
    project = write_project(tmp_path / "p", files)
    state = str(tmp_path / "state")
    done = type_in(
        *("run", "--state", state, "--prefect", "off", "-n", "2", "--json"),
        *("--timeout", "60", "--memory-limit", "400MB"),
        cwd=project,
    )
    assert done.returncode == 1, done.stderr
    assert document(done)["problems"] == []
    shown = type_in("show", "--json", "--state", state, cwd=project)
    verdicts = json.loads(shown.stdout)["verdicts"]
    assert {each["case"]: each["judgement"] for each in verdicts} == expected
    culprits = [each for each in verdicts if each["judgement"] in ("crashed", "timed-out")]
    assert all(each["message"] for each in culprits)
    logs = type_in("logs", "deadlock", "--state", state, cwd=project)
    assert "in test_5_deadlock" in logs.stdout


def test_pytest_exit_ends_one_case(tmp_path: Path) -> None:
    """`pytest.exit` stops plain pytest; here it is told of the case that called it."""
    project = write_project(
        tmp_path / "p",
        {
            "test_exit.py": """\
            import pytest

            def test_before(): ...

            def test_leaves():
                pytest.exit("enough")

            def test_after(): ...
            """
        },
    )
    state = str(tmp_path / "state")
    done = type_in("run", "--state", state, "--prefect", "off", "-n", "1", "--json", cwd=project)
    assert "Traceback" not in done.stderr
    assert done.returncode in (1, 2), done.stderr
    shown = type_in("show", "--json", "--state", state, cwd=project)
    told = {
        each["case"].partition("::")[2]: each["judgement"]
        for each in json.loads(shown.stdout)["verdicts"]
    }
    assert told["test_before"] == told["test_after"] == "passed"
    assert told["test_leaves"] not in ("passed", "not-run", "infra-lost")
