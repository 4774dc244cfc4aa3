"""A question is answered with what is in the journals now, or says what lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from campaign_journals import JournalWriter
from ingest_parts import append, campaign
from ledger_parts import attempt, case, freeze, open_ledger
from waiting import wait_until

from proctor.deployments.cli import main
from proctor.infra.ledgers.epochs import ledger_path
from proctor.monitoring import freshness
from proctor.monitoring.freshness import freshen, lag_of
from proctor.monitoring.ingest import Ingest, ingest
from proctor.monitoring.ingest_write import Writer
from proctor.monitoring.queries import run_sql
from proctor.monitoring.store import Store

BEGAN = 1_700_000_000.0
# Enough on any machine.
LONG = 60.0
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
    assert freshen(state, seconds=LONG) == ""
    assert answer(state) == 7
    assert lag_of(state, "it was in use").text == ""


def test_no_store_is_made_for_a_question(tmp_path: Path) -> None:
    """All journals of years would be taken in first."""
    JournalWriter(tmp_path / "campaigns" / "c1", began=BEGAN, total=4).finish()
    assert freshen(tmp_path) == ""
    assert not Store(tmp_path).exists


def test_the_first_question_of_all_may_wait_for_the_store(tmp_path: Path) -> None:
    """Whoever asks for that gets all there is, or what the time is enough for and a word of it."""
    assert freshen(tmp_path, first_seconds=LONG) == ""
    assert not Store(tmp_path).exists
    JournalWriter(tmp_path / "campaigns" / "c1", began=BEGAN, total=4).finish()
    assert freshen(tmp_path, seconds=-1.0, first_seconds=LONG) == ""
    assert answer(tmp_path) == 4


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
    wait_until(
        lambda: freshen(state, seconds=LONG) == "", what="the store is taken in when nobody has it"
    )
    assert answer(state) == 7


@pytest.mark.parametrize(
    "failure", [OverflowError, duckdb.ConversionException, PermissionError, RuntimeError]
)
def test_a_question_is_answered_whatever_taking_in_fails_with(
    state: Path,
    failure: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From what is there, with one line of what lacks and why."""

    def fail(*_: object, **__: object) -> bool:
        raise failure("out of range\n\nLINE 1: INSERT")

    monkeypatch.setattr(Ingest, "run", fail)
    assert main(["sql", COUNT, "--json", "--state", str(state)]) == 0
    told = capsys.readouterr()
    assert list(json.loads(told.out)[0].values()) == [4]
    (line,) = told.err.splitlines()
    assert "of the journals are newer than the answer" in line
    assert f"taking it in failed ({failure.__name__}: out of range LINE 1: INSERT)" in line


def test_an_answer_outlives_that_nobody_can_say_how_old_it_is(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store was readable when it was asked, and is not any more."""

    def fail(_: object) -> None:
        raise duckdb.IOException("gone")

    for module in ("ingest", "freshness"):
        monkeypatch.setattr(f"proctor.monitoring.{module}.knowledge_of", fail)
    assert main(["sql", COUNT, "--json", "--state", str(state)]) == 0
    told = capsys.readouterr()
    assert list(json.loads(told.out)[0].values()) == [4]
    (line,) = told.err.splitlines()
    assert "the journals may say more than the answer" in line


def test_a_journal_that_cannot_be_read_is_told_and_the_rest_taken_in(state: Path) -> None:
    """A campaign's, or another recorder's."""
    ledger_path(state / "campaigns" / "odd", 1).mkdir(parents=True)
    loop = state / "recorders" / "loop.jsonl"
    loop.parent.mkdir()
    loop.symlink_to(loop)
    why = freshen(state, seconds=LONG)
    odd = ledger_path(state / "campaigns" / "odd", 1)
    assert why == f"{odd} cannot be read: Is a directory, and 1 more"
    assert answer(state) == 7
    lag = lag_of(state, why)
    assert lag.bytes > 0
    assert lag.lines == 0
    assert lag.text.endswith(f"of the journals are newer than the answer: {why}")


def test_what_does_not_count_is_not_newer(state: Path) -> None:
    """Bytes that a later writer did not accept, and half a line."""
    store = Store(state)
    first = open_ledger(campaign(store, "c3"))
    first.case(case(0))
    first.attempt(attempt(1))
    first.commit()
    freeze(first)
    before, after = (ledger_path(campaign(store, "c3"), epoch) for epoch in (1, 2))
    append(
        after,
        {"k": "open", "t": 30.0, "schema": 1, "campaign": "c3", "epoch": 2,
         "predecessors": {"1": before.stat().st_size}},
    )  # fmt: skip
    ingest(store)
    append(before, {"k": "note", "t": 9.0})
    append(after, b'{"k":"note"')
    assert lag_of(state, "it was in use").text == ""
    append(after, b',"t":9.0}\n')
    assert lag_of(state, "it was in use").lines == 1


def test_lines_that_nobody_knows_take_no_longer_than_others(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of them is passed over, and the rest the next time."""
    monkeypatch.setattr(freshness, "BYTES_AT_ONCE", 1000)
    assert freshen(state, seconds=LONG) == ""
    journal = ledger_path(state / "campaigns" / "c2", 1)
    append(journal, *({"k": "later", "t": 9.0, "text": "x" * 80} for _ in range(100)))
    before = lag_of(state, "").bytes
    assert freshen(state, seconds=-1.0) != ""
    assert before - 2000 < lag_of(state, "").bytes < before
    wait_until(lambda: freshen(state, seconds=-1.0) == "", what="all is taken in bit by bit")
    assert lag_of(state, "").bytes == 0


def test_recorders_and_sorting_wait_when_the_time_is_up(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks has waited long enough."""
    sorted_at: list[int] = []
    monkeypatch.setattr(Writer, "sort", lambda _, at_least: sorted_at.append(at_least))
    recorder = state / "recorders" / "1.jsonl"
    recorder.parent.mkdir()
    append(recorder, {"k": "usage", "t": 5.0, "worker": "w"})
    assert freshen(state, seconds=-1.0) != ""
    assert answer(state) == 7
    assert lag_of(state, "").lines == 1
    assert freshen(state, seconds=-1.0) != ""
    assert lag_of(state, "").bytes == 0
    assert sorted_at == []
    assert freshen(state, seconds=LONG) == ""
    assert len(sorted_at) == 1
