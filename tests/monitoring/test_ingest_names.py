"""Names that no file, no column or no screen likes: a case, a worker and a project keep theirs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ingest_parts import campaign, rebuilt, rows
from ledger_parts import attempt, case, open_ledger
from store_dump import dump

from proctor.infra.records import WorkerFacts
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store

LONG = "test_a.py::test_" + "y" * 200_000
# As JSON has them: two surrogates that follow each other may be one character.
odd_names = (st.text(st.characters(), max_size=8) | st.text("a\ud800\udcff\0\\:[", max_size=5)).map(
    lambda name: json.loads(json.dumps(name))
)


@settings(max_examples=4)
@given(names=st.lists(odd_names, min_size=1, max_size=12, unique=True))
@example(names=["a\ud800", "b\0c", "\0", "", LONG, "\\", "test_a.py::t[\udcff-\0]"])
def test_a_case_has_one_number_however_often_it_is_taken_in(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    """Over ingests, over campaigns, and when all is read anew."""
    store = Store(tmp_path_factory.mktemp("state"))
    for turn, name in enumerate(("c1", "c1", "c2")):
        with open_ledger(campaign(store, name), project="p") as ledger:
            for number, each in enumerate(names):
                ledger.case(replace(case(number), id=each))
                ledger.attempt(replace(attempt(number), case=each, id=f"{turn} {number}"))
        assert ingest(store).problems == []
    # What is told apart by nothing but how it is written down is one.
    stored = {each.encode("utf-8", "backslashreplace").decode() for each in names}
    assert {each for (each,) in rows(store, "SELECT case_id FROM cases")} == stored
    assert rows(store, "SELECT count(*) FROM cases") == [(len(stored),)]
    assert rows(store, "SELECT count(*) FROM attempts") == [(3 * len(names),)]
    assert dump(store) == rebuilt(store)


@pytest.mark.parametrize(
    "odd", ["w\ud800", "w\0x", "w" * 100_000], ids=["surrogate", "nul", "long"]
)
def test_a_worker_and_a_project_keep_their_numbers(tmp_path: Path, odd: str) -> None:
    """What comes later of a campaign is not taken for another project's, and read anew."""
    store = Store(tmp_path)
    facts = WorkerFacts(name=odd, incarnation=odd, worker_class=odd, slots=1, cpu=1, memory_bytes=1)
    for number in range(3):
        with open_ledger(campaign(store, "c1"), project=odd) as ledger:
            ledger.worker(facts, event="joined")
            ledger.case(case(0))
            ledger.attempt(attempt(number, worker=odd, incarnation=odd))
        done = ingest(store)
        assert (done.problems, done.taken_back) == ([], [])
    assert rows(store, "SELECT count(*) FROM projects") == [(1,)]
    assert rows(store, "SELECT count(*), count(DISTINCT worker_no) FROM workers") == [(1, 1)]
    assert rows(store, "SELECT attempts FROM worker_figures") == [(3,)]
    assert dump(store) == rebuilt(store)
