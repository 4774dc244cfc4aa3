"""A question is answered with what is in the journals now, or says what lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from campaign_journals import JournalWriter
from waiting import wait_until

from proctor.monitoring import freshness
from proctor.monitoring.freshness import freshen, lag_of
from proctor.monitoring.ingest import ingest
from proctor.monitoring.queries import run_sql
from proctor.monitoring.store import Store

BEGAN = 1_700_000_000.0
COUNT = "SELECT count(*) FROM results"
# Holds a store open as another program does, until its standard input ends.
HOLDER = """\
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """One campaign that the store knows, and one that it does not."""
    made = tmp_path / "state"
    JournalWriter(made / "campaigns" / "c1", began=BEGAN, total=4).finish()
    ingest(Store(made))
    JournalWriter(made / "campaigns" / "c2", began=BEGAN, total=3).finish()
    return made


def answer(state: Path) -> int:
    return run_sql(Store(state), COUNT).rows[0][0]


def test_what_is_new_is_taken_in_before_the_answer(state: Path) -> None:
    """Nobody has to know of `store ingest`."""
    assert answer(state) == 4
    assert freshen(state) == ""
    assert answer(state) == 7
    assert lag_of(state, "it was in use").text == ""


def test_no_store_is_made_for_a_question(tmp_path: Path) -> None:
    """All journals of years would be taken in first."""
    JournalWriter(tmp_path / "campaigns" / "c1", began=BEGAN, total=4).finish()
    assert freshen(tmp_path) == ""
    assert not Store(tmp_path).exists


def test_more_than_a_moment_allows_is_said(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how much it is and what takes it in."""
    monkeypatch.setattr(freshness, "LINES_AT_ONCE", 5)
    for number in range(3, 6):
        JournalWriter(state / "campaigns" / f"c{number}", began=BEGAN, total=4).finish()
    why = freshen(state, seconds=-1.0, flags=" --state here")
    assert "`proctor store ingest --state here`" in why
    lag = lag_of(state, why)
    assert lag.bytes > 0
    assert lag.lines > 0
    assert lag.text == f"{lag.lines} lines of the journals are newer than the answer: {why}"


def test_a_store_that_another_program_reads_answers_with_a_word_of_its_age(state: Path) -> None:
    """Nobody waits for it to be closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(Store(state).path), "reading"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        why = freshen(state)
        assert "another program had the store open" in why
        assert answer(state) == 4
        lag = lag_of(state, why)
        assert f"{lag.lines} lines of the journals are newer" in lag.text
        holder.communicate("", timeout=60)
    wait_until(lambda: freshen(state) == "", what="the store is taken in when nobody has it")
    assert answer(state) == 7
