"""What the command says when it is interrupted, mistyped, or has nothing good to tell."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledgers import begin, write_campaign, write_cases

from proctor.deployments import cli
from proctor.deployments.cli import main
from proctor.flows.campaigns import conduct as conducts
from proctor.infra.errors import CollectionProblem
from proctor.infra.ledgers.record import read_campaign
from proctor.monitoring.ingest import ingest
from proctor.monitoring.reports.digest import digest_of
from proctor.monitoring.reports.documents import campaign_document
from proctor.monitoring.store import Store


def test_an_interruption_while_it_loads_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by a traceback of somebody's imports."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "parser", interrupted)
    assert main(["list"]) == 2
    assert capsys.readouterr().err == "proctor: interrupted\n"


@pytest.mark.parametrize("value", ["x", "0", "-1", "1.5"])
def test_a_count_that_is_none_is_told_by_its_value(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not by the name of a function of ours."""
    with pytest.raises(SystemExit):
        main(["list", f"--limit={value}"])
    told = capsys.readouterr().err
    assert f"argument --limit: {value!r} is not 1 or more" in told
    assert "_positive" not in told


def test_a_campaign_that_failed_as_a_whole_has_its_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run --json` prints one in any case, with the reason in it."""

    def fail(prepared, view, *, opened, early):
        write_campaign(tmp_path / "state", prepared.campaign_id, [], clock=time.time)
        raise CollectionProblem("test_a.py cannot be collected: no such luck")

    monkeypatch.setattr(conducts, "conduct", fail)
    told = ["--directory", str(tmp_path), "--state", str(tmp_path / "state"), "--prefect", "off"]
    assert main(["run", "--json", *told]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["error"] == "test_a.py cannot be collected: no such luck"
    assert document["counts"] == {}


def test_where_history_is_kept_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing came of the first campaign, which so started no server."""

    def fail(prepared, view, *, opened):
        raise CollectionProblem("test_a.py cannot be collected")

    monkeypatch.setattr(conducts, "conduct", fail)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    said: list[bool] = []
    for _ in range(2):
        main(["run", "--directory", str(tmp_path), "--state", str(tmp_path / "state")])
        said.append("kept in Prefect's run history" in capsys.readouterr().out)
    assert said == [True, False]


def test_a_refused_query_is_one_line(tmp_path: Path) -> None:
    """DuckDB's bindings have nothing to add when the process ends."""
    write_campaign(tmp_path, "20260101-1200-aaaa", [], clock=time.time)
    ingest(Store(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "proctor", "sql", "--state", str(tmp_path), "SELECT nothing"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.startswith("proctor: the query cannot be run: ")
    assert done.stderr.count("\n") == 1


def test_the_document_of_what_runs_is_no_final_one(tmp_path: Path) -> None:
    """Nothing is finished, and what has not run waits for it."""
    ledger = begin(tmp_path, "20260101-1200-aaaa", clock=time.time)
    write_cases(ledger, ["a.py::x"])
    ledger.commit()
    running = campaign_document(digest_of(read_campaign(ledger.directory)))
    assert (running["state"], running["finished"], running["counts"]) == (
        "running",
        None,
        {"waiting": 1},
    )
    ledger.abandon()
    ended = campaign_document(digest_of(read_campaign(ledger.directory)))
    assert ended["counts"] == {"not-run": 1}
    assert ended["finished"]


def test_a_plan_says_what_was_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the run will; the document stays alone on its stream."""
    (tmp_path / "tasks.toml").write_text("[[tasks]]\nid = 'one'\ncommand = 'true'\n")
    monkeypatch.setenv("PROCTOR_RETIRES", "3")
    where = ("--directory", str(tmp_path), "--state", str(tmp_path / "state"))
    assert main(["run", "--plan", "--json", "--tasks", "tasks.toml", *where]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)
    assert told.err == "PROCTOR_RETIRES is no setting and was not read; did you mean retries?\n"


def verbs_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Those that do something, not those that only have verbs of their own."""
    inner = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not inner:
        yield parser
    for each in inner:
        for verb in each.choices.values():
            yield from verbs_of(verb)


def test_every_verb_shows_how_it_is_typed_and_says_what_each_flag_is() -> None:
    """In `--help`: examples that are of that verb, and a word for each flag and argument."""
    for verb in verbs_of(cli.parser()):
        assert "examples:" in (verb.epilog or ""), verb.prog
        assert verb.prog in (verb.epilog or ""), verb.prog
        told = [each for each in verb._actions if each.choices is None]
        assert [each.dest for each in told if not each.help] == [], verb.prog
