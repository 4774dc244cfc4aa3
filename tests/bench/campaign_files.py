"""Journals of made-up campaigns, a million attempts in half a minute: same bytes every time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from proctor.infra.codec import attempt_to_json, case_to_json, facts_to_json
from proctor.infra.ledgers.epochs import ledger_path
from proctor.infra.ledgers.journal import encode
from proctor.infra.records import (
    Attempt,
    Case,
    Outcome,
    OutputRef,
    Requirements,
    Usage,
    WorkerFacts,
)

# Each worker has two slots; half of them have a GPU.
WORKERS = 4
BEGAN = 1_750_000_000.0
_HOUR = 3600.0


def case_name(number: int) -> str:
    return f"tests/unit/test_module_{number // 50}.py::TestThings::test_number_{number}"


def write_campaigns(state: Path, *, campaigns: int, cases: int, first: int = 0) -> int:
    """Complete campaigns, one an hour, each with every case; how many attempts there are."""
    return sum(
        _write(state / "campaigns" / f"bench-{number:05d}", number, cases)
        for number in range(first, first + campaigns)
    )


def _write(directory: Path, number: int, cases: int) -> int:
    directory.mkdir(parents=True)
    chance = random.Random(number)
    began = BEGAN + number * _HOUR
    lines = list(_lines(directory.name, number, began, cases, chance))
    ledger_path(directory, 1).write_bytes(b"".join(lines))
    return sum(line.startswith(b'{"k":"attempt"') for line in lines)


def _lines(
    campaign: str, number: int, began: float, cases: int, chance: random.Random
) -> Iterator[bytes]:
    def line(kind: str, at: float, **fields: object) -> bytes:
        return encode({"k": kind, "t": at, **fields})

    yield line(
        "open", began, schema=1, campaign=campaign, epoch=1, name="bench", root="/srv/bench",
        project="bench", command=["tests"], settings={}, predecessors={}, pid=1, host="h",
        commit=f"{number:040x}",
    )  # fmt: skip
    yield line("phase", began, phase="collect")
    for index in range(cases):
        needs = Requirements(memory_bytes=2**30) if index % 10 == 0 else Requirements()
        name = case_name(index)
        case = Case(id=name, group=name.partition("::")[0], index=index, needs=needs)
        yield line("case", began + 1.0, **case_to_json(case))
    yield line("phase", began + 2.0, phase="run")
    for worker in range(WORKERS):
        facts = WorkerFacts(
            name=f"w{worker}", incarnation=f"i{number}", worker_class="gpu" if worker % 2 else "cpu",
            slots=2, cpu=2.0, memory_bytes=2**33, gpu=float(worker % 2), host="h",
        )  # fmt: skip
        yield line(
            "worker", began + 2.0, worker=facts.name, incarnation=facts.incarnation,
            event="joined", facts=facts_to_json(facts), reason="",
        )  # fmt: skip
    free = [began + 2.5] * (2 * WORKERS)
    for index in range(cases):
        slot = min(range(len(free)), key=free.__getitem__)
        typical = 0.02 + 0.3 * (index % 97) / 97
        bad = chance.random() < 0.01
        for repeat in range(2 if bad else 1):
            seconds = typical * chance.lognormvariate(0, 0.1)
            failed = bad and (repeat == 0 or chance.random() < 0.5)
            start = free[slot] + 0.001
            free[slot] = start + seconds
            attempt = _attempt(index, repeat, slot, start, seconds, number, failed=failed)
            yield line("attempt", start + seconds, **attempt_to_json(attempt))
    yield line("phase", max(free), phase="judge")
    yield line(
        "close", max(free) + 0.1, state="completed", exit_code=1, counts={},
        makespan=max(free) - began, lower_bound=20.0, slots=len(free),
    )  # fmt: skip


def _attempt(
    index: int, repeat: int, slot: int, start: float, seconds: float, number: int, *, failed: bool
) -> Attempt:
    worker = slot // 2
    return Attempt(
        case=case_name(index),
        id=f"1.b{index // 10}.{index}.{repeat}",
        outcome=Outcome.FAILED if failed else Outcome.PASSED,
        started=start,
        finished=start + seconds,
        usage=Usage(
            wall_seconds=seconds,
            cpu_seconds=0.8 * seconds,
            peak_memory_bytes=80_000_000 + index * 1000,
            read_bytes=index,
            write_bytes=4096,
            gpu_utilisation=0.3 if worker % 2 else None,
            gpu_memory_bytes=10**9 if worker % 2 else None,
            setup_seconds=0.1 * seconds,
            call_seconds=0.8 * seconds,
            teardown_seconds=0.1 * seconds,
        ),
        worker=f"w{worker}",
        incarnation=f"i{number}",
        slot=slot % 2,
        batch=f"b{index // 10}",
        epoch=1,
        message="assert 1 == 2" if failed else "",
        output=OutputRef(epoch=1, offset=300 * index, length=300),
    )
