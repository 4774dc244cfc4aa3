"""The verbs about the store, as a person types them."""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys

import pytest
from campaign_journals import JournalWriter

from proctor.deployments.commands import cli_store
from proctor.infra.errors import UsageProblem
from proctor.infra.ledgers.epochs import ledger_path
from proctor.monitoring.export import ExportExists
from proctor.monitoring.store import NoStore, StoreBusy


@pytest.fixture
def state(tmp_path):
    made = tmp_path / "state"
    JournalWriter(made / "campaigns" / "c1", began=1_700_000_000.0, total=4, bad=2).finish()
    return made


@pytest.fixture
def run(state):
    parser = argparse.ArgumentParser()
    cli_store.register(parser.add_subparsers(required=True))

    def act(*words: str) -> int:
        arguments = parser.parse_args([*words, "--state", str(state)])
        return arguments.act(arguments)

    return act


def test_before_the_first_ingest_it_is_said_what_to_do(run, state, capsys):
    """Not an empty answer; a question makes the store, if there is anything to answer it by."""
    with pytest.raises(NoStore, match="proctor store ingest"):
        run("store", "status")
    aside = (state / "campaigns").rename(state / "aside")
    with pytest.raises(NoStore, match="proctor store ingest"):
        run("sql", "SELECT 1")
    aside.rename(state / "campaigns")
    assert run("sql", "SELECT count(*) AS cases FROM results", "--json") == 0
    told = capsys.readouterr()
    assert (json.loads(told.out), told.err) == ([{"cases": 4}], "")


def test_ingest_and_status_tell_what_there_is(run, state, capsys):
    """Also what could not be read, every time one asks."""
    with ledger_path(state / "campaigns" / "c1", 1).open("ab") as file:
        file.write(b"rubbish\n")
    assert run("store", "ingest") == 0
    assert "4 attempts of 1 campaign taken in" in (told := capsys.readouterr().out)
    assert "cannot be used" in told
    assert run("store", "status") == 0
    assert "1 line could not be taken in" in capsys.readouterr().out
    run("store", "status", "--json")
    status = json.loads(capsys.readouterr().out)
    assert (status["campaigns"], status["attempts"], status["problems"]) == (1, 4, 1)


def test_sql_answers_as_table_csv_or_json(run, capsys):
    """Each of them whole, and nothing beside."""
    run("store", "ingest")
    capsys.readouterr()
    query = "SELECT case_id, outcome, started, message FROM results ORDER BY case_id"
    assert run("sql", query, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found[1] == {
        "case_id": "tests/test_tree.py::test_1",
        "outcome": "passed",
        "started": "2023-11-14T22:13:22.500000",
        "message": "",
    }
    run("sql", query, "--csv")
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["case_id", "outcome", "started", "message"]
    assert len(rows) == 5
    run("sql", query)
    assert "test_1" in capsys.readouterr().out


def test_rebuild_export_and_prune(run, state, tmp_path, capsys):
    """Each says what it did; the second export to one place is refused."""
    run("store", "ingest")
    assert run("store", "rebuild", "--json") == 0
    capsys.readouterr()
    target = tmp_path / "one.duckdb"
    assert run("store", "export", str(target), "--campaign", "c") == 0
    assert target.exists()
    with pytest.raises(ExportExists):
        run("store", "export", str(target), "--campaign", "c1")
    assert run("store", "export", str(tmp_path / "all")) == 0
    capsys.readouterr()
    run("store", "prune", "--keep", "1d", "--json")
    assert json.loads(capsys.readouterr().out) == {"campaigns": ["c1"], "dropped": True}


def test_a_store_that_cannot_be_read_is_kept_and_that_is_said(run, state, capsys):
    """What only it may have known is not thrown away behind anybody's back."""
    run("store", "ingest")
    (state / "proctor.duckdb").write_text("rubbish")
    capsys.readouterr()
    assert run("store", "rebuild") == 0
    (aside,) = state.glob("proctor.duckdb.damaged-*")
    assert f"is kept as {aside}" in capsys.readouterr().out
    assert aside.read_text() == "rubbish"
    run("store", "rebuild", "--json")
    assert json.loads(capsys.readouterr().out)["kept_aside"] is None


def test_who_has_the_store_is_told_in_one_line(run, state):
    """Also a program whose script was typed into its command line."""
    run("store", "ingest")
    script = "import duckdb, sys\nheld = duckdb.connect(sys.argv[1])\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(state / "proctor.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreBusy) as busy:
            run("sql", "SELECT 1", "--timeout", "0.5")
        holder.communicate(b"", timeout=60)
    assert f"process {holder.pid} (" in str(busy.value)
    assert "\n" not in str(busy.value)


@pytest.mark.parametrize("words", [["sql", "select '\udcff'"], ["store", "export", "to\udcff"]])
def test_what_duckdb_cannot_be_told_is_refused(run, words):
    """Its bindings would tell of the functions that they have."""
    run("store", "ingest")
    with pytest.raises(UsageProblem, match="no text in UTF-8"):
        run(*words)


@pytest.mark.parametrize("words", [["--timeout", "0"], ["--timeout", "inf"], ["--timeout", "x"]])
def test_a_deadline_must_be_one(run, words):
    """Zero, endless and rubbish are refused by the parser."""
    with pytest.raises(SystemExit):
        run("sql", "SELECT 1", *words)
