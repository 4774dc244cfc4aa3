"""The part of the runner in the user's interpreter: what it may use, and what a suite sees of it."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from runner_suites import Told, collect, run_batch, spec_of, write_suite

from proctor.infra.runners.runner import SESSION, SessionRunner
from proctor.infra.runners.spec import ended
from proctor.infra.session.meter import Meter, Usage
from proctor.infra.session.record import Record
from proctor.infra.session.wire import quoted

FOLDER = SESSION.parent
MODULES = sorted(FOLDER.glob("*.py"))
USAGE = Usage(began=100.25, ended=100.75, cpu=0.5, peak=4096, read=512, written=1024)


@pytest.mark.parametrize("path", MODULES, ids=[path.stem for path in MODULES])
def test_foreign_interpreters_can_import_it(path: Path) -> None:
    """Syntax of Python 3.9; the standard library, pytest, and neighbours in this folder."""
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1
            names = set()
        elif isinstance(node, ast.ImportFrom):
            names = {str(node.module).partition(".")[0]}
        else:
            continue
        theirs = {"pytest", "_pytest", "pytest_rerunfailures"}
        assert names <= sys.stdlib_module_names | theirs, f"{path.name}: {names}"


def test_a_suite_sees_one_private_name(tmp_path: Path) -> None:
    """Its own modules are found, whatever ours are called; processes it spawns are unencumbered."""
    suite = write_suite(
        tmp_path,
        {
            "wire.py": "MINE = True\n",
            "record.py": "MINE = True\n",
            "work.py": """
                import sys

                def loaded(queue):
                    queue.put([name for name in sys.modules if "pytest" in name])
            """,
            "test_names.py": """
                import multiprocessing
                import os
                import sys

                import record
                import wire
                import work

                def test_names():
                    assert wire.MINE and record.MINE
                    ours = os.path.dirname(sys.modules["__main__"].__file__)
                    assert ours not in sys.path
                    found = {
                        name.partition(".")[0]
                        for name, module in list(sys.modules.items())
                        if (getattr(module, "__file__", None) or "").startswith(ours)
                    }
                    # multiprocessing calls the program so as well.
                    assert found == {"__main__", "__mp_main__", "_proctor_session"}

                def test_spawned_process():
                    context = multiprocessing.get_context("spawn")
                    queue = context.Queue()
                    process = context.Process(target=work.loaded, args=(queue,))
                    process.start()
                    assert queue.get(timeout=60) == []
                    process.join(60)
                    assert process.exitcode == 0
            """,
        },
    )
    told = Told()
    runner = SessionRunner(spec_of(suite))
    try:
        run_batch(runner, collect(runner, told), told)
    finally:
        runner.close()
    assert told.outcomes == {"test_names": "passed", "test_spawned_process": "passed"}, told.done


def test_the_line_of_a_plain_case() -> None:
    """It says as much as the record that the worker makes of a case that cannot speak."""
    record = Record(quoted("test_é.py::test"), 1000)
    for when in ("setup", "call", "teardown"):
        record.add(report(when))
    told = json.loads(record.finished(USAGE))
    expected = ended(
        "test_é.py::test", outcome="passed", started=100.25, finished=100.75, message=""
    )
    assert told == {
        **expected,
        "cpu": 0.5,
        "peak": 4096,
        "read": 512,
        "write": 1024,
        **dict.fromkeys(("setup", "call", "teardown"), 0.25),
    }


def test_the_line_of_a_case_with_everything() -> None:
    """Quotes, odd characters, properties of any kind and output arrive as they were."""
    record = Record(quoted('test.py::test["\\]'), 1000)
    failed = report(
        "call",
        outcome="failed",
        longreprtext='E  "no"\nat \x00 ☃',
        longrepr=SimpleNamespace(reprcrash=SimpleNamespace(message='"no"')),
        sections=[("Captured stdout call", "out\n"), ("Captured log setup", "")],
        user_properties=[("size", 3), ("shape", (1, 2)), ("nan", float("inf"))],
        duration=float("nan"),
    )
    record.add(report("setup"))
    record.add(failed)
    told = json.loads(record.finished(USAGE, [["stderr", "stray"]]))
    assert told["id"] == 'test.py::test["\\]'
    assert (told["outcome"], told["message"]) == ("failed", '"no"')
    assert told["text"] == [
        ["traceback", 'E  "no"\nat \x00 ☃'],
        ["stdout", "out\n"],
        ["stderr", "stray"],
    ]
    # JSON has no word for it: whoever reads it is to see that there was one.
    assert told["props"] == [["size", 3], ["shape", "(1, 2)"], ["nan", "inf"]]
    assert told["call"] == 0.0


@pytest.mark.parametrize(
    ("duration", "told"),
    [(0.25, 0.25), (None, 0.0), ("a while", 0.0), (-1.0, 0.0), (10**400, 0.0), (True, 1.0)],
)
def test_a_duration_that_a_plugin_spoiled_costs_no_case(duration: object, told: float) -> None:
    """Of an exception here the case would be lost, and its session with it."""
    record = Record(quoted("test.py::test"), 1000)
    record.add(report("call", duration=duration))
    line = json.loads(record.finished(USAGE))
    assert (line["outcome"], line["call"]) == ("passed", told)


def test_transfers_are_what_the_kernel_says(tmp_path: Path) -> None:
    """The cheap counters and /proc/self/io agree on what went to the disk.

    Other threads of this process may read and write at any time: looked at from both sides.
    """
    meter = Meter()
    before = transfers()
    meter.begin()
    inside = transfers()
    with (tmp_path / "data").open("wb") as file:
        file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    done = transfers()
    usage = meter.end()
    after = transfers()
    for place, told in enumerate((usage.read, usage.written)):
        assert done[place] - inside[place] <= told <= after[place] - before[place]


def transfers() -> tuple[int, int]:
    lines = Path("/proc/self/io").read_text().splitlines()
    told = dict(line.split(": ") for line in lines)
    return int(told["read_bytes"]), int(told["write_bytes"])


def report(when: str, **more: object) -> SimpleNamespace:
    """What pytest reports of one phase of a case."""
    told: dict[str, object] = {
        "when": when,
        "outcome": "passed",
        "failed": more.get("outcome") == "failed",
        "skipped": False,
        "duration": 0.25,
        "sections": [],
        "user_properties": [],
    }
    return SimpleNamespace(**{**told, **more})
