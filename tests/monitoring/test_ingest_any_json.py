"""Journals whose fields hold anything at all: each line is in the store, or its damage is told."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_parts import append, campaign, rebuilt, rows
from ledger_parts import attempt, case, open_ledger
from store_dump import dump

from proctor.infra.ledgers.epochs import ledger_path
from proctor.infra.ledgers.ledger import read_campaign
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store

FACTS = {"name": "w", "incarnation": "i", "worker_class": "cpu", "slots": 1, "cpu": 1.0,
         "memory_bytes": 1, "gpu": 1.0, "tags": ["a"], "host": "h", "simulated_gpu": True}  # fmt: skip
USE = {"wall": 0.5, "cpu": 0.1, "peak": 1, "read": 2, "write": 3, "gpu": 0.5, "gpu_memory": 4,
       "setup": 0.1, "call": 0.2, "teardown": 0.1, "shared": 0.0}  # fmt: skip
# A line of each kind with all its fields, and the table it belongs to.
CAMPAIGN_LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "attempt": ("attempts", {
        "case": case(0).id, "id": "a", "outcome": "failed", "started": 4.0, "finished": 5.0,
        "usage": USE, "worker": "w", "incarnation": "i", "slot": 1, "batch": "b", "message": "m",
        "output": [1, 0, 0], "properties": [["size", 1.0]], "notes": ["n"],
    }),
    "case": ("campaign_cases", {
        "id": "c", "group": "test_b.py", "index": 7, "kind": "command", "timeout": 5.0,
        "tags": ["slow"], "needs": {"cpu": 2.0, "memory_bytes": 1, "gpu": 1.0, "tags": ["a"]},
    }),
    "unmet": ("case_events", {"case": case(0).id, "reason": "r"}),
    "muted": ("case_events", {"case": case(0).id, "reason": "r"}),
    "vanished": ("case_events", {"case": "gone", "reason": "r"}),
    "amend": ("amendments", {
        "case": case(0).id, "attempt": "", "outcome": "error", "message": "m", "output": [1, 0, 0],
    }),
    "batch": ("batches", {"batch": "b", "worker": "w", "slot": 0, "cases": [0], "why": "y"}),
    "worker": ("worker_events", {
        "worker": "w", "incarnation": "i", "event": "joined", "reason": "r", "facts": FACTS,
    }),
    "note": ("notes", {"level": "info", "text": "x"}),
    "phase": ("phases", {"phase": "run"}),
    "plan": ("plans", {
        "slots": 1, "predicted_makespan": 1.0, "lower_bound": 1.0, "known": 1, "unknown": 1,
    }),
    "open": ("openings", {
        "schema": 1, "campaign": "c1", "epoch": 1, "name": "n", "root": "/r", "project": "p",
        "command": ["run"], "settings": {}, "host": "h", "pid": 1, "commit": "c", "branch": "b",
        "environment": {}, "predecessors": {},
    }),
    "close": ("closes", {
        "state": "completed", "exit_code": 0, "makespan": 1.0, "lower_bound": 1.0, "slots": 1,
        "counts": {"passed": 1}, "reason": "",
    }),
}  # fmt: skip
RECORDED_LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "usage": ("usage_samples", {
        "worker": "w", "incarnation": "i", "class": "cpu", "host": "h", "slots": 1, "busy": 1,
        "cpu": 1.0, "cpu_used": 1.0, "memory": 1, "memory_used": 1, "gpu": 1.0, "gpu_used": 1.0,
        "gpu_memory": 1, "gpu_memory_used": 1,
    }),
    "decision": ("decisions", {
        "id": "d", "class": "cpu", "from": 1, "to": 2, "reason": "r", "policy": "p", "inputs": {},
    }),
    "grade": ("grades", {
        "decision": "d", "grade": "good", "effect_seconds": 1.0, "cost_seconds": 1.0, "text": "t",
    }),
    "fault": ("faults", {
        "id": "f", "experiment": "e", "fault": "kill", "target": "w", "event": "began",
        "until": 9.0, "detail": {},
    }),
    "finding": ("findings", {
        "id": "f", "kind": "k", "status": "s", "project": "p", "case": "c", "metric": "m",
        "class": "cpu", "since": 1.0, "commit": "c", "size": 1.0, "size_low": 1.0, "size_high": 1.0,
        "probability": 0.5, "text": "t", "detail": {},
    }),
}  # fmt: skip
KINDS = {**CAMPAIGN_LINES, **RECORDED_LINES}
DEEP = json.loads("[" * 300 + "]" * 300)
VALUES: list[Any] = [
    None, True, 0, -1, 7, 1.5, 10**12, 10**400, float("nan"), "", "x", "5", "\ud800", "\0",
    "y" * 1000, [], [1], ["x"], [[1]], {}, {"a": 1}, {"1": "x"}, DEEP,
]  # fmt: skip
# Lines with these are told apart from others by them: what is told twice is taken in once.
NAMES = {("attempt", "id"), ("case", "id"), ("amend", "message")}
Changed = tuple[str, dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def lines_with(
    kinds: dict[str, tuple[str, dict[str, Any]]],
    changes: Sequence[tuple[str, tuple[str, ...], Any]],
) -> Iterator[Changed]:
    """The table, and a line of the kind of which one field is changed."""
    for number, (kind, path, value) in enumerate(changes):
        table, fields = kinds[kind]
        line = {"k": kind, "t": 5.0, **copy.deepcopy(fields)}
        for each, name in NAMES:
            if each == kind:
                line[name] = f"{number}"
        at = line
        for key in path[:-1]:
            at = at[key]
        again = (kind, path[-1]) in NAMES and isinstance(value, str)
        at[path[-1]] = f"{value} {number}" if again else value
        yield table, line


def fields_of(kinds: dict[str, tuple[str, dict[str, Any]]]) -> list[tuple[str, tuple[str, ...]]]:
    """Each field of each kind, those of objects within as well."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for kind, (_, fields) in kinds.items():
        found += [(kind, (name,)) for name in ("k", "t", *fields)]
        for name in ("usage", "needs", "facts"):
            found += [(kind, (name, inner)) for inner in fields.get(name, ())]
    return found


def check(store: Store, path: Path, lines: Sequence[Changed]) -> None:
    """Every line is a row of its table or told as a problem, and a second look finds no news."""
    places: list[int] = []
    for _, line in lines:
        places.append(path.stat().st_size)
        append(path, line)
    ingest(store)
    file = path.relative_to(store.state).as_posix()
    told = {place for (place,) in rows(store, "SELECT place FROM problems WHERE file = ?", file)}
    there = {
        table: [place for (place,) in rows(store, f"SELECT place FROM {table}")]
        for table in {table for table, _ in lines}
    }
    assert all(len(found) == len(set(found)) for found in there.values()), "a line counts twice"
    for place, (table, line) in zip(places, lines, strict=True):
        if isinstance(line["k"], str) and line["k"] not in KINDS:
            # A later version's.
            continue
        assert place in there[table] or place in told, str(line)[:500]
    # Numbers that stand for nothing would be the rows of a line that nobody finds.
    for table in ("attempts", "campaign_cases", "case_events", "amendments"):
        lost = f"SELECT count(*) FROM {table} ANTI JOIN cases USING (case_no)"
        assert rows(store, lost) == [(0,)], table
    for table in ("attempts", "worker_events"):
        lost = f"SELECT count(*) FROM {table} n ANTI JOIN workers USING (worker_no)"
        assert rows(store, f"{lost} WHERE n.worker_no IS NOT NULL") == [(0,)], table
    assert ingest(store).lines == 0
    assert dump(store) == rebuilt(store)


def begun(store: Store) -> Path:
    """A journal with a case and two results of it."""
    directory = campaign(store, "c1")
    with open_ledger(directory, project="p") as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(1))
        ledger.attempt(attempt(2, "failed"))
    return ledger_path(directory, 1)


def recorder(store: Store) -> Path:
    path = store.state / "recorders" / "fleet" / "1.jsonl"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_any_value_in_any_field_of_a_campaign_is_a_row_or_damage(store: Store) -> None:
    """One ingest takes all of them, and who reads the record itself raises nothing either."""
    changes = [(kind, path, value) for kind, path in fields_of(CAMPAIGN_LINES) for value in VALUES]
    path = begun(store)
    check(store, path, list(lines_with(CAMPAIGN_LINES, changes)))
    assert read_campaign(path.parent).problems


def test_any_value_in_any_field_of_a_recorder_is_a_row_or_damage(store: Store) -> None:
    """Usage, decisions, grades, faults and findings."""
    changes = [(kind, path, value) for kind, path in fields_of(RECORDED_LINES) for value in VALUES]
    check(store, recorder(store), list(lines_with(RECORDED_LINES, changes)))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(), max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=4)
@given(data=st.data())
def test_whatever_stands_in_a_field_is_a_row_or_damage(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """As above, with values that nobody thought of."""
    store = Store(tmp_path_factory.mktemp("state"))
    for kinds, path in ((CAMPAIGN_LINES, begun(store)), (RECORDED_LINES, recorder(store))):
        places = st.sampled_from(fields_of(kinds))
        drawn = data.draw(st.lists(st.tuples(places, anything), min_size=20, max_size=60))
        changes = [(kind, where, value) for (kind, where), value in drawn]
        check(store, path, list(lines_with(kinds, changes)))


def test_what_is_nested_deeper_than_anybody_can_write_is_damage(store: Store) -> None:
    """Reading it works, and writing it down again in one spelling does not."""
    path = begun(store)
    deep = b"[" * 1000 + b"]" * 1000
    note = b'{"k":"case","t":5.0,"id":"c","group":"c","index":9,"tags":' + deep + b"}\n"
    append(path, note, {"k": "note", "t": 6.0, "level": "info", "text": "after"})
    (problem,) = ingest(store).problems
    assert "recursion" in problem
    assert rows(store, "SELECT text FROM notes") == [("after",)]


@pytest.mark.parametrize(
    "value", [5, None, [], ["1"], {"x": 1}, {"1": "all"}, {"1": None}], ids=str
)
def test_a_writer_that_misstates_what_it_accepted_hides_no_campaign(
    store: Store, value: Any
) -> None:
    """Its first line is damaged, and what stands in all journals is better than nothing."""
    path = begun(store)
    told = {"k": "open", "t": 30.0, "schema": 1, "campaign": "c1", "epoch": 2}
    append(ledger_path(path.parent, 2), {**told, "predecessors": value})
    (problem,) = ingest(store).problems
    assert "ledger-000002.jsonl" in problem
    assert rows(store, "SELECT count(*) FROM attempts") == [(2,)]
    assert len(read_campaign(path.parent).problems) == 1
