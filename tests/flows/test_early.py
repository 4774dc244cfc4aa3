"""For which campaigns sessions start before they have reached their fleet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ledger_parts import Clock, freeze

from proctor.flows.campaigns import early
from proctor.flows.campaigns.early import start_early
from proctor.flows.campaigns.job_of import job_of
from proctor.flows.campaigns.preparation import Prepared, prepare
from proctor.flows.campaigns.request import RunRequest
from proctor.infra.dispatching.batches import Slot
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.runners.doors import NOBODY, Caller, Knock
from proctor.infra.timings import Timings

FLEET = "tcp://127.0.0.1:9"
KNOCK = Knock([], {Slot("cpu-1", 0): 0})


class Street:
    """Notes who knocks, and for how many sessions."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.most = 0

    def knock(self, scheduler: str, caller: Caller, *, most: int) -> Knock:
        assert scheduler == FLEET
        self.callers.append(caller)
        self.most = most
        return KNOCK


@pytest.fixture
def street(monkeypatch: pytest.MonkeyPatch) -> Street:
    street = Street()
    monkeypatch.setattr(early, "knock", street.knock)
    return street


def prepared(folder: Path, *, fleet: str = FLEET, **fields: Any) -> Prepared:
    flags: dict[str, object] = {"state": str(folder / "state"), "prefect": "off"}
    if fleet:
        flags["fleet"] = fleet
    return prepare(RunRequest(directory=str(folder), flags=flags, **fields))


def test_sessions_are_asked_for_as_the_campaign_will_ask(tmp_path: Path, street: Street) -> None:
    """Others would be of no use to it."""
    campaign = prepared(tmp_path, paths=(".",))
    assert start_early(campaign) is KNOCK
    (caller,) = street.callers
    assert (caller.campaign, caller.epoch) == (campaign.campaign_id, 1)
    assert caller.runner == job_of(campaign, Timings(), failed=frozenset()).runner


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 1), (8, 7)])
def test_a_core_is_left_to_the_campaign(
    cores: int, most: int, tmp_path: Path, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own start is what these sessions wait for in the end."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    start_early(prepared(tmp_path))
    assert street.most == most


def test_nobody_knocks_for_a_campaign_without_a_fleet_that_is_up(
    tmp_path: Path, street: Street
) -> None:
    """Its workers start with it."""
    assert start_early(prepared(tmp_path, fleet="")) is NOBODY
    assert not street.callers


def test_nobody_knocks_for_what_may_have_nothing_to_do(tmp_path: Path, street: Street) -> None:
    """What failed last may be gone; and tasks have no session."""
    (tmp_path / "tasks.toml").write_text('[[tasks]]\nid = "a"\ncommand = ["true"]\n')
    for fields in ({"last_failed": True}, {"tasks": "tasks.toml"}):
        assert start_early(prepared(tmp_path, **fields)) is NOBODY
    assert not street.callers


def test_nothing_comes_before_what_is_done_once(tmp_path: Path, street: Street) -> None:
    """All sessions are to find it done. Where it cannot be done, they do it themselves."""
    conftest = tmp_path / "conftest.py"
    conftest.write_text("def pytest_configure(config): hasattr(config, 'workerinput')\n")
    assert start_early(prepared(tmp_path)) is NOBODY
    assert not street.callers
    with conftest.open("a") as file:
        file.write("def pytest_configure_node(node): node.workerinput['a'] = 1\n")
    assert start_early(prepared(tmp_path)) is KNOCK


def test_who_resumes_has_to_look_at_what_still_runs_first(tmp_path: Path, street: Street) -> None:
    """Its sessions are of another life of it."""
    campaign = prepared(tmp_path)
    ledger = Ledger.open(
        campaign.directory,
        campaign=campaign.campaign_id,
        project=campaign.project_name,
        root=str(tmp_path),
        settings={"request": campaign.request.to_json(), "python": campaign.python},
        clock=Clock(),
    )
    ledger.commit()
    freeze(ledger)
    assert start_early(prepared(tmp_path, resume=campaign.campaign_id)) is NOBODY
    assert not street.callers
