"""Journals in the store: each line once, whatever dies or comes twice."""

from __future__ import annotations

import json
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
from ledger_parts import attempt, case, freeze, open_ledger
from store_dump import dump
from waiting import wait_until

from proctor.infra.judge import judge_all
from proctor.infra.ledgers.epochs import ledger_path
from proctor.infra.ledgers.ledger import read_campaign
from proctor.infra.records import Outcome, Usage, WorkerFacts
from proctor.monitoring import ingest as ingest_module
from proctor.monitoring.ingest import ingest
from proctor.monitoring.rebuild import rebuild
from proctor.monitoring.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def campaign(store: Store, name: str) -> Path:
    return store.state / "campaigns" / name


def rows(store: Store, query: str, *parameters):
    with store.reading() as connection:
        return connection.execute(query, list(parameters)).fetchall()


def rebuilt(store: Store):
    rebuild(store)
    return dump(store)


def append(path: Path, *lines) -> None:
    with path.open("ab") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")


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
    }  # fmt: skip
    for number in outcomes:
        ledger.case(case(number))
    ledger.muted(case(7).id, reason="known")
    for number, seen in outcomes.items():
        for place, outcome in enumerate(seen):
            ledger.attempt(
                attempt(100 * number + place, outcome, of=number, message=f"m{number}.{place}")
            )
    ledger.vanished(case(8), reason="gone")
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
        for verdict in judge_all(record.cases.values(), record.attempts, record.muted).values()
    }


# Writers that follow each other -------------------------------------------------------------


def test_bytes_that_a_successor_did_not_accept_are_taken_back(store):
    """They were ingested before the successor came; afterwards they do not count any more."""
    first = open_ledger(campaign(store, "c1"))
    first.case(case(0))
    first.attempt(attempt(1))
    first.commit()
    freeze(first)
    path = ledger_path(campaign(store, "c1"), 1)
    accepted = path.stat().st_size
    append(
        path,
        {
            "k": "attempt",
            "t": 20.0,
            "case": case(0).id,
            "id": "late",
            "outcome": "failed",
            "started": 19.0,
            "finished": 20.0,
        },
    )
    ingest(store)
    assert rows(store, "SELECT judgement FROM case_results") == [("failed",)]
    append(
        ledger_path(campaign(store, "c1"), 2),
        {"k": "open", "t": 30.0, "schema": 1, "campaign": "c1", "epoch": 2,
         "predecessors": {"1": accepted}},
    )  # fmt: skip
    assert ingest(store).taken_back == ["c1"]
    assert rows(store, "SELECT attempt FROM results") == [("1.b1.test_a.py::test_0",)]
    assert rows(store, "SELECT judgement FROM case_results") == [("passed",)]
    assert dump(store) == rebuilt(store)


def test_an_attempt_that_is_told_again_counts_once(store):
    """A resumed campaign hears from a worker what its predecessor had written down."""
    with open_ledger(campaign(store, "c1")) as first:
        first.case(case(0))
        first.attempt(attempt(1, properties=(("size", 3.0),), notes=("n",)))
    ingest(store)
    with open_ledger(campaign(store, "c1")) as second:
        second.attempt(attempt(1, properties=(("size", 3.0),), notes=("n",)))
        second.attempt(attempt(2))
        second.attempt(attempt(2))
    assert ingest(store).problems == []
    assert rows(store, "SELECT attempts, epochs FROM campaigns") == [(2, 2)]
    assert rows(store, "SELECT count(*) FROM metrics") == [(1,)]
    assert rows(store, "SELECT count(*) FROM attempt_notes") == [(1,)]
    assert dump(store) == rebuilt(store)


def test_a_contradiction_is_remembered(store):
    """The first record of an attempt counts; that another says something else is no secret."""
    with open_ledger(campaign(store, "c1")) as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(1))
    ingest(store)
    with open_ledger(campaign(store, "c1")) as ledger:
        ledger.attempt(attempt(1, "failed"))
    (problem,) = ingest(store).problems
    assert "is recorded as passed and again as failed" in problem
    assert rows(store, "SELECT outcome FROM results") == [("passed",)]
    assert rows(store, "SELECT kind FROM problems") == [("contradiction",)]


def test_an_amended_attempt_that_is_told_again_is_no_contradiction(store):
    """What counts for that is what it was before."""
    with open_ledger(campaign(store, "c1")) as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(1))
        ledger.amend(case=case(0).id, outcome="error", message="teardown failed")
    ingest(store)
    assert rows(store, "SELECT outcome, message FROM results") == [("error", "teardown failed")]
    with open_ledger(campaign(store, "c1")) as ledger:
        ledger.attempt(attempt(1))
        ledger.amend(case=case(0).id, outcome="error", message="teardown failed")
    assert ingest(store).problems == []
    assert rows(store, "SELECT count(*) FROM amendments") == [(1,)]


def test_an_amendment_of_nothing_is_remembered(store):
    """It names an attempt that is not there."""
    with open_ledger(campaign(store, "c1")) as ledger:
        ledger.case(case(0))
        ledger.amend(case=case(0).id, outcome="error", message="m")
    (problem,) = ingest(store).problems
    assert "ledger-000001.jsonl" in problem
    assert "amends an attempt that is not recorded" in problem


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


def test_a_last_word_that_was_taken_back_is_none(store):
    """A campaign resumed after its close is open again."""
    JournalWriter(campaign(store, "c1"), began=1e9).finish()
    ingest(store)
    again = open_ledger(campaign(store, "c1"))
    ingest(store)
    assert rows(store, "SELECT state, exit_code FROM campaigns") == [("running", None)]
    again.close()


# Bad input ----------------------------------------------------------------------------------


def test_a_damaged_line_is_remembered_by_file_and_byte(store):
    """The lines around it stand."""
    directory = campaign(store, "c1")
    JournalWriter(directory, began=1e9).finish()
    path = ledger_path(directory, 1)
    place = path.stat().st_size
    append(path, b'{"k":"attempt","t":1.0,"case":\n', {"k": "note", "t": 2.0, "level": "info",
                                                         "text": "after"})  # fmt: skip
    (problem,) = ingest(store).problems
    assert f"byte {place} of {path}" in problem
    assert rows(store, "SELECT place, kind FROM problems") == [(place, "damaged")]
    assert ("after",) in rows(store, "SELECT text FROM notes")
    assert ingest(store).problems == []
    assert len(rows(store, "SELECT * FROM problems")) == 1


def test_a_torn_end_waits_until_it_is_whole(store):
    """A dying writer leaves half a line; that is no damage."""
    directory = campaign(store, "c1")
    with open_ledger(directory) as ledger:
        ledger.case(case(0))
    path = ledger_path(directory, 1)
    line = json.dumps({"k": "note", "t": 3.0, "level": "info", "text": "whole"}).encode() + b"\n"
    append(path, line[:20])
    assert ingest(store).problems == []
    append(path, line[20:])
    assert ingest(store).lines == 1
    assert rows(store, "SELECT text FROM notes") == [("whole",)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome": "shrugged"},
        {"started": "yesterday"},
        {"started": -5.0},
        {"finished": 1e15},
        {"usage": {"peak": 10**30}},
        {"usage": {"wall": "long"}},
        {"usage": 5},
        {"slot": "first"},
        {"case": 7},
        {"id": None},
        {"message": 5},
        {"output": [1]},
        {"properties": [["a"]]},
    ],
    ids=str,
)
def test_an_attempt_that_cannot_be_understood_is_remembered(store, wrong):
    """One line is lost and named, with the others untouched."""
    with open_ledger(campaign(store, "c1")) as ledger:
        for number in range(9):
            ledger.case(case(number))
            ledger.attempt(attempt(number, of=number))
    good = {"k": "attempt", "t": 5.0, "case": case(0).id, "id": "x", "outcome": "passed",
            "started": 4.0, "finished": 5.0}  # fmt: skip
    append(ledger_path(campaign(store, "c1"), 1), {**good, **wrong})
    (problem,) = ingest(store).problems
    assert "ledger-000001.jsonl" in problem
    assert rows(store, "SELECT count(*) FROM attempts") == [(9,)]
    assert dump(store) == rebuilt(store)


def test_numbers_that_are_none_and_texts_that_are_no_unicode(store):
    """NaN and infinite values are NULL, and their words are kept; lone surrogates are escaped."""
    with open_ledger(campaign(store, "c1")) as ledger:
        ledger.case(case(0))
        ledger.attempt(
            attempt(
                1,
                message="bad \ud800 text",
                usage=Usage(wall_seconds=float("inf"), cpu_seconds=float("nan")),
                properties=(
                    ("a", float("nan")),
                    ("b", float("-inf")),
                    ("c", 2.5),
                    ("d", "word"),
                    ("e", '{"value": 3, "unit": "ms", "better": "lower"}'),
                ),
            )
        )
    assert ingest(store).problems == []
    assert rows(store, "SELECT message, cpu_seconds FROM results") == [("bad \\ud800 text", None)]
    assert rows(store, "SELECT name, value, text, unit, better FROM metrics ORDER BY name") == [
        ("a", None, "nan", "", ""),
        ("b", None, "-inf", "", ""),
        ("c", 2.5, "", "", ""),
        ("d", None, "word", "", ""),
        ("e", 3.0, "", "ms", "lower"),
    ]


def test_a_clock_that_jumps_back_changes_no_measured_seconds(store):
    """The attempt ended before it began; what was measured stands, and the jump can be seen."""
    with open_ledger(campaign(store, "c1")) as ledger:
        ledger.case(case(0))
        ledger.worker(
            WorkerFacts(
                name="w", incarnation="i", worker_class="cpu", slots=1, cpu=1, memory_bytes=1
            ),
            event="joined",
        )
        ledger.attempt(
            attempt(
                1,
                started=100.0,
                finished=40.0,
                worker="w",
                incarnation="i",
                usage=Usage(wall_seconds=0.5),
            )
        )
        ledger.attempt(attempt(2, started=41.0, finished=30.0, worker="w", incarnation="i"))
    assert ingest(store).problems == []
    assert rows(store, "SELECT seconds FROM results ORDER BY attempt") == [(0.5,), (0.0,)]
    assert rows(store, "SELECT worker, attempts, most_seconds FROM clock_jumps") == [("w", 2, 60.0)]


def test_a_journal_that_shrank_is_read_again(store):
    """Somebody put an older copy of the state directory in place."""
    directory = campaign(store, "c1")
    with open_ledger(directory) as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(1))
        ledger.commit()
        middle = ledger_path(directory, 1).stat().st_size
        ledger.attempt(attempt(2))
    ingest(store)
    with ledger_path(directory, 1).open("r+b") as file:
        file.truncate(middle)
    assert ingest(store).taken_back == ["c1"]
    assert rows(store, "SELECT count(*) FROM attempts") == [(1,)]


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


# Death and company --------------------------------------------------------------------------

_INGEST = """
import sys
from pathlib import Path
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
print("ready", flush=True)
ingest(Store(Path(sys.argv[1])), lines_at_once=int(sys.argv[2]))
"""


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
    writers = [JournalWriter(campaign(store, f"c{n}"), began=1e9, total=30) for n in range(4)]
    for writer in writers:
        writer.finish()
    beside = subprocess.Popen(
        [sys.executable, "-c", _INGEST, str(store.state), "20"], stdout=subprocess.DEVNULL
    )
    threads = [
        threading.Thread(target=ingest, args=(store,), kwargs={"lines_at_once": 20})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert beside.wait(60) == 0
    wait_until(lambda: not any(each.is_alive() for each in threads), what="all ingests")
    assert rows(store, "SELECT count(*), count(DISTINCT attempt) FROM results") == [(120, 30)]
