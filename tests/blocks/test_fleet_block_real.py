"""Fleets kept by a real Prefect server."""

from __future__ import annotations

import asyncio

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from real_prefect import resident_server

from proctor.blocks.fleet import FleetBlock, FleetMember, NoSuchBlock
from proctor.blocks.policy import ScalingPolicyBlock
from proctor.blocks.store import StoreBlock
from proctor.blocks.worker_class import WorkerClassBlock
from proctor.flows.campaigns.fleet_block import configured_fleet, own_fleet
from proctor.flows.server.prefect_server import PrefectUnavailable
from proctor.flows.server.state_block import state_of_block
from proctor.infra.errors import UsageProblem
from proctor.infra.scaling.policy import ScalingRules
from proctor.infra.worker_classes import WorkerClass

BIG = WorkerClass(name="Big", slots=2, memory_bytes=3 * 2**30, tags=frozenset({"licence"}))


def test_a_fleet_is_read_from_the_server_with_all_that_it_names(tmp_path):
    """What was saved there comes back; what is not there is named, with what is."""
    url = resident_server().ensure().api_url

    async def save():
        await WorkerClassBlock.of(BIG).asave("big", overwrite=True)
        await ScalingPolicyBlock(headroom=0.5).asave("eager", overwrite=True)
        members = [FleetMember(worker_class="big", workers=2), FleetMember(worker_class="cpu")]
        await FleetBlock(members=members).asave("nightly", overwrite=True)
        await FleetBlock(members=members, auto=True, policy="eager").asave("auto", overwrite=True)
        wrong = [FleetMember(worker_class="bigger")]
        await FleetBlock(members=wrong).asave("wrong", overwrite=True)

    with temporary_settings({PREFECT_API_URL: url}):
        asyncio.run(save())

    fleet = configured_fleet("block:nightly", state=tmp_path, prefect=url)
    assert fleet.classes["Big"] == BIG
    assert dict(fleet.counts) == {"Big": 2, "cpu": 1}
    sizing = configured_fleet("block:auto", state=tmp_path, prefect=url)
    assert (sizing.auto, sizing.rules) == (True, ScalingRules(headroom=0.5))

    own = own_fleet("block:nightly", state=tmp_path, prefect=url, cores=3)
    assert [(each.name, each.slots) for each in own.workers] == [
        ("Big-1", 2),
        ("Big-2", 2),
        ("cpu-1", 3),
    ]
    with pytest.raises(UsageProblem, match="no fleet for a single campaign: it sizes itself"):
        own_fleet("block:auto", state=tmp_path, prefect=url, cores=3)
    with pytest.raises(NoSuchBlock, match=r"no Proctor Fleet block 'nightli'.*mean nightly"):
        configured_fleet("block:nightli", state=tmp_path, prefect=url)
    with pytest.raises(NoSuchBlock, match=r"no Proctor Worker Class block 'bigger'.*cpu"):
        configured_fleet("block:wrong", state=tmp_path, prefect=url)


def test_a_state_directory_is_read_from_the_server_and_has_to_be_here(tmp_path):
    """What others share is not made a second time on a machine that lacks it."""
    url = resident_server().ensure().api_url
    here, away = tmp_path / "team", tmp_path / "not-mounted"
    here.mkdir()

    async def save():
        await StoreBlock.of(here).asave("team", overwrite=True)
        await StoreBlock.of(away).asave("away", overwrite=True)

    with temporary_settings({PREFECT_API_URL: url}):
        asyncio.run(save())

    assert state_of_block("block:team", url) == here
    with pytest.raises(UsageProblem, match="no such directory on this machine"):
        state_of_block("block:away", url)
    with pytest.raises(NoSuchBlock, match=r"no Proctor Store block 'teem'.*mean team"):
        state_of_block("block:teem", url)


def test_a_server_that_is_off_or_away_is_said_in_a_line(tmp_path):
    """Nothing is started or waited for."""
    with pytest.raises(UsageProblem, match="block:nightly is kept by Prefect, and Prefect is"):
        configured_fleet("block:nightly", state=tmp_path, prefect="off")
    # The discard port: nobody answers there.
    with pytest.raises(PrefectUnavailable, match="no Prefect server can be used at"):
        configured_fleet("block:nightly", state=tmp_path, prefect="http://127.0.0.1:9/api")
