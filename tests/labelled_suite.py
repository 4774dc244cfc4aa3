"""A suite whose cases' true needs are known, run on a fleet of three classes by what is inferred.

Cases declare nothing. Each run ends as it would: one that needs more memory than it is given is
stopped there, one that needs a GPU fails without. What was used is inferred from, and decides
where the next run goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proctor.flows.campaigns.learned import Learned
from proctor.infra.predictions import LearnedNeed
from proctor.infra.records import Case, WorkerFacts
from proctor.infra.resources import fits
from proctor.monitoring.prediction.case_kinds import kinds_of, needs_of
from proctor.monitoring.prediction.predictor import Suite
from proctor.monitoring.prediction.source import Used

GB = 10**9
CLASSES = ("cpu", "highmem", "gpu")
WORKERS = (
    WorkerFacts(
        name="cpu-1", incarnation="a", worker_class="cpu", slots=4, cpu=4, memory_bytes=8 * GB
    ),
    WorkerFacts(
        name="highmem-1",
        incarnation="a",
        worker_class="highmem",
        slots=1,
        cpu=4,
        memory_bytes=64 * GB,
    ),
    WorkerFacts(
        name="gpu-1",
        incarnation="a",
        worker_class="gpu",
        slots=1,
        cpu=4,
        memory_bytes=16 * GB,
        gpu=1,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """How the inference did: parts of the cases that it got right."""

    # Sent to a worker of the cheapest class that can run them.
    right: float
    # Told what bounds them; of the cases that ran to their end.
    kinds: float


def labelled(*, seed: int, runs: int, cases: int = 600) -> Labelled:
    """What was inferred after so many runs, beside the truth."""
    rng = np.random.default_rng(seed)
    true = rng.choice(["cpu", "io", "memory", "gpu"], size=cases, p=[0.55, 0.2, 0.15, 0.1])
    # From 2.2 to 50 GB, where a slot of the common class has 2 GB and its worker has 8.
    peak = np.where(true == "memory", GB * np.exp(rng.uniform(np.log(2.2), np.log(50), cases)), 2e8)
    share = np.where(true == "io", rng.beta(2, 10, cases), rng.beta(12, 2, cases))
    names = [f"tests/test_{number % 40}.py::test_{number}" for number in range(cases)]
    plain = [Case(id=name, group=name, index=row) for row, name in enumerate(names)]
    suite = Suite(
        case_ids=names, groups=[name.partition("::")[0] for name in names], marks=[()] * cases
    )
    needs: dict[str, LearnedNeed] = {}
    kinds: dict[str, str] = {}
    rows: list[dict[str, float | bool]] = []
    for run in range(runs):
        learned = Learned(needs=needs, workers=WORKERS)
        for number, case in enumerate(plain):
            asked = learned(case).needs
            able = [worker for worker in WORKERS if fits(asked, worker)]
            # One that asks for nothing runs wherever there is room.
            worker = able[int(rng.integers(len(able)))]
            limit = asked.memory_bytes or worker.memory_bytes // worker.slots
            used = peak[number] * np.exp(rng.normal(0, 0.03))
            starved = bool(used > limit)
            lacking = true[number] == "gpu" and not worker.gpu
            rows.append(
                {
                    "case": number,
                    "campaign": run,
                    "passed": not starved and not lacking,
                    "starved": starved,
                    "seconds": 1.0,
                    "cpu_seconds": float(share[number]),
                    "peak_bytes": float(min(used, limit)),
                    "moved_bytes": 0.0,
                    "gpu_bytes": 1e9 if true[number] == "gpu" and worker.gpu else 0.0,
                    "share_bytes": worker.memory_bytes / worker.slots,
                    "has_gpu": worker.gpu > 0,
                }
            )
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        told = Used(suite=suite, campaigns=tuple(map(str, range(run + 1))), **columns)
        needs, kinds = dict(needs_of(told)), kinds_of(told)
    learned = Learned(needs=needs, workers=WORKERS)
    right = 0
    for number, case in enumerate(plain):
        asked = learned(case).needs
        enough = (asked.memory_bytes or 2 * GB) >= peak[number]
        served = enough and (asked.gpu > 0) == (true[number] == "gpu")
        # No more than it needs: a case for the common class must not take a dear worker.
        modest = true[number] in {"memory", "gpu"} or not (asked.memory_bytes or asked.gpu)
        right += served and modest
    told_right = [kinds.get(name) == str(kind) for name, kind in zip(names, true, strict=True)]
    return Labelled(right=right / cases, kinds=float(np.mean(told_right)))
