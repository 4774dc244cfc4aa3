"""Journals in the store: each line once, whatever dies or comes twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from campaign_journals import JournalWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_parts import append, campaign, rebuilt, rows
from ledger_parts import attempt, case, open_ledger
from store_dump import dump

from proctor.infra.judge import judge_record
from proctor.infra.ledgers.ledger import read_campaign
from proctor.infra.records import Outcome
from proctor.monitoring import ingest as ingest_module
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store, Waiting


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_campaign_arrives_whole(store):
    """Its cases, attempts, verdicts and figures are in the store after one ingest."""
    JournalWriter(campaign(store, "c1"), began=1_700_000_000.0, total=6, bad=3).finish()
    done = ingest(store)
    assert (done.attempts, done.campaigns, done.problems) == (6, ["c1"], [])
    assert rows(store, "SELECT state, cases, passed, failed, slots, exit_code FROM campaigns") == [
        ("completed", 6, 4, 2, 2, 1)
    ]
    assert rows(
        store,
        "SELECT worker, worker_class, attempts FROM worker_figures "
        "JOIN workers USING (worker_no) GROUP BY ALL",
    ) == [("w1", "", 6)]


def test_nothing_is_taken_in_twice(store):
    """A second ingest without news changes nothing."""
    JournalWriter(campaign(store, "c1"), began=1e9).finish()
    ingest(store)
    before = dump(store)
    assert ingest(store).lines == 0
    assert dump(store) == before


def test_piece_by_piece_is_the_same_as_at_once(store, monkeypatch):
    """However often one looks while a campaign runs, the store ends up as a rebuilt one."""
    monkeypatch.setattr(ingest_module, "SORT_AT", 3)
    writers = [
        JournalWriter(campaign(store, f"c{number}"), began=1e9 + number, total=5, bad=2)
        for number in range(3)
    ]
    for _ in zip(*(writer.steps() for writer in writers), strict=True):
        ingest(store, clock=lambda: 1e9, lines_at_once=7)
    piecemeal = dump(store)
    assert len(piecemeal["results"]) == 15
    assert piecemeal == rebuilt(store)


def test_turns_that_end_at_once_come_to_the_same(store, monkeypatch):
    """However little a turn takes in, the next goes on from there, and the last one sorts."""
    monkeypatch.setattr(ingest_module, "SORT_AT", 3)
    monkeypatch.setattr(ingest_module, "BYTES_AT_ONCE", 300)
    for number in range(3):
        JournalWriter(campaign(store, f"c{number}"), began=1e9).finish()
    path = store.state / "recorders" / "fleet" / "1.jsonl"
    path.parent.mkdir(parents=True)
    append(path, *({"k": "usage", "t": 5.0, "worker": f"w{number}"} for number in range(9)))
    done = ingest(store, hold_seconds=-1.0)
    assert (done.attempts, done.campaigns) == (18, ["c0", "c1", "c2"])
    assert rows(store, "SELECT count(*) FROM usage_samples") == [(9,)]
    assert rows(store, "SELECT count(*) FROM sorted_campaigns") == [(3,)]
    assert dump(store) == rebuilt(store)


def test_figures_are_of_the_whole_campaign_when_it_came_in_parts(store):
    """A campaign that is larger than one transaction is summed up over all of them."""
    JournalWriter(campaign(store, "c1"), began=1e9, total=40).finish()
    ingest(store, lines_at_once=9)
    assert rows(store, "SELECT attempts, cases FROM campaigns") == [(40, 40)]


def test_verdicts_are_those_of_the_judge(store):
    """Lost, repeated, muted and vanished cases are judged as infra/judge.py judges them."""
    ledger = open_ledger(campaign(store, "c1"))
    outcomes = {
        0: ["passed"], 1: ["failed", "passed"], 2: ["failed", "failed"], 3: ["infra-lost"],
        4: ["cancelled"], 5: [], 6: ["crashed", "infra-lost"], 7: ["failed", "passed"], 8: [],
        9: ["timed-out", "skipped"], 10: ["out-of-memory", "xfailed"], 11: ["xpassed"],
        12: ["cancelled"], 13: [], 14: ["cancelled"], 15: [],
    }  # fmt: skip
    for number in outcomes:
        ledger.case(case(number))
    ledger.muted(case(7).id, reason="known")
    ledger.unmet(case(14), reason="needs gpu=1")
    for number, seen in outcomes.items():
        for place, outcome in enumerate(seen):
            ledger.attempt(
                attempt(100 * number + place, outcome, of=number, message=f"m{number}.{place}")
            )
    for number in (4, 13, 15):
        ledger.unmet(case(number), reason=f"needs gpu={number}")
    for number in (8, 15):
        ledger.vanished(case(number), reason="gone")
    ledger.close()
    ingest(store)
    assert _stored_verdicts(store) == _judged(campaign(store, "c1"))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    told=st.lists(
        st.one_of(
            st.tuples(st.just("case"), st.integers(0, 3)),
            st.tuples(st.just("vanished"), st.integers(0, 3)),
            st.tuples(st.just("muted"), st.integers(0, 3)),
            st.tuples(st.just("unmet"), st.integers(0, 3)),
            st.tuples(
                st.just("attempt"), st.integers(0, 3), st.sampled_from(Outcome), st.integers(0, 9)
            ),
            st.tuples(st.just("amend"), st.integers(0, 3), st.sampled_from(Outcome)),
            st.tuples(st.just("look")),
        ),
        max_size=25,
    )
)
def test_whatever_is_told_verdicts_are_those_of_the_judge(tmp_path_factory, told):
    """Any order of cases, attempts, amendments, mutes, and looks between them."""
    store = Store(tmp_path_factory.mktemp("state"))
    ledger = open_ledger(campaign(store, "c1"))
    for number, (kind, *facts) in enumerate(told):
        match kind:
            case "case":
                ledger.case(case(facts[0]))
            case "vanished":
                ledger.vanished(case(facts[0]), reason="gone")
            case "muted":
                ledger.muted(case(facts[0]).id, reason="known")
            case "unmet":
                ledger.unmet(case(facts[0]), reason=f"needs gpu={number}")
            case "attempt":
                of, outcome, name = facts
                ledger.attempt(attempt(name, outcome, of=of, message=f"m{number}"))
            case "amend":
                ledger.amend(case=case(facts[0]).id, outcome=facts[1], message=f"late {number}")
            case _:
                ledger.commit()
                ingest(store)
    ledger.close()
    ingest(store)
    assert _stored_verdicts(store) == _judged(campaign(store, "c1"))
    record = read_campaign(campaign(store, "c1"))
    stored = {
        row[0]: row[1:] for row in rows(store, "SELECT attempt, outcome, message FROM results")
    }
    assert stored == {
        each.id: (each.outcome.value, each.message)
        for several in record.attempts.values()
        for each in several
    }


def test_a_case_that_no_worker_could_run_has_no_attempt(store):
    """However it was written: in a line of its own, or as an attempt by earlier versions."""
    ledger = open_ledger(campaign(store, "c1"))
    for number in range(3):
        ledger.case(case(number))
    ledger.attempt(attempt(0))
    ledger.unmet(case(1), reason="needs gpu=1")
    ledger.attempt(attempt(2, "cancelled", of=2, batch="unmet", message="needs gpu=2"))
    ledger.close()
    ingest(store)
    assert rows(store, "SELECT case_id FROM results") == [(case(0).id,)]
    assert rows(store, "SELECT attempts, cases, not_run FROM campaigns") == [(1, 3, 2)]
    assert rows(store, "SELECT event, reason FROM case_events ORDER BY reason") == [
        ("unmet", "needs gpu=1"),
        ("unmet", "needs gpu=2"),
    ]
    assert _stored_verdicts(store) == _judged(campaign(store, "c1"))


def _stored_verdicts(store: Store):
    found = rows(
        store,
        "SELECT case_id, judgement, attempts, decided_by, message, seconds FROM case_results",
    )
    return {row[0]: row[1:] for row in found}


def _judged(directory: Path):
    record = read_campaign(directory)
    return {
        verdict.case: (
            verdict.judgement.value,
            verdict.attempts,
            verdict.decided_by,
            verdict.message,
            verdict.wall_seconds,
        )
        for verdict in judge_record(record).values()
    }


def test_a_campaign_that_stopped_is_interrupted(store):
    """It says no last word, but its lease runs out: the next ingest notices, without any line."""
    ledger = open_ledger(campaign(store, "c1"))
    ledger.case(case(0))
    ledger.commit()
    ingest(store)
    assert rows(store, "SELECT state FROM campaigns") == [("running",)]
    ledger.abandon()
    ingest(store)
    assert rows(store, "SELECT state FROM campaigns") == [("interrupted",)]


def test_other_recorders_have_journals_of_their_own(store):
    """Samples, decisions, grades, faults and findings; the newest word on a finding counts."""
    path = store.state / "recorders" / "fleet" / "1.jsonl"
    path.parent.mkdir(parents=True)
    append(
        path,
        {"k": "usage", "t": 1.0, "worker": "w", "class": "gpu", "cpu": 4, "cpu_used": 2.5},
        {"k": "decision", "t": 2.0, "id": "d1", "class": "gpu", "from": 1, "to": 3,
         "reason": "demand", "inputs": {"demand": 120}},
        {"k": "grade", "t": 9.0, "decision": "d1", "grade": "good", "effect_seconds": 4.0},
        {"k": "fault", "t": 3.0, "id": "f1", "fault": "kill", "target": "w", "event": "injected",
         "until": 30.0},
        {"k": "finding", "t": 4.0, "id": "x", "kind": "change", "status": "suspected",
         "text": "slower"},
        {"k": "finding", "t": 5.0, "id": "x", "kind": "change", "status": "confirmed",
         "text": "slower", "size": 0.1},
        {"k": "decision", "t": 2.0, "id": "d2"},
        {"k": "news", "t": 2.0},
    )  # fmt: skip
    (problem,) = ingest(store).problems
    assert "recorders/fleet/1.jsonl" in problem
    assert rows(store, "SELECT decision, to_workers, grade, effect_seconds FROM scaling") == [
        ("d1", 3, "good", 4.0)
    ]
    assert rows(store, "SELECT status, size FROM current_findings") == [("confirmed", 0.1)]
    assert rows(store, "SELECT cpu_used FROM usage_samples") == [(2.5,)]
    assert rows(store, "SELECT kind, target, epoch(until) FROM faults") == [("kill", "w", 30.0)]
    append(path, {"k": "usage", "t": 2.0, "worker": "w"})
    assert ingest(store).lines == 1
    assert dump(store) == rebuilt(store)


_INGEST = """
import sys
from pathlib import Path
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store, Waiting
print("ready", flush=True)
store = Store(Path(sys.argv[1]), waiting=Waiting(patience=120.0))
ingest(store, lines_at_once=int(sys.argv[2]))
"""
# For their turn at a file that others have open on a busy machine.
PATIENCE_SECONDS = 120.0


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_each_line_still_arrives_once(store, seed):
    """Ingests are killed with -9 at random moments; what comes out is what a rebuild makes."""
    chance = random.Random(seed)
    for number in range(6):
        JournalWriter(campaign(store, f"c{number}"), began=1e9 + number, total=60, bad=7).finish()
    killed = 0
    while killed < 4:
        process = subprocess.Popen(
            [sys.executable, "-c", _INGEST, str(store.state), "25"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(chance.uniform(0.0, 0.4))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        killed += 1
        process.stdout.close()
    ingest(store)
    incremental = dump(store)
    assert len(incremental["results"]) == 360
    assert incremental == rebuilt(store)


def test_several_ingests_at_once_take_in_each_line_once(store):
    """Threads and a process meet at the same store; they take turns."""
    patient = Store(store.state, waiting=Waiting(patience=PATIENCE_SECONDS))
    writers = [JournalWriter(campaign(store, f"c{n}"), began=1e9, total=30) for n in range(4)]
    for writer in writers:
        writer.finish()
    beside = subprocess.Popen(
        [sys.executable, "-c", _INGEST, str(store.state), "20"], stdout=subprocess.DEVNULL
    )
    threads = [
        threading.Thread(target=ingest, args=(patient,), kwargs={"lines_at_once": 20})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert beside.wait(PATIENCE_SECONDS) == 0
    assert rows(store, "SELECT count(*), count(DISTINCT attempt) FROM results") == [(120, 30)]
