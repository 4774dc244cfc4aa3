"""Questions to the store: those of dashboards, and what people type."""

from __future__ import annotations

import pytest
from ledger_parts import attempt, case, open_ledger

from proctor.infra.errors import DeadlinePassed
from proctor.infra.records import Case, Requirements, Usage, WorkerFacts
from proctor.monitoring.ingest import ingest
from proctor.monitoring.queries import (
    QUERIES,
    BadQuery,
    QueryTooSlow,
    ask,
    case_history,
    run_sql,
)
from proctor.monitoring.store import Store

_BEGAN = 1_700_000_000.0


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two campaigns of two projects; a GPU worker and a plain one with known use of each."""
    made = Store(tmp_path_factory.mktemp("state"))
    for number, project in enumerate(("apples", "pears")):
        ledger = open_ledger(
            made.state / "campaigns" / f"c{number}", project=project, clock=lambda: _BEGAN,
            ttl=1e12,
        )  # fmt: skip
        ledger.write("phase", phase="run")
        for name, gpu in (("g", 1.0), ("p", 0.0)):
            ledger.worker(
                WorkerFacts(
                    name=name, incarnation="i", worker_class="gpu" if gpu else "cpu", slots=2,
                    cpu=4.0, memory_bytes=1000, gpu=gpu,
                ),
                event="joined",
            )  # fmt: skip
        needs = Requirements(cpu=2.0, memory_bytes=800, gpu=1.0)
        ledger.case(Case(id=case(0).id, group="test_a.py", index=0, needs=needs))
        for each in (1, 2):
            ledger.case(case(each))
        for index, worker, begin, seconds, usage in (
            (0, "g", 1.0, 4.0, Usage(cpu_seconds=4.0, peak_memory_bytes=400, gpu_utilisation=0.5,
                                     gpu_memory_bytes=9)),
            (1, "g", 5.5, 4.5, Usage(cpu_seconds=4.5, peak_memory_bytes=100, gpu_utilisation=0.0,
                                     gpu_memory_bytes=0)),
            (2, "p", 2.0, 8.0, Usage(cpu_seconds=8.0, peak_memory_bytes=500)),
        ):  # fmt: skip
            ledger.attempt(
                attempt(
                    index, "failed" if index == 2 else "passed", of=index, worker=worker,
                    incarnation="i", usage=usage, message="no" if index == 2 else "",
                    started=_BEGAN + begin, finished=_BEGAN + begin + seconds,
                )
            )  # fmt: skip
        ledger.write("close", state="completed", exit_code=1, makespan=9.0, lower_bound=8.0,
                     slots=4)  # fmt: skip
        ledger.close()
    ingest(made)
    return made


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_every_question_has_an_answer(store, name):
    """For all projects and for one, for all times and for late ones only."""
    more = {"case": case(0).id, "case_no": 1}
    everything = ask(store, name, **more)
    assert everything.columns
    ask(store, name, project="apples", since=_BEGAN, **more)
    assert len(ask(store, name, project="apples", since=_BEGAN, limit=1, **more).rows) <= 1


def test_one_project_is_told_from_another(store):
    """What stands in the other one does not count."""
    assert len(ask(store, "campaigns").rows) == 2
    (found,) = ask(store, "campaigns", project="pears").mappings()
    assert (found["campaign"], found["attempts"], found["failed"]) == ("c1", 3, 1)
    assert ask(store, "campaigns", project="plums").rows == ()
    assert ask(store, "campaigns", since=_BEGAN + 1).rows == ()


def test_utilisation_is_use_over_what_was_there(store):
    """Slots, cores, memory and GPUs, from the first case of a class to its last."""
    gpu, cpu = sorted(
        ask(store, "utilisation", project="apples").mappings(),
        key=lambda row: row["worker_class"], reverse=True,
    )  # fmt: skip
    assert gpu["span_seconds"] == pytest.approx(9.0)
    assert gpu["slot_utilisation"] == pytest.approx(8.5 / (2 * 9.0))
    assert gpu["cpu_utilisation"] == pytest.approx(8.5 / (4 * 9.0))
    assert gpu["memory_utilisation"] == pytest.approx((4 * 400 + 4.5 * 100) / (1000 * 9.0))
    assert gpu["gpu_utilisation"] == pytest.approx(4 * 0.5 / 9.0)
    assert cpu["slot_utilisation"] == pytest.approx(0.5)
    assert cpu["gpu_utilisation"] is None


def test_allocation_efficiency_is_use_over_what_was_asked_for(store):
    """And it names what sat on a GPU without having asked for one."""
    found = ask(store, "allocation-efficiency", project="apples").mappings()
    gpu = next(row for row in found if row["worker_class"] == "gpu")
    assert gpu["cpu_efficiency"] == pytest.approx(8.5 / (4.0 * 2 + 4.5))
    assert gpu["memory_efficiency"] == pytest.approx(400 / 800)
    assert (gpu["gpu_untouched"], gpu["gpu_not_asked"], gpu["memory_exceeded"]) == (0, 1, 0)


def test_overhead_is_what_lies_between_attempts(store):
    """From submission to the first case, and from one attempt on a slot to the next."""
    (found,) = ask(store, "overhead", project="apples").mappings()
    assert found["first_case_seconds"] == pytest.approx(1.0)
    assert (found["gaps"], found["gap_seconds"]) == (1, pytest.approx(0.5))
    assert found["gap_share"] == pytest.approx(0.5 / 17.0)


def test_the_history_of_a_case_is_its_own(store):
    """Newest first, of one project or of all that have it."""
    assert case_history(store, case(2).id).column("outcome") == ["failed", "failed"]
    (found,) = case_history(store, case(0).id, project="pears").mappings()
    assert (found["campaign"], found["worker"], found["seconds"]) == ("c1", "g", 4.0)
    assert case_history(store, "no::such").rows == ()
    days = case_history(store, case(0).id, project="pears", question="case-days")
    assert days.column("attempts") == [1]


def test_history_is_the_same_from_the_sorted_copy(store, tmp_path, monkeypatch):
    """Attempts are copied in the order of cases when there are enough; answers stay the same."""
    import shutil

    from proctor.monitoring import ingest as ingest_module

    monkeypatch.setattr(ingest_module, "SORT_AT", 1)
    other = Store(tmp_path / "state")
    shutil.copytree(store.state / "campaigns", other.state / "campaigns")
    ingest(other)
    copied = run_sql(other, "SELECT count(*) FROM case_history").rows
    assert copied == ((6,),)
    for number in range(3):
        assert case_history(other, case(number).id) == case_history(store, case(number).id)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM attempts",
        "CREATE TABLE mine (a INTEGER)",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY attempts TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "EXPORT DATABASE 'out'",
        "SELECT * FROM statement",
        "SELECT * FROM nothing",
        "SELEKT",
        "",
        ";",
    ],
)
def test_what_people_type_reads_the_store_and_nothing_else(store, statement, monkeypatch, tmp_path):
    """No write, no other file, no setting, no variable of ours; a clear word instead."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadQuery) as refused:
        run_sql(store, statement)
    # DuckDB's arrow at the place would stand anywhere in a line.
    assert "^" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    assert run_sql(store, "SELECT count(*) FROM attempts").rows == ((6,),)


@pytest.mark.parametrize("deadline", [0.2, 0.0], ids=["while it runs", "before it has begun"])
def test_a_question_that_takes_too_long_is_stopped(store, deadline):
    """At its deadline, and the store is free again."""
    endless = (
        "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range < b.range"
    )
    assert issubclass(QueryTooSlow, DeadlinePassed)
    with pytest.raises(QueryTooSlow, match=f"within {deadline:g} s"):
        run_sql(store, endless, deadline=deadline)
    with store.writing():
        pass
