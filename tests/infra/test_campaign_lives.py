"""Lives of one campaign: what one of them hears of another."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_bench import FIRST, SUITE, Bench, judged, outcomes, worker

from proctor.infra.dispatching.batches import Rules
from proctor.infra.engine.campaign import Campaign
from proctor.infra.engine.fakes import HANGS, SKIPS_ITSELF, Script
from proctor.infra.engine.happenings import Messages
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.runners.orders import Act
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


BROKEN = "test_b.py"


def resumed(bench: Bench, script: Script) -> Campaign:
    """The second life of a campaign that goes on though a file of it cannot be collected."""
    bench.job_fields["hello"] = {"continue_on_collection_errors": True}
    told = judged(bench.collected(suite=SUITE[:4], uncollectable={BROKEN: "E   ImportError"}))
    assert told == {**dict.fromkeys(SUITE[:4], "passed"), BROKEN: "error"}
    bench.ledger.close()
    bench.ledger = Ledger.open(bench.directory, campaign="c1")
    record = bench.record()
    campaign = bench.campaign(script)
    bench.collection.restore(record.cases)
    campaign.add_known(list(record.cases.values()), record.attempts)
    return campaign


def counts_as_judged(bench: Bench, campaign: Campaign) -> None:
    """Who looks on, and who reads the ledger, sees as many cases."""
    told = judged(bench.record())
    reached = campaign._reached()
    assert (reached.total, sum(reached.counts.values())) == (len(told), len(told))
    assert bench.seen.totals[-1] == len(told)


def test_a_file_that_was_broken_and_skips_itself_now_is_sent_once(bench: Bench) -> None:
    """It was to run again, and pytest finds nothing there that could: its batch comes to nothing."""
    bench.rules = Rules(retries=1, hedge=False)
    campaign = resumed(bench, Script(outcomes={BROKEN: (SKIPS_ITSELF,)}))
    campaign.run()
    assert campaign.stopped_because == ""
    assert len(list(bench.cluster.sent(Act.RUN))) == 1
    assert outcomes(bench.record(), BROKEN) == ["error", "skipped"]
    counts_as_judged(bench, campaign)


@pytest.mark.parametrize("retries", [0, 1])
def test_a_file_that_is_still_broken_is_one_case(bench: Bench, retries: int) -> None:
    """The suite is collected anew: what stood for the file stands for it again."""
    bench.rules = Rules(retries=retries, hedge=False)
    script = Script(suite=SUITE[:4], uncollectable={BROKEN: "E   ImportError"})
    campaign = resumed(bench, script)
    campaign.search.collect()
    campaign.run()
    told = {**dict.fromkeys(SUITE[:4], "passed"), BROKEN: "error"}
    assert judged(bench.record()) == told
    counts_as_judged(bench, campaign)
    assert bench.collection.total == len(told)
