"""`state = block:NAME`: a directory that a Prefect server knows, or one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.flows.server.state_block import offer_blocks, state_of_block
from proctor.infra import settings
from proctor.infra.errors import BadSetting, UsageProblem
from proctor.infra.settings import load_settings


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of whoever reads blocks; the answer is always the same directory."""
    found: list[tuple[str, str]] = []

    def answer(named: str, prefect: str) -> Path:
        found.append((named, prefect))
        return tmp_path / "team"

    monkeypatch.setattr(settings, "state_of_block", answer)
    return found


def test_whichever_layer_names_the_block_it_is_read_once_and_last(
    asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    """With the server that the other settings say; a flag that names a directory comes before."""
    environ = {"PROCTOR_STATE": "block:team", "PROCTOR_PREFECT": "http://there:4200/api"}
    told = load_settings(tmp_path, environ, {})
    assert (told.state, told.origin("state")) == (tmp_path / "team", "PROCTOR_STATE")
    assert asked == [("block:team", "http://there:4200/api")]
    assert load_settings(tmp_path, environ, {"state": "here"}).state == tmp_path / "here"
    assert len(asked) == 1
    # What is handed on to other processes is the directory.
    assert told.plain()["state"] == str(tmp_path / "team")


def test_a_block_without_a_name_is_refused(tmp_path: Path) -> None:
    """A directory of that name is written with its path."""
    with pytest.raises(BadSetting, match="names no block"):
        load_settings(tmp_path, {}, {"state": "block:"})
    assert load_settings(tmp_path, {}, {"state": "./block:x"}).state == tmp_path / "block:x"


def test_without_anyone_who_knows_prefect_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing looks for a server where none may be known."""
    monkeypatch.setattr(settings, "state_of_block", None)
    with pytest.raises(BadSetting, match="Prefect keeps it"):
        load_settings(tmp_path, {}, {"state": "block:team"})
    offer_blocks()
    assert settings.state_of_block is state_of_block


def test_a_server_that_is_off_is_said_in_a_line() -> None:
    """Nothing is started or waited for."""
    with pytest.raises(UsageProblem, match="Prefect is switched off"):
        state_of_block("block:team", "off")
