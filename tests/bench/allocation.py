"""How fast and how good the allocation is, on plain and on mixed fleets.

    python tests/bench/allocation.py [--seed 1] [--json]

Bars: 10,000 cases over 1,000 workers within 1 s, 100,000 within 15 s, both within 5 % of the lower
bound.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence

from proctor.infra.planning.allocation import Piece, allocate
from proctor.infra.planning.bounds import Offer
from proctor.infra.records import Requirements
from proctor.infra.worker_classes import WorkerClass

GIB = 2**30
PLAIN = Requirements()
WIDE = Requirements(cpu=4, memory_bytes=4 * GIB)
LARGE = Requirements(memory_bytes=48 * GIB)
GPU = Requirements(gpu=1)
HALF_GPU = Requirements(gpu=0.5, memory_bytes=8 * GIB)
LICENSED = Requirements(tags=frozenset({"licence"}))

Lengths = Callable[[random.Random], float]
LENGTHS: dict[str, Lengths] = {
    "even": lambda rng: rng.uniform(0.5, 1.5),
    "heavy-tailed": lambda rng: rng.lognormvariate(0, 1.5),
    "bimodal": lambda rng: rng.choice((0.1, 0.1, 0.1, 5.0)) * rng.uniform(0.8, 1.2),
}


def plain_fleet(workers: int) -> list[Offer]:
    """Workers of one slot."""
    only = WorkerClass(name="cpu", slots=1, cpu=1, memory_bytes=4 * GIB)
    return [Offer(facts=only.facts(1), count=workers)]


def mixed_fleet(workers: int) -> list[Offer]:
    """Seven in ten plain ones, two with memory, one with GPUs; each boots in its own time."""
    classes = (
        (WorkerClass(name="cpu", slots=4, cpu=4, memory_bytes=16 * GIB, boot_seconds=0.2), 0.7),
        (WorkerClass(name="highmem", slots=4, cpu=8, memory_bytes=128 * GIB,
                     tags=frozenset({"licence"}), boot_seconds=0.5), 0.2),
        (WorkerClass(name="gpu", slots=4, cpu=8, memory_bytes=64 * GIB, gpu=2,
                     boot_seconds=1.0), 0.1),
    )  # fmt: skip
    return [
        Offer(facts=each.facts(1), count=round(workers * share), boot_seconds=each.boot_seconds)
        for each, share in classes
    ]


MIX = ((PLAIN, 80), (WIDE, 5), (LARGE, 5), (GPU, 4), (HALF_GPU, 4), (LICENSED, 2))


def measure(
    fleet: str, lengths: str, cases: int, workers: int, seed: int
) -> dict[str, float | str]:
    """Allocate once."""
    rng = random.Random(seed)
    draw = LENGTHS[lengths]
    if fleet == "plain":
        offers = plain_fleet(workers)
        pieces = [Piece(needs=PLAIN, seconds=draw(rng)) for _ in range(cases)]
    else:
        offers = mixed_fleet(workers)
        needs = rng.choices([each for each, _ in MIX], [weight for _, weight in MIX], k=cases)
        pieces = [Piece(needs=each, seconds=draw(rng)) for each in needs]
    began = time.perf_counter()
    found = allocate(pieces, offers)
    return {
        "fleet": fleet,
        "lengths": lengths,
        "cases": cases,
        "workers": workers,
        "seconds": time.perf_counter() - began,
        "makespan": found.makespan,
        "bound": found.bound,
        "gap": found.gap,
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args(argv)
    rows = [
        measure(fleet, lengths, cases, 1_000, told.seed)
        for cases in (10_000, 100_000)
        for fleet in ("plain", "mixed")
        for lengths in LENGTHS
    ]
    if told.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(
            f"{row['cases']:>7,} cases on {row['workers']:,} workers, {row['fleet']:<6}"
            f" {row['lengths']:<13} {row['seconds']:6.2f} s   makespan {row['makespan']:8.2f}"
            f"   bound {row['bound']:8.2f}   {row['gap']:6.2%} over"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
