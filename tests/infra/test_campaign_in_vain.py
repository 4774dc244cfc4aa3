"""Batches that end without a word of their cases: they are not sent for ever."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from scripted_bench import FIRST, SUITE, Bench, judged, outcomes, worker

from proctor.infra.dispatching.batches import Rules
from proctor.infra.dispatching.tallies import MOST_IN_VAIN
from proctor.infra.engine.campaign import Campaign
from proctor.infra.engine.fakes import Script
from proctor.infra.runners.orders import SlotOrder

OVER = {"left": [], "reason": "", "died": False}


def answering(bench: Bench, answers: Iterator[dict[str, Any] | None]) -> Campaign:
    """A campaign whose batches with the first case end so; None: they run."""
    bench.workers = [worker("w1")]
    campaign = bench.campaign(Script())
    bench.known(campaign)
    cluster = bench.cluster
    run, end = cluster._run, cluster._end

    def answer(order: SlotOrder, name: str) -> None:
        assert order.order is not None
        told = next(answers) if FIRST in [work.id for work in order.order.work] else None
        if told is None:
            run(order, name)
        else:
            end(order, name, told)

    cluster._run = answer  # type: ignore[method-assign]
    return campaign


@pytest.mark.parametrize(
    "result",
    [OVER, {**OVER, "died": True}, {**OVER, "reason": "interrupted"}],
    ids=["ends", "dies", "is interrupted"],
)
def test_a_case_of_which_no_batch_says_a_word_is_lost_in_the_end(
    bench: Bench, result: dict[str, Any]
) -> None:
    """The others pass, and it does not keep the campaign from its end."""
    bench.rules = Rules(infra_retries=1, hedge=False)
    answered: list[int] = []
    campaign = answering(bench, (answered.append(1) or result for _ in range(1000)))
    campaign.run()
    assert judged(bench.record()) == {**dict.fromkeys(SUITE, "passed"), FIRST: "infra-lost"}
    assert len(answered) == MOST_IN_VAIN + 2
    assert "without a word" in bench.record().attempts[FIRST][0].message


@pytest.mark.parametrize(
    "result",
    [{**OVER, "reason": "draining"}, {**OVER, "cold": True}],
    ids=["drains", "is replaced"],
)
def test_a_batch_that_was_kept_from_running_is_sent_again(
    bench: Bench, result: dict[str, Any]
) -> None:
    """That says nothing of its cases."""
    campaign = answering(bench, chain(repeat(result, 3 * MOST_IN_VAIN), repeat(None)))
    campaign.run()
    assert judged(bench.record()) == dict.fromkeys(SUITE, "passed")
    assert outcomes(bench.record(), FIRST) == ["passed"]


def test_a_session_that_is_replaced_starts_cold_and_its_worker_is_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a case broke is gone with it, and so are the files it had loaded."""
    campaign = answering(bench, chain([{**OVER, "cold": True}], repeat(None)))
    ended: list[bool] = []
    blamed: list[bool] = []
    batch_ended, evidence = campaign._dispatcher.batch_ended, campaign._sickbay.evidence
    evidence_ended = evidence.ended

    def end(batch: str, *, died: bool = False) -> Any:
        ended.append(died)
        return batch_ended(batch, died=died)

    def blame(batch: str, *, died: bool) -> None:
        blamed.append(died)
        evidence_ended(batch, died=died)

    monkeypatch.setattr(campaign._dispatcher, "batch_ended", end)
    monkeypatch.setattr(evidence, "ended", blame)
    campaign.run()
    assert ended[0]
    assert not any(ended[1:])
    assert not any(blamed)
