"""Makes the table in monitoring/trends/thresholds.py: the strongest candidate of series without change.

Ranks make it the same for every noise without ties or memory, so Gaussian noise stands for all.
For each length the upper tail is fitted as log P(strongest > t) = a - b t^2.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from proctor.monitoring.trends.evidence import memory_factor, strengths
from proctor.monitoring.trends.location import relocate
from proctor.monitoring.trends.scan import candidates

LENGTHS = (12, 16, 24, 36, 60, 100, 200, 400, 1000, 2500, 6000)
# What is not convincing at all need not be looked at.
LOW = 3.0


def survivor(values: np.ndarray) -> float:
    """The limit up to which pruning would leave at least one candidate."""
    kept = candidates(values, LOW, depth=1)
    if not kept:
        return 0.0
    memory, best = memory_factor(values), 0.0
    kept = relocate(values, kept)
    while kept:
        found = strengths(values, kept, memory)
        best = max(best, min(found))
        del kept[found.index(min(found))]
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--points", type=int, default=400_000, help="points simulated per length")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    for n in LENGTHS:
        rounds = min(20_000, max(300, options.points // n))
        seen = np.sort([survivor(rng.normal(size=n)) for _ in range(rounds)])[::-1]
        rank = np.arange(1, rounds + 1)
        tail = (rank <= 0.25 * rounds) & (rank >= 4) & (seen > LOW)
        if tail.sum() < 20:
            print(f"# {n}: too few candidates", flush=True)
            continue
        slope, start = np.polyfit(seen[tail] ** 2, np.log((rank[tail] - 0.5) / rounds), 1)
        tops = [round(float(seen[int(p * rounds)]), 2) for p in (0.1, 0.05, 0.01)]
        print(f"    ({n}, {start:.2f}, {-slope:.3f}),  # 10 %, 5 %, 1 %: {tops}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
