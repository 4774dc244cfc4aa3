"""What a campaign waits for: each wait ends, and none ends what could go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from scripted_bench import FIRST, SUITE, Bench, judged, worker

from proctor.infra.dispatching.batches import Rules
from proctor.infra.engine import campaign as campaigns
from proctor.infra.engine import cancelling, patience
from proctor.infra.engine.fakes import HANGS, Script
from proctor.infra.engine.happenings import Draining, Happening, Joined, Left, Messages
from proctor.infra.errors import FleetUnavailable
from proctor.infra.judge import judge_record
from proctor.infra.records import Case, Requirements
from proctor.infra.runners.orders import Act, SlotOrder
from proctor.infra.runners.spec import ended
from proctor.infra.scaling.demand import Publisher, Reached

GPU = Requirements(gpu=1)


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


def test_a_campaign_given_up_for_want_of_a_worker_says_what_ails_the_one_there_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was drained long before: whoever reads only the last line knows what to mend."""
    monkeypatch.setattr(patience, "EMPTY_FLEET_SECONDS", 0.0)
    bench.workers = [worker("w1"), worker("g1", gpu=1.0)]
    campaign = bench.campaign(Script(bare={"g1": "ProjectUnavailable"}))
    campaign.add_known(mixed(bench), {})
    with pytest.raises(FleetUnavailable, match=rf"fits {SUITE[-1]} has been .*: no pytest; run"):
        campaign.run()
    assert judged(bench.record()) == {**dict.fromkeys(SUITE, "passed"), SUITE[-1]: "not-run"}


def test_a_need_that_nobody_meets_keeps_only_its_case_from_running(bench: Bench) -> None:
    """It is not run and says why; refused is a campaign of which nothing can run."""
    bench.workers = [worker("w1")]
    campaign = bench.campaign(Script())
    campaign.add_known(mixed(bench), {})
    campaign.run()
    record = bench.record()
    assert judged(record) == {**dict.fromkeys(SUITE, "passed"), SUITE[-1]: "not-run"}
    # It is a case all the same, to whoever looks on.
    reached = campaign._reached()
    assert (reached.total, reached.counts) == (len(SUITE), {"passed": len(SUITE) - 1})
    assert bench.seen.totals[-1] == len(SUITE)
    verdict = judge_record(record)[SUITE[-1]]
    assert verdict.message == "needs gpu=1, the largest worker has gpu=0"
    # Attempts are executions, and it has had none.
    assert SUITE[-1] not in record.attempts
    assert list(record.left_out) == [SUITE[-1]]
    assert SUITE[-1] in bench.seen.notes[0]
    # A fleet that has what it needs runs it.
    bench.workers = [worker("g1", gpu=1.0)]
    again = bench.campaign(Script())
    bench.collection.restore(record.cases)
    again.add_known(list(record.cases.values()), record.attempts)
    again.run()
    assert bench.cluster.executions == {SUITE[-1]: 1}
    assert judged(bench.record()) == dict.fromkeys(SUITE, "passed")
    assert bench.record().left_out == {}


def test_a_need_that_nobody_meets_refuses_nothing_before_the_workers_came(bench: Bench) -> None:
    """Cases are known at once when they were collected before; whoever runs them is still coming."""
    bench.workers = []
    bench.job_fields["expected"] = (worker("w1"),)
    campaign = bench.campaign(Script())
    campaign.add_known(mixed(bench), {})
    turns: list[float] = []

    def turn(now: float) -> None:
        turns.append(now)
        if len(turns) == 3:
            facts = bench.cluster._workers["w1"] = worker("w1")
            bench.cluster.happenings.put(Joined(facts=facts))

    bench.cluster.watch_roster = turn  # type: ignore[method-assign]
    campaign.run()
    assert judged(bench.record()) == {**dict.fromkeys(SUITE, "passed"), SUITE[-1]: "not-run"}


def test_a_worker_that_fits_may_come_while_others_work(bench: Bench) -> None:
    """Nobody expected it; until all else is done its cases wait for it."""
    bench.workers = [worker("w1")]
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS, "passed")}))
    campaign.add_known(mixed(bench), {})
    cluster = bench.cluster
    gpu = worker("g1", gpu=1.0)
    turns: list[float] = []

    def turn(now: float) -> None:
        turns.append(now)
        if len(turns) == 4:
            cluster._workers["g1"] = gpu
            cluster.happenings.put(Joined(facts=gpu))
        if len(turns) == 6:
            order, left = cluster._hanging.popitem()[1]
            cluster._end(order, "w1", {"left": left, "reason": "", "died": True})

    cluster.watch_roster = turn  # type: ignore[method-assign]
    campaign.run()
    assert judged(bench.record()) == dict.fromkeys(SUITE, "passed")
    assert len([note for note in bench.seen.notes if note.startswith("not run: ")]) == 1


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
    assert campaign.cancelling.because == "someone asked for it"


def test_sessions_that_were_starting_on_a_lost_worker_are_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers for them: the end of the campaign would wait a minute for each."""
    # Nobody comes near, however slow the machine is.
    monkeypatch.setattr(campaigns, "FINISH_SECONDS", 20.0)
    campaign = bench.campaign(Script())
    bench.known(campaign)
    cluster, send = bench.cluster, bench.cluster.send
    gone = bench.workers[1]

    def send_some(order: SlotOrder, name: str) -> None:
        if name != gone.name or order.act is not Act.WARM:
            send(order, name)

    cluster.send = send_some  # type: ignore[method-assign]
    cluster.happenings.put(Left(worker=gone.name, incarnation=gone.incarnation, reason="it froze"))
    campaign.run()
    campaign.finish()
    assert judged(bench.record()) == dict.fromkeys(SUITE, "passed")
    assert not [note for note in bench.seen.notes if "did not end in time" in note]


def test_a_worker_that_comes_to_an_end_is_not_made_ready(bench: Bench) -> None:
    """The campaign would wait for sessions that nobody needs, and leave them behind."""
    campaign = bench.campaign(Script())
    bench.known(campaign)
    campaign.run()
    bench.cluster.happenings.put(Joined(facts=worker("w3")))
    campaign.finish()
    assert {name for order, name in bench.cluster.orders if order.act is Act.WARM} == {"w1", "w2"}


def test_a_disk_that_takes_nothing_at_the_end_does_not_end_it_in_a_traceback(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the campaign had asked of its fleet cannot be taken back: that goes out of date."""

    def refuse(self: Publisher) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Publisher, "withdraw", refuse)
    assert judged(bench.collected()) == dict.fromkeys(SUITE, "passed")


def test_who_looks_on_from_outside_is_told_how_far_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the file that says what is left: as its judgement will have it."""
    told: list[Reached] = []

    def keep(
        self: Publisher, now: float, remaining: object, reached: Callable[[], Reached]
    ) -> None:
        told.append(reached())

    monkeypatch.setattr(Publisher, "refresh", keep)
    bench.rules = Rules(retries=1, hedge=False)
    outcomes = {FIRST: ("failed", "passed"), SUITE[1]: ("failed", "failed")}
    campaign = bench.campaign(Script(outcomes=outcomes))
    bench.known(campaign)
    campaign.run()
    assert {each.total for each in told} == {len(SUITE)}
    assert told[-1] == Reached(
        phase="run",
        total=len(SUITE),
        counts={"passed": len(SUITE) - 2, "flaky": 1, "failed": 1},
        slots=campaign.slots,
    )


def test_who_still_collects_is_ended_with_the_campaign(bench: Bench) -> None:
    """-x has its failure while the suite is being collected: nobody waits for the rest of it."""
    bench.rules = Rules(maxfail=1, hedge=False)
    campaign = bench.campaign(Script(suite=SUITE, outcomes={FIRST: ("failed",)}))
    cluster = bench.cluster

    def collect_on(order: SlotOrder, name: str) -> None:
        told = {"k": "item", "id": FIRST, "file": "test_a.py", "marks": []}
        cluster._say(order, name, told)  # type: ignore[arg-type]

    cluster._collect = collect_on  # type: ignore[method-assign]
    campaign.search.collect()
    campaign.run()
    assert judged(bench.record()) == {FIRST: "failed"}
    assert (campaign.search.name, True) in cluster.stopped
    assert not campaign.search.active


def test_what_cannot_be_killed_does_not_keep_a_cancelled_campaign(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that it works on, and its machine cannot end it: that is said, and it is left."""
    monkeypatch.setattr(cancelling, "CANCEL_SECONDS", 0.2)
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS,)}))
    bench.known(campaign)
    bench.cluster.stop = lambda *_, **__: None  # type: ignore[method-assign]
    bench.seen.running = lambda case, slot: campaign.cancelling.ask("somebody asked")  # type: ignore[method-assign]
    campaign.run()
    assert judged(bench.record())[FIRST] == "not-run"
    assert "left behind" in bench.seen.notes[-1]


def test_a_flood_of_words_does_not_keep_a_campaign_from_all_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More is always at hand: results are committed and a cancel is obeyed nevertheless."""
    monkeypatch.setattr(campaigns, "LISTEN_SECONDS", 0.01)
    bench.job_fields["deadline_at"] = time.monotonic() + 0.5
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS,)}))
    bench.known(campaign)
    cluster, said = bench.cluster, bench.cluster.happenings
    ends = time.monotonic() + 60

    def one(**_: object) -> Happening:
        if time.monotonic() > ends:
            raise AssertionError("nothing but words for so long")
        word = {"k": "pulse", "b": "b1", "e": bench.ledger.epoch, "w": "w1", "i": "life-0", "s": 0}
        return Messages(messages=(word,)) if said.empty() else said.get_nowait()

    cluster.happenings = SimpleNamespace(get=one, get_nowait=one, put=said.put)  # type: ignore[assignment]
    campaign.run()
    assert campaign.cancelling.deadline_passed


@pytest.mark.parametrize(("first", "second"), [("passed", "failed"), ("failed", "passed")])
def test_an_execution_too_many_does_not_change_a_verdict(
    bench: Bench, first: str, second: str
) -> None:
    """Its batch was told to leave the case to another, and had begun it: the first word counts."""
    campaign = bench.campaign(Script())
    bench.known(campaign)
    cluster = bench.cluster

    def run_twice(order: SlotOrder, name: str) -> None:
        assert order.order is not None
        for work in order.order.work:
            cluster._say(order, name, {"k": "start", "id": work.id, "t": 1.0})
            outcome = first if work.id == FIRST else "passed"
            done = ended(work.id, outcome=outcome, started=1.0, finished=2.0, message="")
            cluster._say(order, name, done)
            if work.id == FIRST:
                late = {**done, "outcome": second}
                late.update(b="b99", e=order.epoch, w="w9", i="life-9", s=0)
                cluster.happenings.put(Messages(messages=(late,)))
        cluster._end(order, name, {"left": [], "reason": "", "died": False})

    cluster._run = run_twice  # type: ignore[method-assign]
    campaign.run()
    record = bench.record()
    assert judged(record) == {**dict.fromkeys(SUITE, "passed"), FIRST: first}
    assert len(record.attempts[FIRST]) == 2


def test_a_late_word_of_an_execution_that_was_given_up_amends_nothing(bench: Bench) -> None:
    """Its worker was taken for lost: there is no result that a teardown could make worse."""
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS, "passed")}))
    bench.known(campaign)
    cluster = bench.cluster
    turns: list[float] = []

    def turn(now: float) -> None:
        if not cluster._hanging and not turns:
            return
        turns.append(now)
        if len(turns) == 1:
            order, _ = next(iter(cluster._hanging.values()))
            name = next(worker for sent, worker in cluster.orders if sent is order)
            facts = cluster._workers[name]
            reason = "it said nothing"
            left = Left(worker=name, incarnation=facts.incarnation, reason=reason)
            cluster.happenings.put(left)
            late = {"k": "late", "id": FIRST, "outcome": "error", "message": "spilt"}
            cluster._say(order, name, late)  # type: ignore[arg-type]
            cluster.happenings.put(Joined(facts=facts))

    cluster.watch_roster = turn  # type: ignore[method-assign]
    campaign.run()
    record = bench.record()
    assert record.problems == []
    assert judged(record) == dict.fromkeys(SUITE, "passed")
