"""Lives of one campaign: what one of them hears of another."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_bench import FIRST, SUITE, Bench, judged, worker

from proctor.infra.engine.fakes import HANGS, Script
from proctor.infra.engine.happenings import Messages
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.runners.spec import ended


@pytest.fixture
def second_life(bench: Bench) -> Bench:
    bench.ledger.close()
    bench.ledger = Ledger.open(bench.directory, campaign="c1")
    bench.workers = [worker("w1")]
    return bench


def of_first_life(message: dict[str, Any]) -> Messages:
    """From a worker that was out of reach when the second life began, about its batch b1."""
    where = {"b": "b1", "e": 1, "w": "w9", "i": "life-0", "s": 0}
    return Messages(messages=({**message, **where},))


def test_the_end_of_an_earlier_batch_ends_no_batch_of_the_same_name(second_life: Bench) -> None:
    """Its slot would be taken for free, and what runs there would be lost."""
    bench = second_life
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS, "passed")}))
    bench.known(campaign)
    cluster = bench.cluster
    told = {"left": [], "reason": "", "died": False}
    turns: list[float] = []

    def turn(now: float) -> None:
        """A turn of the loop while the first batch is under way."""
        if not cluster._hanging and not turns:
            return
        turns.append(now)
        if len(turns) == 1:
            cluster.happenings.put(of_first_life({"k": "end", "result": told}))
        elif len(turns) == 4:
            # The batch of this life ends by itself.
            order, left = cluster._hanging.popitem()[1]
            for each in left:
                done = ended(each, outcome="passed", started=1.0, finished=2.0, message="")
                cluster._say(order, "w1", done)
            cluster._end(order, "w1", told)

    cluster.watch_roster = turn  # type: ignore[method-assign]
    campaign.run()
    record = bench.record()
    assert len(turns) >= 4
    assert judged(record) == dict.fromkeys(SUITE, "passed")
    assert {case: len(record.attempts[case]) for case in SUITE} == dict.fromkeys(SUITE, 1)
