"""What a campaign waits for: each wait ends, and none ends what could go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_bench import FIRST, SUITE, Bench, judged, worker

from proctor.infra.engine import patience
from proctor.infra.engine.fakes import HANGS, Script
from proctor.infra.engine.happenings import Draining
from proctor.infra.errors import FleetUnavailable
from proctor.infra.records import Case, Requirements

GPU = Requirements(gpu=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    # Not for ever, if nobody ends it.
    bench.job_fields["deadline_at"] = time.time() + 20
    yield bench
    bench.ledger.abandon()


def mixed(bench: Bench) -> list[Case]:
    """The suite, of which one case needs a GPU."""
    cases = [Case(id=each, group=each.partition("::")[0], index=n) for n, each in enumerate(SUITE)]
    cases[-1] = replace(cases[-1], needs=GPU)
    bench.collection.restore(cases)
    for case in cases:
        bench.ledger.case(case)
    return cases


def test_what_can_run_runs_to_its_end_though_another_kind_of_worker_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The campaign is given up only when nothing else is left, and can be resumed for the rest."""
    monkeypatch.setattr(patience, "EMPTY_FLEET_SECONDS", 0.0)
    bench.job_fields["expected"] = (worker("g1", gpu=1.0),)
    bench.workers = [worker("w1")]
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS, "passed")}))
    campaign.add_known(mixed(bench), {})
    cluster = bench.cluster
    turns: list[float] = []

    def turn(now: float) -> None:
        turns.append(now)
        if len(turns) == 5:
            order, left = cluster._hanging.popitem()[1]
            cluster._end(order, "w1", {"left": left, "reason": "", "died": True})

    cluster.watch_roster = turn  # type: ignore[method-assign]
    with pytest.raises(FleetUnavailable, match=SUITE[-1]):
        campaign.run()
    assert judged(bench.record()) == {**dict.fromkeys(SUITE, "passed"), SUITE[-1]: "not-run"}


def test_a_fleet_that_only_drains_is_given_up_like_one_that_is_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes nothing new, whatever else it still does: that is no defect of ours."""
    monkeypatch.setattr(patience, "EMPTY_FLEET_SECONDS", 0.1)
    campaign = bench.campaign(Script())
    bench.known(campaign)
    for facts in bench.workers:
        drains = Draining(worker=facts.name, incarnation=facts.incarnation)
        bench.cluster.happenings.put(drains)
    with pytest.raises(FleetUnavailable, match="the fleet has had no worker"):
        campaign.run()


def test_a_cancelled_campaign_is_not_refused_for_what_it_will_not_run(bench: Bench) -> None:
    """Cancelled while it collects: nobody asks any more who could run what was found."""
    bench.needs = Requirements(gpu=2)
    bench.workers = [worker("w1")]
    bench.job_fields["warm"] = False
    campaign = bench.campaign(Script(suite=SUITE))
    cluster = bench.cluster

    def collect_and_hang(order: object, name: str) -> None:
        for each in SUITE:
            told = {"k": "item", "id": each, "file": "test_a.py", "marks": []}
            cluster._say(order, name, told)  # type: ignore[arg-type]
        cluster._hanging["b0"] = (order, [])  # type: ignore[assignment]
        (bench.directory / "cancel").touch()

    cluster._collect = collect_and_hang  # type: ignore[method-assign]
    campaign.search.collect()
    campaign.run()
    assert campaign.cancelled_because == "someone asked for it"
