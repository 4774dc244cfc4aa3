"""Journals that are not as they should be: taken back, told twice, torn or damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from campaign_journals import JournalWriter
from ingest_parts import append, campaign, rebuilt, rows
from ledger_parts import attempt, case, freeze, open_ledger
from store_dump import dump

from proctor.infra.ledgers.epochs import ledger_path
from proctor.infra.records import Usage, WorkerFacts
from proctor.monitoring import ingest_walk
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


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


def test_a_last_word_that_was_taken_back_is_none(store):
    """A campaign resumed after its close is open again."""
    JournalWriter(campaign(store, "c1"), began=1e9).finish()
    ingest(store)
    again = open_ledger(campaign(store, "c1"))
    ingest(store)
    assert rows(store, "SELECT state, exit_code FROM campaigns") == [("running", None)]
    again.close()


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


@pytest.mark.parametrize("line", [b'{"k":[],"t":1.0}', b"[]", b'{"k":"note"}', b'{"t":1.0}'])
def test_a_line_that_is_of_no_kind_is_damage(store, line):
    """It is JSON, and none of ours."""
    directory = campaign(store, "c1")
    with open_ledger(directory) as ledger:
        ledger.case(case(0))
    place = ledger_path(directory, 1).stat().st_size
    append(ledger_path(directory, 1), line + b"\n")
    (problem,) = ingest(store).problems
    assert f"the line at byte {place} of " in problem
    assert rows(store, "SELECT place, kind FROM problems") == [(place, "damaged")]


def test_a_case_that_is_announced_again_stands_once(store):
    """Twice in one reading, and once more in a later one: the last announcement counts."""
    directory = campaign(store, "c1")
    with open_ledger(directory) as ledger:
        ledger.case(case(0))
        ledger.case(replace(case(0), timeout_seconds=5.0))
    ingest(store)
    assert rows(store, "SELECT timeout_seconds FROM campaign_cases") == [(5.0,)]
    with open_ledger(directory) as ledger:
        ledger.case(replace(case(0), timeout_seconds=7.0))
    ingest(store)
    assert rows(store, "SELECT timeout_seconds FROM campaign_cases") == [(7.0,)]
    assert dump(store) == rebuilt(store)


def test_cases_of_one_name_in_two_projects_are_two(store):
    """Read together, each keeps its own history."""
    for project in ("orchard", "garden"):
        with open_ledger(campaign(store, project), project=project) as ledger:
            ledger.case(case(0))
            ledger.attempt(attempt(1))
    ingest(store)
    assert rows(store, "SELECT project, campaign FROM results ORDER BY ALL") == [
        ("garden", "garden"),
        ("orchard", "orchard"),
    ]
    assert len({number for (number,) in rows(store, "SELECT case_no FROM attempts")}) == 2
    assert dump(store) == rebuilt(store)


def test_a_campaign_that_cannot_be_read_keeps_no_other_out(store, monkeypatch):
    """Another user's is told of; one that is removed while we look is no news at all."""
    for name in ("barred", "good", "gone"):
        JournalWriter(campaign(store, name), began=1_700_000_000.0).finish()
    read = ingest_walk.epochs_of

    def look(directory: Path):
        if directory.name == "barred":
            raise PermissionError(13, "Permission denied", str(directory / "ledger-000001.jsonl"))
        if directory.name == "gone":
            raise FileNotFoundError(2, "No such file or directory", str(directory))
        return read(directory)

    monkeypatch.setattr(ingest_walk, "epochs_of", look)
    done = ingest(store)
    assert done.campaigns == ["good"]
    barred = campaign(store, "barred") / "ledger-000001.jsonl"
    assert done.problems == [f"{barred} cannot be read: Permission denied"]


def test_a_campaign_with_a_name_that_is_no_unicode_has_its_first_line(store):
    """Else the store would not know whose it is."""
    asked = {"request": {"name": "\udcff"}}
    with open_ledger(campaign(store, "c1"), project="orchard", name="\udcff", settings=asked):
        pass
    assert ingest(store).problems == []
    assert rows(store, "SELECT name FROM campaigns") == [("\\udcff",)]


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
        {"id": ["x"]},
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


HUGE = 10**400
FINE = {"k": "attempt", "t": 5.0, "case": case(0).id, "id": "x", "outcome": "passed",
        "started": 4.0, "finished": 5.0}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {**FINE, "finished": HUGE},
        {**FINE, "usage": {"wall": HUGE}},
        {**FINE, "properties": [["size", HUGE]]},
        {**FINE, "t": HUGE},
        *({**FINE, "slot": each} for each in (2**31, 10**12, -(10**12), -(2**63), HUGE)),
        {**FINE, "output": [10**12, 0, 0]},
        {"k": "case", "t": 5.0, "id": "new", "group": "new", "index": 10**12},
        {"k": "case", "t": 5.0, "id": "new", "group": "new", "index": -(2**63)},
        {"k": "batch", "t": 5.0, "batch": "b", "worker": "w", "slot": 10**12, "cases": [0]},
        {"k": "plan", "t": 5.0, "slots": 10**12},
        {"k": "close", "t": 5.0, "state": "completed", "exit_code": 2**31},
        {"k": "worker", "t": 5.0, "worker": "w", "event": "joined", "facts": {"slots": 10**12}},
        {"k": "worker", "t": 5.0, "worker": "w", "event": "joined", "facts": {"cpu": "two"}},
    ],
    ids=lambda wrong: f"{wrong['k']} {str(list(wrong.values())[-1])[:30]}",
)
def test_a_number_that_no_column_holds_is_damage_of_its_line(store, wrong):
    """It is named once, all else arrives, and what comes later too."""
    directory = campaign(store, "c1")
    with open_ledger(directory) as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(1))
    path = ledger_path(directory, 1)
    place = path.stat().st_size
    append(path, wrong, {"k": "note", "t": 6.0, "level": "info", "text": "after"})
    (problem,) = ingest(store).problems
    assert f"the line at byte {place} of " in problem
    assert "ledger-000001.jsonl" in problem
    assert rows(store, "SELECT count(*) FROM attempts") == [(1,)]
    assert ("after",) in rows(store, "SELECT text FROM notes")
    append(path, {**FINE, "id": "later"})
    assert ingest(store).problems == []
    assert rows(store, "SELECT count(*) FROM attempts") == [(2,)]
    assert dump(store) == rebuilt(store)


def test_a_recorded_number_that_no_column_holds_is_damage_of_its_line(store):
    """Of a worker that says it has more slots than there are numbers."""
    path = store.state / "recorders" / "fleet" / "1.jsonl"
    path.parent.mkdir(parents=True)
    usage = {"k": "usage", "t": 5.0, "worker": "w"}
    append(path, {**usage, "slots": 10**12}, {**usage, "busy": HUGE}, usage)
    assert len(ingest(store).problems) == 2
    assert rows(store, "SELECT worker, slots FROM usage_samples") == [("w", None)]
    assert ingest(store).problems == []


def test_a_largest_number_that_a_column_holds_arrives(store):
    """The bound is that of the column."""
    with open_ledger(campaign(store, "c1")) as ledger:
        ledger.case(replace(case(0), index=2**31 - 1))
        ledger.attempt(attempt(1, slot=2**31 - 1))
    assert ingest(store).problems == []
    assert rows(store, "SELECT slot FROM attempts") == [(2**31 - 1,)]
    assert rows(store, "SELECT index FROM campaign_cases") == [(2**31 - 1,)]


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
