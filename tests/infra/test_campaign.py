"""A campaign over a scripted cluster: what reaches the ledger, and how it comes to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_bench import FIRST, SUITE, Bench, judged, outcomes, worker

from proctor.infra.dispatching.batches import Batch, Rules, Slot
from proctor.infra.engine import outgoing, patience
from proctor.infra.engine.attempts import lost_attempt
from proctor.infra.engine.fakes import (
    DESELECTED,
    HANGS,
    KILLS_WORKER,
    NOT_FOUND,
    NOT_IMPORTABLE,
    SKIPS_ITSELF,
    FakeCluster,
    Script,
)
from proctor.infra.engine.happenings import Ended, Left
from proctor.infra.errors import (
    BadSetting,
    CollectionProblem,
    FleetUnavailable,
    InterpreterProblem,
    Unsatisfiable,
)
from proctor.infra.judge import judge_all
from proctor.infra.records import Case, Requirements
from proctor.infra.runners import shortages
from proctor.infra.runners.orders import Act, SlotOrder


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.ledger.abandon()


def test_what_is_collected_runs_once(bench: Bench) -> None:
    """Every case one attempt, sessions warmed before and torn down after, outboxes dropped."""
    record = bench.collected()
    assert judged(record) == dict.fromkeys(SUITE, "passed")
    assert bench.cluster.executions == dict.fromkeys(SUITE, 1)
    assert len(list(bench.cluster.sent(Act.WARM))) == 2
    assert len(list(bench.cluster.sent(Act.FINISH))) == 2
    assert bench.cluster.forgotten
    assert len({order.name for order, _ in bench.cluster.orders}) == len(bench.cluster.orders)


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
    assert "stopped after 1 failed cases" in again.stopped_because


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


def test_ids_that_are_gone_are_dropped(bench: Bench) -> None:
    """A stale inventory named it; it leaves no verdict."""
    campaign = bench.campaign(Script(outcomes={FIRST: (NOT_FOUND,)}))
    bench.known(campaign)
    campaign.run()
    record = bench.record()
    assert FIRST not in record.cases
    assert judged(record) == dict.fromkeys(SUITE[1:], "passed")


def test_ids_that_change_from_session_to_session_are_errors(bench: Bench) -> None:
    """Random values in them: what one session collected, no other can run."""
    campaign = bench.campaign(Script(suite=SUITE, outcomes={FIRST: (NOT_FOUND,)}))
    campaign.search.collect()
    campaign.run()
    record = bench.record()
    assert judged(record) == {FIRST: "error", **dict.fromkeys(SUITE[1:], "passed")}
    assert "has to be the same each time" in record.attempts[FIRST][0].message


def test_what_was_not_asked_for_and_is_gone_is_no_news(bench: Bench) -> None:
    """--lf with -k: of what is deselected in the end, nobody had been told."""
    campaign = bench.campaign(Script(suite=SUITE))
    bench.collection.only = frozenset({FIRST, SUITE[1]})
    cluster, say = bench.cluster, bench.cluster._end

    def deselect(order: SlotOrder, name: str, result: dict[str, object]) -> None:
        if order.act is Act.COLLECT:
            result["collected"] = {"file": None, "ids": [FIRST], "exit": 0}
        say(order, name, result)

    cluster._end = deselect  # type: ignore[method-assign, assignment]
    campaign.search.collect()
    campaign.run()
    assert judged(bench.record())[FIRST] == "passed"
    assert not set(bench.record().vanished) - {SUITE[1]}


def test_a_file_that_holds_more_has_the_suite_collected_anew(bench: Bench) -> None:
    """New cases run, old ones are not run twice, and it happens once."""
    more = (*SUITE, "test_a.py::test_new")
    holds = {file: [each for each in more if each.startswith(file)] for file in ("test_a.py",)}
    campaign = bench.campaign(Script(suite=more, holds=holds))
    bench.known(campaign)
    campaign.search.doubt()
    campaign.run()
    assert judged(bench.record()) == dict.fromkeys(more, "passed")
    assert bench.cluster.executions == dict.fromkeys(more, 1)
    assert len(list(bench.cluster.sent(Act.COLLECT))) == 1
    # For whoever resumes it in between.
    assert [name for name, _ in bench.record().phases] == ["collect", "run"]


def test_a_trusted_list_is_not_collected_anew(bench: Bench) -> None:
    """Single cases of a file were named: that it holds others is no news."""
    campaign = bench.campaign(Script(holds={"test_a.py": [*SUITE, "test_a.py::test_other"]}))
    bench.known(campaign)
    campaign.run()
    assert judged(bench.record()) == dict.fromkeys(SUITE, "passed")
    assert not list(bench.cluster.sent(Act.COLLECT))


def test_a_file_that_a_session_cannot_import_costs_its_own_cases(bench: Bench) -> None:
    """Whoever collected could import it: its cases are errors, and all others run."""
    broken = dict.fromkeys(SUITE[:4], (NOT_IMPORTABLE,))
    record = bench.collected(outcomes=broken)
    told = {**dict.fromkeys(SUITE[:4], "error"), **dict.fromkeys(SUITE[4:], "passed")}
    assert judged(record) == told


def test_a_file_that_another_session_can_import_is_tried_there(bench: Bench) -> None:
    """As whatever else fails, if retries are asked for."""
    bench.rules = Rules(retries=1, hedge=False)
    record = bench.collected(outcomes={FIRST: (NOT_IMPORTABLE, "passed")})
    assert outcomes(record, FIRST) == ["error", "passed"]


def test_a_file_of_an_inventory_that_cannot_be_imported_is_collected_anew(bench: Bench) -> None:
    """If pytest cannot collect it any more, the campaign ends as pytest would."""
    script = Script(
        suite=SUITE[4:],
        uncollectable={"test_a.py": "E   ImportError: gone"},
        outcomes=dict.fromkeys(SUITE[:4], (NOT_IMPORTABLE,)),
    )
    campaign = bench.campaign(script)
    bench.known(campaign)
    campaign.search.doubt()
    with pytest.raises(CollectionProblem, match=r"test_a\.py cannot be collected: ImportError"):
        campaign.run()
    # The file is told, and no case of it: to pytest there is none.
    assert not bench.record().attempts.keys() & set(SUITE[:4])


def test_a_file_of_an_inventory_that_pytest_can_collect_costs_its_own_cases(bench: Bench) -> None:
    """What a session had said of them counts then, each once."""
    campaign = bench.campaign(
        Script(suite=SUITE, outcomes=dict.fromkeys(SUITE[:4], (NOT_IMPORTABLE,)))
    )
    bench.known(campaign)
    campaign.search.doubt()
    campaign.run()
    record = bench.record()
    told = {**dict.fromkeys(SUITE[:4], "error"), **dict.fromkeys(SUITE[4:], "passed")}
    assert judged(record) == told
    assert [outcomes(record, case) for case in SUITE[:4]] == [["error"]] * 4


@pytest.mark.parametrize("collects", [True, False])
def test_a_case_that_is_gone_when_it_is_to_run_again_ends_so(bench: Bench, collects: bool) -> None:
    """What it came to before stands, and nobody asks for it for ever."""
    bench.rules = Rules(retries=2, hedge=False)
    script = Script(suite=SUITE, outcomes={FIRST: ("failed", NOT_FOUND)})
    campaign = bench.campaign(script)
    if collects:
        campaign.search.collect()
    else:
        bench.known(campaign)
    campaign.run()
    record = bench.record()
    assert outcomes(record, FIRST) == ["failed"]
    assert judged(record) == {**dict.fromkeys(SUITE, "passed"), FIRST: "failed"}


def test_a_case_that_is_deselected_only_where_it_is_to_run_is_an_error(bench: Bench) -> None:
    """A hook that looks at the whole list sees one file there: nothing is left out silently."""
    record = bench.collected(outcomes={FIRST: (DESELECTED,)})
    assert judged(record) == {**dict.fromkeys(SUITE, "passed"), FIRST: "error"}
    assert "deselected when its file is loaded alone" in record.attempts[FIRST][0].message


def test_a_file_that_skips_itself_only_where_it_is_to_run_is_skipped(bench: Bench) -> None:
    """As with a module that one worker has not got; the rest of the suite has other sessions."""
    record = bench.collected(outcomes=dict.fromkeys(SUITE[:4], (SKIPS_ITSELF,)))
    told = {**dict.fromkeys(SUITE[:4], "skipped"), **dict.fromkeys(SUITE[4:], "passed")}
    assert judged(record) == told
    assert record.attempts[FIRST][0].message == "not here"


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


def misread(*ids: str) -> Callable[[str, object], tuple[Requirements, None]]:
    """Needs as stated, but for those of some cases."""

    def needs_of(case: str, marks: object) -> tuple[Requirements, None]:
        if case in ids:
            raise BadSetting(f"{case}: unknown requirement 'gpus'", remedy="did you mean gpu?")
        return Requirements(), None

    return needs_of


def test_needs_that_cannot_be_read_refuse_the_campaign_all_at_once(bench: Bench) -> None:
    """Each is told, and nothing has run meanwhile."""
    campaign = bench.campaign(Script(suite=SUITE))
    bench.collection.needs_of = misread(FIRST, SUITE[5])
    campaign.search.collect()
    with pytest.raises(BadSetting) as told:
        campaign.run()
    assert told.value.message.splitlines() == [
        "what 2 cases need cannot be read:",
        *(f"  {each}: unknown requirement 'gpus'; did you mean gpu?" for each in (FIRST, SUITE[5])),
    ]
    assert bench.cluster.executions == {}


def test_what_runs_when_needs_cannot_be_read_ends_after_its_case(bench: Bench) -> None:
    """Another case of its batch is not begun: most likely the campaign is refused."""
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS,)}))
    cluster = bench.cluster
    bench.collection.needs_of = misread(SUITE[5])

    def collect_slowly(order: SlotOrder, name: str) -> None:
        told = {"k": "item", "id": FIRST, "file": "test_a.py", "marks": []}
        cluster._say(order, name, told)  # type: ignore[arg-type]
        collecting.append((order, name))

    collecting: list[tuple[SlotOrder, str]] = []
    cluster._collect = collect_slowly  # type: ignore[method-assign]

    def turn(now: float) -> None:
        if cluster._hanging and collecting:
            order, name = collecting.pop()
            told = {"k": "item", "id": SUITE[5], "file": "test_b.py", "marks": []}
            cluster._say(order, name, told)  # type: ignore[arg-type]
            found = {"k": "collected", "file": None, "ids": [FIRST, SUITE[5]], "exit": 0}
            cluster._end(order, name, {"reason": "collected", "collected": found})

    cluster.watch_roster = turn  # type: ignore[method-assign]
    campaign.search.collect()
    with pytest.raises(BadSetting, match="gpus"):
        campaign.run()
    (batch,) = bench.record().batches
    assert (batch.id, False) in cluster.stopped


def test_needs_of_what_is_deselected_may_be_anything(bench: Bench) -> None:
    """They are found before it is known what -k leaves."""
    campaign = bench.campaign(Script(suite=SUITE))
    bench.collection.needs_of = misread(FIRST)
    cluster, say = bench.cluster, bench.cluster._end

    def deselect(order: SlotOrder, name: str, result: dict[str, object]) -> None:
        if order.act is Act.COLLECT:
            result["collected"] = {"file": None, "ids": list(SUITE[1:]), "exit": 0}
        say(order, name, result)

    cluster._end = deselect  # type: ignore[method-assign, assignment]
    campaign.search.collect()
    campaign.run()
    assert judged(bench.record()) == dict.fromkeys(SUITE[1:], "passed")


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
    # Not for ever, if nobody ends it.
    bench.job_fields["deadline_at"] = time.monotonic() + 60
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
