"""The verbs about Prefect, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from campaign_journals import JournalWriter
from real_prefect import History, resident_server, resident_state
from waiting import wait_until

from proctor.deployments.cli import main
from proctor.flows.mirroring.mirror_process import MODULE


@pytest.fixture
def state():
    resident_server()
    return str(resident_state())


def said(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_status_tells_the_resident_server_from_none(state, tmp_path, capsys):
    """One line for each server there is, or how to start one."""

    def is_answering() -> bool:
        assert main(["server", "status", "--state", state, "--json"]) == 0
        return said(capsys)["resident"]["answering"]

    wait_until(is_answering, what="an answer in time")

    assert main(["server", "status", "--state", str(tmp_path / "fresh")]) == 0
    assert "`proctor server start` starts one" in capsys.readouterr().out


def test_starting_twice_is_starting_once(state, capsys):
    """The second start finds the first one's server."""
    main(["server", "start", "--state", state, "--json"])
    first = said(capsys)
    assert main(["server", "start", "--state", state]) == 0
    assert f"export PREFECT_API_URL={first['api']}" in capsys.readouterr().out


def test_stopping_nothing_says_so(tmp_path, capsys):
    """No server, no error."""
    assert main(["server", "stop", "--state", str(tmp_path), "--json"]) == 0
    assert said(capsys) == {"stopped": False, "untold": []}


def test_what_would_start_the_server_again_is_ended_with_it(tmp_path, capsys):
    """The mirror of a run that is just over starts it seconds later, when nobody looks."""
    directory = tmp_path / "campaigns" / "just-over"
    mirror = [MODULE, str(directory), "--prefect", "auto"]
    code = "import sys; print('here', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *mirror], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert main(["server", "stop", "--state", str(tmp_path)]) == 0
        process.wait(60)
    told = capsys.readouterr()
    assert told.out == "no resident Prefect server runs\n"
    assert "Prefect was not told all of just-over; `proctor mirror just-over`" in told.err


def test_mirror_starts_no_server_where_prefect_is_switched_off(tmp_path, capsys, monkeypatch):
    """It says so at once."""
    JournalWriter(tmp_path / "campaigns" / "c-1", began=time.time() - 100).finish()
    monkeypatch.setenv("PROCTOR_PREFECT", "off")
    assert main(["mirror", "c-1", "--state", str(tmp_path)]) == 4
    assert "Prefect is switched off (prefect = off); give --prefect auto" in capsys.readouterr().err
    assert not (tmp_path / "prefect").exists()


def test_deploy_says_what_it_did(state, capsys):
    """And where a worker has to start."""
    assert main(["deploy", "--state", state]) == 0
    assert "proctor-control" in capsys.readouterr().out
    assert main(["deploy", "--state", state, "--json"]) == 0
    assert {step["change"] for step in said(capsys)["steps"]} == {"unchanged"}


def test_deploy_without_prefect_is_refused(tmp_path, capsys):
    """Switched off is switched off; the remedy is in the sentence."""
    assert main(["deploy", "--state", str(tmp_path), "--prefect", "off"]) == 4
    assert "give --prefect auto" in capsys.readouterr().err


def test_a_configured_server_that_does_not_answer_is_named(tmp_path, capsys):
    """No server of ours is started in place of one that somebody chose."""
    url = "http://127.0.0.1:9/api"
    assert main(["deploy", "--state", str(tmp_path), "--prefect", url]) == 6
    assert url in capsys.readouterr().err
    assert not (tmp_path / "prefect").exists()


def test_mirror_tells_prefect_of_an_old_campaign(state, capsys):
    """By the beginning of its id."""
    directory = resident_state() / "campaigns" / "by-verb-1"
    JournalWriter(directory, began=time.time() - 100).finish()

    assert main(["mirror", "by-verb", "--state", state, "--json"]) == 0

    told = capsys.readouterr()
    assert json.loads(told.out) == {"campaign": "by-verb-1", "told": True}
    assert told.err.startswith("telling Prefect of campaign by-verb-1, for 60 s at most")
    history = History(resident_server().ensure().api_url)
    assert len(history.runs("campaign:by-verb-1")) == 1


def test_mirror_of_an_unknown_campaign_is_one_clear_line(state, capsys):
    """With the exit code of a typing slip."""
    assert main(["mirror", "nosuch", "--state", state]) == 4
    assert "nosuch" in capsys.readouterr().err


def test_the_verbs_cost_other_verbs_nothing():
    """Every verb of the command imports this group: Prefect (1 s) must not come with it."""
    code = (
        "import sys, proctor.deployments.commands.cli_prefect, proctor.flows.mirroring.mirror_process;"
        "print(sorted({'prefect', 'httpx', 'asyncio'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=True
    )
    assert ran.stdout.strip() == "[]"
