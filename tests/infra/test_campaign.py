"""A campaign over a scripted cluster: what reaches the ledger, and how it comes to its end."""

from __future__ import annotations

import threading
import time

import pytest
from scripted_bench import FIRST, SUITE, Bench, judged, outcomes, worker

from proctor.infra.dispatching.batches import Batch, Rules, Slot
from proctor.infra.engine import outgoing, patience
from proctor.infra.engine.attempts import lost_attempt
from proctor.infra.engine.fakes import (
    HANGS,
    KILLS_WORKER,
    FakeCluster,
    Script,
)
from proctor.infra.engine.happenings import Ended, Left
from proctor.infra.errors import (
    CollectionProblem,
    FleetUnavailable,
    InterpreterProblem,
    Unsatisfiable,
)
from proctor.infra.judge import judge_all
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.records import Case, Requirements
from proctor.infra.runners import shortages
from proctor.infra.runners.orders import Act, SlotOrder


def test_what_is_collected_runs_once(bench: Bench) -> None:
    """Every case one attempt, sessions warmed before and torn down after, outboxes dropped."""
    record = bench.collected()
    assert judged(record) == dict.fromkeys(SUITE, "passed")
    assert bench.cluster.executions == dict.fromkeys(SUITE, 1)
    assert len(list(bench.cluster.sent(Act.WARM))) == 2
    assert len(list(bench.cluster.sent(Act.FINISH))) == 2
    assert bench.cluster.forgotten
    assert len({order.name for order, _ in bench.cluster.orders}) == len(bench.cluster.orders)


def test_more_slots_than_cores_start_few_sessions_before_there_is_work(bench: Bench) -> None:
    """Three hundred of three cases would only keep each other from starting."""
    bench.workers = [worker("w1", slots=300, cpu=300.0, machine_cores=2)]
    record = bench.collected()
    assert judged(record) == dict.fromkeys(SUITE, "passed")
    assert len(list(bench.cluster.sent(Act.WARM))) == 2 * outgoing.WARM_A_CORE


@pytest.mark.parametrize("resumed", [False, True])
def test_slots_that_had_nothing_to_do_have_no_session_to_end(bench: Bench, resumed: bool) -> None:
    """But for those of a life before this one, which may have used any."""
    bench.workers = [worker("w1", slots=300, cpu=300.0, machine_cores=2)]
    if resumed:
        bench.ledger.abandon()
        bench.ledger = Ledger.open(bench.directory, campaign="c1")
    bench.collected()
    orders = [order for order, _ in bench.cluster.orders]
    used = {order.slot for order in orders if order.act is not Act.FINISH}
    assert len(used) < 20
    ended = [order.slot for order in orders if order.act is Act.FINISH]
    assert ended == (list(range(300)) if resumed else sorted(used))


def test_a_dying_worker_costs_one_execution(bench: Bench) -> None:
    """The running case is lost and runs again; the rest of its batch is not marked."""
    record = bench.collected(outcomes={FIRST: (KILLS_WORKER, "passed")})
    assert outcomes(record, FIRST) == ["infra-lost", "passed"]
    assert judged(record) == dict.fromkeys(SUITE, "passed")
    assert sum(len(each) for each in record.attempts.values()) == len(SUITE) + 1
    assert [event.event for event in record.workers].count("lost") == 1


def test_a_case_that_loses_every_worker_ends_as_lost(bench: Bench) -> None:
    """Its own budget is spent; everybody else passes."""
    record = bench.collected(outcomes={FIRST: (KILLS_WORKER,)})
    assert judged(record) == {**dict.fromkeys(SUITE, "passed"), FIRST: "infra-lost"}
    assert outcomes(record, FIRST) == ["infra-lost"] * (bench.rules.infra_retries + 1)


def test_failures_run_again_as_often_as_asked(bench: Bench) -> None:
    """A pass on the way makes it flaky, and it is not run once more."""
    bench.rules = Rules(retries=2, hedge=False)
    record = bench.collected(outcomes={FIRST: ("failed", "passed"), SUITE[1]: ("crashed",)})
    assert outcomes(record, FIRST) == ["failed", "passed"]
    assert outcomes(record, SUITE[1]) == ["crashed"] * 3
    assert judged(record)[FIRST] == "flaky"


def test_maxfail_ends_what_runs_after_its_case(bench: Bench) -> None:
    """Batches in flight are stopped, not killed; what was not begun is not run."""
    bench.rules = Rules(maxfail=1, hedge=False)
    bench.workers = [worker("w1")]
    suite = tuple(f"test_a.py::test_{n}" for n in range(3000))
    record = bench.collected(suite=suite, outcomes={suite[0]: ("failed",)})
    told = judged(record)
    assert told[suite[0]] == "failed"
    assert "not-run" in told.values()
    assert all(not kill for _, kill in bench.cluster.stopped)


def test_a_muted_failure_stops_nothing(bench: Bench) -> None:
    """What cannot fail the campaign does not end it early: nothing would have failed, or run."""
    bench.rules = Rules(maxfail=1, hedge=False)
    bench.job_fields["is_muted"] = lambda case: case == FIRST
    bench.workers = [worker("w1")]
    suite = tuple(f"test_a.py::test_{n}" for n in range(3000))
    record = bench.collected(suite=suite, outcomes={FIRST: ("failed",)})
    told = judged(record)
    assert told.pop(FIRST) == "muted"
    assert set(told.values()) == {"passed"}


def test_a_resumed_campaign_has_had_the_failures_it_had(bench: Bench) -> None:
    """Killed between the failure that was to end it and its last line, it ends now."""
    bench.rules = Rules(maxfail=1, hedge=False)
    bench.workers = [worker("w1")]
    first = bench.campaign(Script(outcomes={FIRST: ("failed",)}))
    bench.known(first, SUITE[:1])
    first.run()
    past = dict(bench.record().attempts)
    again = bench.campaign(Script())
    cases = [Case(id=each, group="test_a.py", index=n) for n, each in enumerate(SUITE[:4])]
    bench.collection.restore(cases)
    again.add_known(cases, past)
    again.run()
    assert bench.cluster.executions == {}
    assert "stopped after 1 failed case (-x)" in again.stopped_because


def test_cancelling_kills_and_blames_nobody(bench: Bench) -> None:
    """What hung is cancelled; it will run when the campaign is resumed."""
    (bench.directory / "cancel").touch()
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS,)}))
    bench.known(campaign)
    campaign.run()
    record = bench.record()
    assert campaign.cancelling.because == "someone asked for it"
    assert outcomes(record, FIRST) in ([], ["cancelled"])
    assert judged(record)[FIRST] == "not-run"


def test_a_deadline_cancels(bench: Bench) -> None:
    """A hanging case does not outlive the campaign's deadline."""
    bench.job_fields["deadline_at"] = time.monotonic() + 0.2
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS,)}))
    bench.known(campaign)
    campaign.run()
    assert campaign.cancelling.deadline_passed
    assert judged(bench.record())[FIRST] == "not-run"


def test_a_stop_that_came_too_early_is_said_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that Dask had not begun did not hear the first one."""
    bench.job_fields["deadline_at"] = time.monotonic() + 0.2
    monkeypatch.setattr(outgoing, "INSIST_SECONDS", 0.0)
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS,)}))
    heard = bench.cluster.stop
    said: list[str] = []

    def deaf_at_first(batch: str, worker: str, *, kill: bool) -> None:
        said.append(batch)
        if said.count(batch) > 3:
            heard(batch, worker, kill=kill)

    bench.cluster.stop = deaf_at_first  # type: ignore[method-assign]
    bench.known(campaign)
    campaign.run()
    assert campaign.cancelling.deadline_passed


@pytest.mark.parametrize(
    ("kind", "times", "raised"),
    [("InterpreterProblem", 2, InterpreterProblem), ("CollectionProblem", 2, CollectionProblem)],
)
def test_a_problem_everywhere_is_raised_at_once(
    bench: Bench, kind: str, times: int, raised: type[Exception]
) -> None:
    """No pytest, or a broken conftest.py: trying again would not help."""
    with pytest.raises(raised, match="cannot be"):
        bench.collected(problems=[(kind, "it cannot be")] * times)


def test_a_resumed_campaign_knows_that_sessions_had_started(bench: Bench) -> None:
    """One that is killed as it starts ends no campaign that had results before."""
    first = bench.campaign(Script())
    bench.known(first)
    first.run()
    past = {FIRST: bench.record().attempts[FIRST]}
    problems = [("InterpreterProblem", "was killed by SIGKILL")] * 3
    fresh = bench.campaign(Script(problems=problems))
    bench.collection.restore(list(bench.record().cases.values()))
    fresh.add_known(list(bench.record().cases.values()), past)
    fresh.run()
    assert bench.cluster.executions
    assert "was killed by SIGKILL" in bench.seen.notes[0]


def test_one_bad_start_is_tried_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A problem of one worker is noted, and the campaign passes."""
    record = bench.collected(problems=[("InfrastructureProblem", "no room")] * 3)
    assert judged(record) == dict.fromkeys(SUITE, "passed")
    assert "no room" in bench.seen.notes[0]
    # Who looks on sees the notes: a log would show each once more in the same terminal.
    assert not any("no room" in line for line in caplog.messages)


def test_collecting_is_tried_again_elsewhere(bench: Bench) -> None:
    """The third order fails: it is the collection, and it gets a new name."""
    bench.job_fields["warm"] = False
    record = bench.collected(problems=[("InfrastructureProblem", "no room")])
    names = [order.name for order in bench.cluster.sent(Act.COLLECT)]
    assert len(set(names)) == len(names) == 2
    assert judged(record) == dict.fromkeys(SUITE, "passed")


def test_needs_beyond_every_worker_are_refused(bench: Bench) -> None:
    """At once, with the nearest miss."""
    bench.needs = Requirements(gpu=2)
    bench.workers = [worker("w1"), worker("w2", gpu=1.0)]
    with pytest.raises(Unsatisfiable, match="need gpu=2, the largest worker has gpu=1"):
        bench.collected()


def test_an_empty_fleet_is_not_waited_for_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the command that goes on with it."""
    monkeypatch.setattr(patience, "EMPTY_FLEET_SECONDS", 0.1)
    bench.workers = []
    with pytest.raises(FleetUnavailable, match="proctor resume c1"):
        bench.collected()


def test_muted_cases_are_told_to_the_ledger(bench: Bench) -> None:
    """They run and are reported, and their failure is muted."""
    bench.job_fields["is_muted"] = lambda case: case == FIRST
    record = bench.collected(outcomes={FIRST: ("failed",)})
    assert judged(record)[FIRST] == "muted"


def test_the_same_record_twice_counts_once(bench: Bench) -> None:
    """Heard live and again from an outbox."""
    campaign = bench.campaign(Script())
    bench.known(campaign)
    campaign.run()
    (again,) = bench.record().attempts[FIRST]
    fresh = bench.campaign(Script())
    bench.collection.restore(list(bench.record().cases.values()))
    fresh.add_known(list(bench.record().cases.values()), dict(bench.record().attempts))
    fresh.run()
    assert bench.cluster.executions == {}
    assert [each.id for each in bench.record().attempts[FIRST]] == [again.id]


def test_a_lost_attempt_names_its_execution() -> None:
    """Its id is that of the record that would have come, so that both never count."""
    case = Case(id=FIRST, group="test_a.py", index=0)
    batch = Batch(id="b7", slot=Slot("w1", 0), cases=(case,), budget_seconds=1, finishes=(), why="")
    lost = lost_attempt(
        batch, case, epoch=3, incarnation="life-0", started=1.0, now=2.0, why="it died"
    )
    assert lost.id == f"3.b7.{FIRST}"
    assert (lost.outcome, lost.worker, lost.message) == ("infra-lost", "w1", "it died")


def test_a_worker_that_is_short_of_memory_is_left_alone_for_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cases run elsewhere or later, nobody is blamed, nothing is lost, and it is said once."""
    monkeypatch.setattr(shortages, "RETRY_SECONDS", 0.05)
    record = bench.collected(short={"w1": 2, "w2": 3})
    assert set(judge_all(record.cases.values(), record.attempts, record.muted)) == set(SUITE)
    assert [str(each.outcome) for tries in record.attempts.values() for each in tries] == [
        "passed"
    ] * len(SUITE)
    told = [note for note in bench.seen.notes if "nothing new for now" in note]
    assert sorted(told) == [
        f"worker {name} is given nothing new for now: nothing is left" for name in ("w1", "w2")
    ]


def test_a_worker_that_dies_right_after_it_was_short_of_memory(bench: Bench) -> None:
    """What it said of the batch is heard after the batch went with it: nobody is kept empty."""
    campaign = bench.campaign(Script(short={"w1": 1}))
    bench.known(campaign)
    cluster, send = bench.cluster, bench.cluster.send

    def send_and_die(order: SlotOrder, worker: str) -> None:
        dies = order.act is Act.RUN and cluster._short.get(worker)
        send(order, worker)
        if dies:
            cluster._lose(worker)

    cluster.send = send_and_die  # type: ignore[method-assign]
    campaign.run()
    campaign.finish()
    record = bench.record()
    assert judged(record) == dict.fromkeys(SUITE, "passed")
    assert not [note for note in bench.seen.notes if "nothing new for now" in note]
    assert [event.worker for event in record.workers if event.event == "lost"] == ["w1"]


def test_a_batch_that_is_lost_before_its_worker_makes_room_for_its_case(bench: Bench) -> None:
    """Dask tells of the batch first: the dead worker is sent nothing, another one's batch ends."""
    campaign = bench.campaign(
        Script(suite=SUITE, outcomes=dict.fromkeys((SUITE[0], SUITE[4]), (HANGS, "passed")))
    )
    bench.known(campaign)
    cluster = bench.cluster
    ended: list[str] = []
    sent_at_loss: list[int] = []

    def die(case: Case, slot: Slot) -> None:
        if len(cluster._hanging) < 2 or sent_at_loss:
            return
        batch = next(name for name in cluster._hanging if _worker_of(cluster, name) == "w1")
        sent_at_loss.append(len([each for each in cluster.orders if each[1] == "w1"]))
        cluster.happenings.put(Ended(batch=batch, result={}, failure="the batch was lost"))
        threading.Timer(0.3, lost).start()

    def lost() -> None:
        sent_at_loss.append(len([each for each in cluster.orders if each[1] == "w1"]))
        facts = cluster._workers["w1"]
        cluster.happenings.put(Left(worker="w1", incarnation=facts.incarnation, reason="died"))

    def stop(batch: str, worker: str, *, kill: bool) -> None:
        ended.append(worker)
        order, left = cluster._hanging.pop(batch, (None, []))
        if order is not None:
            cluster._end(order, worker, {"left": left, "reason": "", "died": False})

    bench.seen.running = die  # type: ignore[method-assign]
    cluster.stop = stop  # type: ignore[method-assign]
    campaign.run()
    assert set(ended) == {"w2"}
    # Nothing was sent to it in between.
    assert sent_at_loss[0] == sent_at_loss[1]
    record = bench.record()
    assert set(judged(record).values()) == {"passed"}
    assert outcomes(record, SUITE[0]) == ["infra-lost", "passed"]


def _worker_of(cluster: FakeCluster, name: str) -> str:
    return next(worker for order, worker in cluster.orders if order.name == name)
