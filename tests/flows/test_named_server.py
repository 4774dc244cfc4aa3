"""The password of a Prefect server: those who need it have it, and nobody can read it."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from proctor.deployments.cli import main
from proctor.deployments.standing import history_keeper
from proctor.deployments.standing.fleet_standing import look
from proctor.deployments.standing.history_keeper import SETTLED_SECONDS, HistoryKeeper
from proctor.flows.campaigns.preparation import prepare
from proctor.flows.campaigns.request import RunRequest
from proctor.flows.mirroring import mirror_process
from proctor.flows.mirroring.mirror_process import spawn_mirror
from proctor.flows.server.named_server import from_process
from proctor.infra.discreet_log import Discreet
from proctor.infra.fleet.files import FleetFiles, FleetRecord, write_record
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.process_ref import ProcessRef

# Nobody listens there.
WHOLE = "http://someone:hush-hush@127.0.0.1:9/api"
SHOWN = "http://127.0.0.1:9/api"


class Launched:
    """Keeps what a process would have been started with."""

    def __init__(self) -> None:
        self.command: Sequence[str] = ()
        self.environment: Mapping[str, str] = {}

    def spawn(self, command: Sequence[str], *, environ: Mapping[str, str], log: Path) -> int:
        del log
        self.command, self.environment = command, environ
        return 1

    def launch(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        del log
        self.command, self.environment = command, environment

    @property
    def told(self) -> str:
        """The address by which the process speaks to the server."""
        return from_process(self.command[self.command.index("--prefect") + 1], self.environment)


@pytest.mark.parametrize("setting", [WHOLE, SHOWN, "auto"])
def test_no_process_has_a_password_in_its_arguments(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ps` shows those to everybody; the process itself has it all the same."""
    mirror, history = Launched(), Launched()
    monkeypatch.setattr(mirror_process, "spawn_detached", mirror.spawn)
    monkeypatch.setattr(history_keeper, "launch_host", history.launch)
    spawn_mirror(tmp_path, prefect=setting)
    keeper = HistoryKeeper(tmp_path, log=tmp_path / "log", environment={}, now=0.0)
    keeper.tend(setting, SETTLED_SECONDS)
    for launched in (mirror, history):
        assert "hush" not in " ".join(launched.command)
        assert launched.told == setting


def test_no_ledger_keeps_a_password_and_whoever_resumes_may_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the server that is asked for would refuse the rest of the campaign's history."""
    flags = {"state": str(tmp_path / "state"), "prefect": WHOLE}
    first = prepare(RunRequest(directory=str(tmp_path), flags=flags))
    assert first.settings.prefect == WHOLE
    told = {"request": first.request.to_json(), "python": sys.executable}
    assert "hush" not in json.dumps(told)
    with Ledger.open(
        first.directory, campaign=first.campaign_id, root=str(tmp_path), settings=told
    ):
        pass
    again = RunRequest(
        directory=str(tmp_path), flags={"state": str(tmp_path / "state")}, resume="last"
    )
    assert prepare(again).settings.prefect == SHOWN
    monkeypatch.setenv("PROCTOR_PREFECT", WHOLE)
    assert prepare(again).settings.prefect == WHOLE
    monkeypatch.setenv("PROCTOR_PREFECT", "http://someone:hush-hush@127.0.0.2:9/api")
    assert prepare(again).settings.prefect == SHOWN, "another server's password is not for this one"


@pytest.mark.parametrize(
    "words",
    [
        ("config", "show", "--origin"),
        ("config", "show", "--json"),
        ("server", "status"),
        ("server", "status", "--json"),
        ("deploy",),
        ("store", "sync"),
        ("run", "--prefect", "htp://someone:hush-hush@127.0.0.1:9/api"),
        ("run", "--state", "block:here"),
    ],
)
def test_no_verb_prints_a_password(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In what it shows, and in what it says of a server that does not answer."""
    monkeypatch.chdir(tmp_path)
    if words[-1] != "block:here":
        monkeypatch.setenv("PROCTOR_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PROCTOR_PREFECT", WHOLE)
    main(words)
    said = capsys.readouterr()
    assert "127.0.0.1:9/api" in said.out + said.err
    assert "hush" not in said.out + said.err


def test_the_status_of_a_fleet_shows_its_server_without_the_password(tmp_path: Path) -> None:
    """And asks that server all the same."""
    files = FleetFiles(state=tmp_path)
    files.directory.mkdir(parents=True)
    me = ProcessRef.of(os.getpid())
    assert me is not None
    write_record(files.record, FleetRecord(supervisor=me, prefect=WHOLE))
    (prefect,) = (each for each in look(tmp_path).services if each.name == "prefect")
    assert (prefect.state, prefect.where) == ("not answering", SHOWN)


def test_a_log_holds_no_password() -> None:
    """Errors of clients name the address they asked."""
    problem = ConnectionError(f"Client error '401' for url '{WHOLE}/flow_runs'")
    record = logging.LogRecord(
        "x", logging.ERROR, __file__, 1, "away: %s", (WHOLE,), (type(problem), problem, None)
    )
    text = Discreet("%(message)s").format(record)
    assert "hush" not in text
    assert text.count("://[secret]@127.0.0.1:9/api") == 2
