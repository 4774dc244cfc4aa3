"""Campaigns whose process died are continued while a fleet is up, and no others are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from proctor.deployments.standing.campaign_keeper import (
    DOUBT_SECONDS,
    RECENT_SECONDS,
    TRIES,
    CampaignKeeper,
    Resumption,
    Running,
)
from proctor.infra.ledgers.lease import TTL_SECONDS, lease_path, place
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.origin import Origin
from proctor.infra.process_ref import born
from proctor.infra.resident_mark import MARK


class Ended:
    """A process that has ended at once."""

    pid = 4711

    def poll(self) -> int | None:
        return 1


class Started:
    """Remembers what was to be started."""

    def __init__(self) -> None:
        self.wanted: list[Resumption] = []

    def __call__(self, wanted: Resumption) -> Running:
        self.wanted.append(wanted)
        return Ended()

    @property
    def campaigns(self) -> list[str]:
        return [each.command[each.command.index("resume") + 1] for each in self.wanted]


def begun(state: Path, name: str, origin: Origin | None = None, *, resumed: str = "") -> Ledger:
    return Ledger.open(
        state / "campaigns" / name,
        campaign=name,
        name=name,
        root="/srv",
        command=("proctor", "run"),
        settings={"resumed": resumed, **({"origin": asdict(origin)} if origin else {})},
        clock=time.time,
    )


def dead_holder(directory: Path, epoch: int = 1) -> None:
    """Make the lease that of a process which has ended, as kill -9 leaves it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    created = born(psutil.Process(process.pid))
    process.kill()
    process.communicate()
    told = {"pid": process.pid, "host": "here", "place": place(), "process_started": created}
    lease_path(directory, epoch).write_text(json.dumps({**told, "since": created}) + "\n")


def interrupted(state: Path, name: str, origin: Origin | None = None) -> Path:
    ledger = begun(state, name, origin)
    ledger.write("phase", phase="run")
    ledger.commit()
    directory = ledger.directory
    ledger.close()
    dead_holder(directory)
    return directory


@pytest.fixture
def started() -> Started:
    return Started()


def keeper(state: Path, started: Started) -> CampaignKeeper:
    return CampaignKeeper(state, environment={**os.environ, MARK: "x"}, start=started)


def test_a_campaign_whose_process_is_dead_is_resumed(tmp_path: Path, started: Started) -> None:
    """At the first look, and without the mark by which the fleet is swept."""
    interrupted(tmp_path, "c1")
    keeper(tmp_path, started).tend(0.0)
    assert started.campaigns == ["c1"]
    assert MARK not in started.wanted[0].environment


def test_what_runs_and_what_was_let_go_is_left_alone(tmp_path: Path, started: Started) -> None:
    """A live holder and a lease that was released are nobody's affair."""
    running = begun(tmp_path, "running")
    begun(tmp_path, "released").close()
    try:
        keeper(tmp_path, started).tend(0.0)
    finally:
        running.close()
    assert started.campaigns == []


def test_what_was_left_long_ago_waits_for_a_person(tmp_path: Path, started: Started) -> None:
    """Starting a fleet does not start last week's campaign."""
    directory = interrupted(tmp_path, "old")
    before = time.time() - RECENT_SECONDS - 60
    os.utime(lease_path(directory, 1), (before, before))
    keeper(tmp_path, started).tend(0.0)
    assert started.campaigns == []


def test_a_campaign_that_dies_again_is_given_up_in_the_end(
    tmp_path: Path, started: Started
) -> None:
    """Tries are bounded and stand apart from each other."""
    interrupted(tmp_path, "c1")
    care = keeper(tmp_path, started)
    care.tend(0.0)
    care.tend(1.5)
    assert len(started.campaigns) == 1
    for second in range(2, 1000, 2):
        care.tend(float(second))
    assert len(started.campaigns) == TRIES
    (problem,) = care.problems
    assert "proctor resume c1" in problem
    begun(tmp_path, "c1").close()
    care.tend(2000.0)
    assert care.problems == ()


@pytest.mark.parametrize(
    ("lives", "left"),
    [
        (["by itself"] * 3, TRIES - 3),
        (["by itself"] * TRIES, 0),
        (["by itself"] * TRIES + ["by hand"] + ["by itself"], TRIES - 1),
    ],
    ids=["some", "all", "by hand since"],
)
def test_tries_of_a_keeper_that_died_count(
    tmp_path: Path, started: Started, lives: list[str], left: int
) -> None:
    """A campaign that takes its keeper with it would be resumed for ever; a person begins anew."""
    directory = interrupted(tmp_path, "c1")
    for epoch, resumed in enumerate(lives, start=2):
        begun(tmp_path, "c1", resumed=resumed).close()
        dead_holder(directory, epoch)
    care = keeper(tmp_path, started)
    for second in range(0, 1000, 2):
        care.tend(float(second))
    assert len(started.campaigns) == left
    assert len(care.problems) == 1


def test_a_holder_that_may_only_have_slept_is_given_time(tmp_path: Path, started: Started) -> None:
    """A machine that wakes finds all leases run out; those who hold them touch them at once."""
    begun(tmp_path, "c1").close()
    lease = lease_path(tmp_path / "campaigns" / "c1", 1)
    lease.write_text(lease.read_text().splitlines()[0] + "\n")
    before = time.time() - TTL_SECONDS - 5
    os.utime(lease, (before, before))
    care = keeper(tmp_path, started)
    care.tend(0.0)
    assert started.campaigns == []
    os.utime(lease)
    care.tend(DOUBT_SECONDS + 1)
    os.utime(lease, (before, before))
    care.tend(DOUBT_SECONDS + 3)
    assert started.campaigns == []
    care.tend(2 * DOUBT_SECONDS + 3)
    assert started.campaigns == ["c1"]


def test_it_goes_on_where_it_was_asked_for(tmp_path: Path, started: Started) -> None:
    """In that directory, with the settings of that shell, not with those of the fleet's."""
    shell = {"PROCTOR_RETRIES": "2", "PREFECT_API_URL": "http://h/api", "HOME": "/elsewhere"}
    here = Origin.here({**shell, "PREFECT_API_KEY": "hush", "PROCTOR_RUNNER": "x"})
    assert set(here.environment) == {"PROCTOR_RETRIES", "PREFECT_API_URL"}
    place = tmp_path / "p"
    place.mkdir()
    interrupted(tmp_path, "c1", replace(here, directory=str(place)))
    fleets = {"PROCTOR_SLOTS": "9", "HOME": "/home", "PREFECT_API_KEY": "own", MARK: "x"}
    CampaignKeeper(tmp_path, environment=fleets, start=started).tend(0.0)
    (wanted,) = started.wanted
    assert wanted.directory == str(place)
    assert wanted.environment == {
        "HOME": "/home",
        "PREFECT_API_KEY": "own",
        "PROCTOR_RETRIES": "2",
        "PREFECT_API_URL": "http://h/api",
    }
