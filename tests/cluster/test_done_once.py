"""What a conftest.py does once for all workers of pytest-xdist is done once for a campaign."""

from __future__ import annotations

from pathlib import Path

from real_campaigns import run, write_project

CONFTEST = """\
from pathlib import Path

DATABASE = Path(__file__).with_name("database")

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        with DATABASE.open("x") as database:
            database.write("up")

def pytest_sessionfinish(session, exitstatus):
    if not hasattr(session.config, "workerinput"):
        told = f"{int(exitstatus)} {session.testsfailed} of {session.testscollected}"
        Path(__file__).with_name("told").write_text(told)
        session.exitstatus = 40 + exitstatus

def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        DATABASE.unlink()
"""
SUITE = """\
import pytest
from conftest import DATABASE

@pytest.mark.parametrize("n", range(4))
def test_it_is_up(n):
    assert DATABASE.read_text() == "up"

def test_fails():
    assert 0
"""


def test_it_is_done_before_all_cases_and_undone_after(
    tmp_path: Path, state: Path, fleet: str
) -> None:
    """By nobody else; it hears how the campaign went, and may make another exit code of that."""
    files = {"conftest.py": CONFTEST, "test_a.py": SUITE, "test_b.py": SUITE}
    project = write_project(tmp_path / "p", files)
    conducted = run(project, state, fleet=fleet)
    assert conducted.counts == {"passed": 8, "failed": 2}
    assert (project / "told").read_text() == "1 2 of 10"
    assert not (project / "database").exists()
    assert conducted.exit_code == 41
    assert conducted.record is not None
    assert conducted.record.close is not None
    assert "made exit code 41 of 1" in conducted.record.close.reason
    notes = [note.text for note in conducted.record.notes]
    assert [text for text in notes if "conftest.py asks for pytest-xdist's workers" in text]
    assert [text for text in notes if "made exit code 41 of 1" in text]
