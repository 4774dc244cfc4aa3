"""Machines with different versions of Proctor do not work together."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest
from distributed import Scheduler

from proctor import __version__
from proctor.infra.codec import facts_to_json
from proctor.infra.errors import FleetUnavailable, UsageProblem
from proctor.infra.fleet import one_version
from proctor.infra.fleet.one_version import (
    check_joinable,
    check_terms,
    refuse_clock,
    refuse_other,
    tell_terms,
)
from proctor.infra.fleet.self_test import REFUSED
from proctor.infra.records import WorkerFacts


def test_a_fleet_of_another_version_is_refused_with_both(monkeypatch):
    """By whoever asks its scheduler; one that Proctor did not start has none to tell."""

    async def meet(tells: str) -> None:
        monkeypatch.setattr(one_version, "__version__", tells)
        async with Scheduler(
            host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0"
        ) as scheduler:
            await check_terms(scheduler.address, None)
            tell_terms(scheduler)
            monkeypatch.setattr(one_version, "__version__", "2.0")
            await check_terms(scheduler.address, None)

    asyncio.run(meet("2.0"))
    with pytest.raises(UsageProblem, match=r"is of Proctor 1\.9, and this machine has 2\.0; inst"):
        asyncio.run(meet("1.9"))


def test_who_does_not_answer_is_told_in_a_line(monkeypatch):
    """Another fleet's certificates end so, in Dask's words a page long."""

    async def breaks(address: str, certificates: object) -> None:
        raise OSError("before comm was established") from OSError("certificate verify failed")

    monkeypatch.setattr(one_version, "check_terms", breaks)
    with pytest.raises(FleetUnavailable, match=r"tls://h:1 does not speak .*verify failed"):
        check_joinable("tls://h:1", None)


def test_the_same_version_is_welcome():
    """And nothing is asked of a scheduler that says nothing."""
    refuse_other("tcp://h:1", {"version": one_version.__version__})
    refuse_other("tcp://h:1", {})


@pytest.mark.parametrize(("now", "apart"), [(94.0, 8), (108.0, 6), (95.5, 0), (107.0, 0)])
def test_clocks_that_are_far_apart_are_told_of(now, apart):
    """Their records would stand in the wrong order; how long the question took is no excuse."""
    if apart:
        with pytest.raises(UsageProblem, match=rf"tcp://h:1 are {apart} s apart; set both"):
            refuse_clock("tcp://h:1", {"now": now}, asked=100.0, heard=102.0)
    else:
        refuse_clock("tcp://h:1", {"now": now}, asked=100.0, heard=102.0)
        refuse_clock("tcp://h:1", {}, asked=100.0, heard=102.0)


def test_a_worker_of_another_version_stays_out(tmp_path, monkeypatch):
    """Its launcher is told why, as of a machine that cannot run tests."""
    monkeypatch.setattr(one_version, "__version__", "1.9")
    refusal = tmp_path / "refusal"
    facts = WorkerFacts(
        name="w", incarnation="", worker_class="cpu", slots=1, cpu=1, memory_bytes=2**30
    )

    async def meet() -> int:
        async with Scheduler(
            host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0"
        ) as scheduler:
            tell_terms(scheduler)
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "proctor.infra.fleet.worker_host"),
                *("--scheduler", scheduler.address, "--facts", json.dumps(facts_to_json(facts))),
                *("--scratch", str(tmp_path / "scratch"), "--refusal", str(refusal)),
                *("--parent", str(os.getpid())),
            )
            async with asyncio.timeout(60):
                return await worker.wait()

    assert asyncio.run(meet()) == REFUSED
    assert f"is of Proctor 1.9, and this machine has {__version__}" in refusal.read_text()
