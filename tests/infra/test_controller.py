"""What a conftest.py does once for all workers is done once, by a session that runs no case."""

from __future__ import annotations

from pathlib import Path

import pytest
from runner_suites import Told, run_suite, spec_of, write_suite

from proctor.infra.engine.controller import (
    Controller,
    read_conftests,
    that_ask,
    that_give,
)
from proctor.infra.errors import BrokenConftest

# As many do it who come from pytest-xdist.
ONCE = """
import os
from pathlib import Path

import pytest

LOG = Path(__file__).with_name("log")

def say(config, *words):
    who = config.workerinput["workerid"] if hasattr(config, "workerinput") else "once"
    with LOG.open("a") as log:
        print(who, os.environ.get("PYTEST_XDIST_WORKER", "nobody"), *words, file=log)

def pytest_configure(config):
    say(config, "configure")

def pytest_sessionfinish(session, exitstatus):
    say(session.config, "finish", int(exitstatus), session.testsfailed, session.testscollected)
    if not hasattr(session.config, "workerinput"):
        session.exitstatus = 7

@pytest.fixture
def shared(tmp_path_factory):
    return tmp_path_factory.getbasetemp().parent
"""


def test_it_stands_by_as_what_is_no_worker(tmp_path: Path) -> None:
    """Its hooks run before and after all others, and hear how the cases went."""
    folder = write_suite(
        tmp_path, {"conftest.py": ONCE, "test_a.py": "def test_a(): assert 0\ndef test_b(): pass\n"}
    )
    told = Told()
    controller = Controller(spec_of(folder), scratch=tmp_path)
    try:
        controller.wait()
        run_suite(folder)
    finally:
        there = controller.close(told.messages.append, failed=1, ran=2)
    assert there
    lines = (folder / "log").read_text().splitlines()
    assert lines[0] == "once nobody configure"
    assert lines[-1] == "once nobody finish 1 1 2"
    assert {line.split()[0] for line in lines[1:-1]} == {"gw0"}
    (end,) = told.all("finished")
    assert (end["own"], end["code"]) == (1, 7)


def test_it_hears_that_the_campaign_was_cut_off(tmp_path: Path) -> None:
    """Whoever publishes something when all went well must not do so then."""
    folder = write_suite(tmp_path, {"conftest.py": ONCE})
    controller = Controller(spec_of(folder), scratch=tmp_path)
    try:
        controller.wait()
    finally:
        controller.close(Told().messages.append, failed=0, ran=5, interrupted=True)
    lines = (folder / "log").read_text().splitlines()
    assert lines == ["once nobody configure", "once nobody finish 2 0 5"]


def test_what_keeps_it_from_its_work_is_raised(tmp_path: Path) -> None:
    """As from any other session; and it may be closed nevertheless."""
    folder = write_suite(tmp_path, {"conftest.py": "import no_such_module"})
    controller = Controller(spec_of(folder), scratch=tmp_path)
    try:
        with pytest.raises(BrokenConftest, match="no_such_module"):
            controller.wait()
    finally:
        assert not controller.close(Told().messages.append, failed=0, ran=0)


def test_one_that_still_starts_is_given_up(tmp_path: Path) -> None:
    """Nobody waits for it when the campaign ends before it has begun."""
    folder = write_suite(tmp_path, {"conftest.py": "import time\ntime.sleep(3600)\n"})
    controller = Controller(spec_of(folder), scratch=tmp_path)
    assert not controller.close(Told().messages.append, failed=0, ran=0)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("if not hasattr(config, 'workerinput'): ...", True),
        ("os.environ.get('PYTEST_XDIST_WORKER')", True),
        ("xdist.is_xdist_worker(request)", True),
        ("def database(worker_id): ...", False),
    ],
)
def test_who_asks_is_known_by_its_words(tmp_path: Path, text: str, asks: bool) -> None:
    """Suites that do not are given no further process."""
    (tmp_path / "conftest.py").write_text(text)
    assert that_ask(read_conftests(tmp_path, [])) == ([tmp_path / "conftest.py"] if asks else [])


def test_the_conftests_that_pytest_loads_first_are_looked_at(tmp_path: Path) -> None:
    """Those at the root, of the tests below it, and of the folders named and above them."""
    (tmp_path / "sub" / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "tests").mkdir(parents=True)
    for folder in ("", "tests", "src/tests", "sub", "sub/deep/deeper"):
        (tmp_path / folder / "conftest.py").write_text("workerinput")
    at = [path.parent.relative_to(tmp_path) for path in that_ask(read_conftests(tmp_path, ["-x"]))]
    assert at == [Path(), Path("tests"), Path("src/tests")]
    (tmp_path / "sub" / "deep" / "deeper" / "test_a.py").touch()
    named = ["sub/deep/deeper/test_a.py::test_b", "no/such/path"]
    at = [path.parent.relative_to(tmp_path) for path in that_ask(read_conftests(tmp_path, named))]
    assert Path("sub/deep/deeper") in at
    assert Path("sub") in at
    assert len(at) == len(set(at))


def test_what_a_conftest_loads_is_looked_at_too(tmp_path: Path) -> None:
    """Modules of the project: those of packages do what they do for pytest-xdist."""
    (tmp_path / "conftest.py").write_text(
        'pytest_plugins = [\n    "helpers.database",\n    "pytester",\n]\nNAME = "other"\n'
    )
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "database.py").write_text("workerinput")
    (tmp_path / "other.py").write_text("workerinput")
    assert that_ask(read_conftests(tmp_path, [])) == [tmp_path / "helpers" / "database.py"]


def test_who_hands_data_to_workers_is_known(tmp_path: Path) -> None:
    """A hook that nobody calls here."""
    (tmp_path / "conftest.py").write_text("def pytest_configure_node(node):\n    ...\n")
    assert that_give(read_conftests(tmp_path, [])) == [tmp_path / "conftest.py"]
    assert that_ask(read_conftests(tmp_path, [])) == []
