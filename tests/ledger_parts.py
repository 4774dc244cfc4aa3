"""Small cases, attempts and ledgers, a clock that stands until it is moved, and strategies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from proctor.infra.judge import check_invariants
from proctor.infra.ledgers.ledger import CampaignRecord, Ledger
from proctor.infra.records import (
    Attempt,
    Case,
    CaseKind,
    Outcome,
    OutputRef,
    Requirements,
    TaskSpec,
    Usage,
    WorkerFacts,
)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def case(number: int = 0) -> Case:
    return Case(id=f"test_a.py::test_{number}", group="test_a.py", index=number)


def attempt(
    number: int = 0, outcome: Outcome | str = Outcome.PASSED, *, of: int = 0, **fields: Any
) -> Attempt:
    """Execution `number`, of case `of`."""
    values = {"started": 10.0 + number, "finished": 10.5 + number, **fields}
    values.setdefault("id", f"1.b{number}.{case(of).id}")
    return Attempt(case=case(of).id, outcome=Outcome(outcome), **values)


def open_ledger(directory: Path, **fields: Any) -> Ledger:
    return Ledger.open(directory, campaign=directory.name, **fields)


def ids(record: CampaignRecord) -> list[str]:
    """Of all attempts that count."""
    return [each.id for attempts in record.attempts.values() for each in attempts]


def check_invariants_but_cases(record: CampaignRecord) -> list[str]:
    """Of a ledger to which only attempts were written."""
    return [each for each in check_invariants(record) if "no case" not in each]


def freeze(ledger: Ledger) -> None:
    """Its process stops, as under SIGSTOP: nobody touches the lease any more."""
    ledger._lease.abandon()


# What a test can be called, printed or measured as ------------------------------------------

# Everything str can hold, lone surrogates too.
texts = st.text(st.characters(), max_size=12)
seconds = st.floats(min_value=0, max_value=1e9, allow_nan=False)
amounts = st.integers(min_value=0, max_value=2**53)
requirements = st.builds(
    Requirements,
    cpu=seconds,
    memory_bytes=amounts,
    gpu=st.sampled_from([0.0, 0.5, 2.0]),
    tags=st.frozensets(texts, max_size=3),
)
tasks = st.builds(
    TaskSpec,
    command=st.lists(texts, max_size=3).map(tuple),
    callable=texts,
    arguments=st.dictionaries(texts, st.none() | st.booleans() | texts, max_size=2),
    environment=st.dictionaries(texts, texts, max_size=2),
    working_directory=texts,
)
cases = st.builds(
    Case,
    id=texts,
    group=texts,
    index=amounts,
    kind=st.sampled_from(CaseKind),
    needs=requirements,
    timeout_seconds=st.none() | seconds,
    tags=st.lists(texts, max_size=3).map(tuple),
    task=st.none() | tasks,
)
usages = st.builds(
    Usage,
    wall_seconds=seconds,
    cpu_seconds=seconds,
    peak_memory_bytes=amounts,
    read_bytes=amounts,
    write_bytes=amounts,
    gpu_utilisation=st.none() | seconds,
    gpu_memory_bytes=st.none() | amounts,
    setup_seconds=seconds,
    call_seconds=seconds,
    teardown_seconds=seconds,
    shared_setup_seconds=seconds,
)
attempts = st.builds(
    Attempt,
    case=texts,
    id=texts,
    outcome=st.sampled_from(Outcome),
    started=seconds,
    finished=seconds,
    usage=usages,
    worker=texts,
    incarnation=texts,
    slot=st.integers(0, 100),
    batch=texts,
    epoch=st.integers(0, 100),
    message=texts,
    output=st.none() | st.builds(OutputRef, epoch=amounts, offset=amounts, length=amounts),
    properties=st.lists(st.tuples(texts, texts | seconds), max_size=2).map(tuple),
    notes=st.lists(texts, max_size=2).map(tuple),
)
workers = st.builds(
    WorkerFacts,
    name=texts,
    incarnation=texts,
    worker_class=texts,
    slots=st.integers(1, 64),
    cpu=seconds,
    memory_bytes=amounts,
    gpu=st.sampled_from([0.0, 1.0]),
    tags=st.frozensets(texts, max_size=3),
    host=texts,
    machine=texts,
    simulated_gpu=st.booleans(),
)
