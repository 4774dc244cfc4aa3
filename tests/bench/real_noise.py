"""Real noise, where a sample of it is at hand: cloud machines that ran one program for months.

`PROCTOR_TREND_DATA` names the folder with `vm_noise_sample.parquet` (series, ts, value) and
`pytorch_test_times_sample.parquet` (env, cfg, test, date, sec). Nothing is tuned on them.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import numpy as np
from histories import Floats, History, Rng, shifted

_FOLDER = os.environ.get("PROCTOR_TREND_DATA", "")
VM_NOISE = Path(_FOLDER) / "vm_noise_sample.parquet"
# Runs that resemble each other in the noise stay together when it is shuffled.
BLOCK = 8
TEST_TIMES = Path(_FOLDER) / "pytorch_test_times_sample.parquet"


def vm_series() -> dict[str, Floats]:
    """Each series in the order of time."""
    rows = duckdb.sql(
        f"select series, list(value order by ts) from '{VM_NOISE}' group by series order by series"
    ).fetchall()
    return {name: np.array(values, float) for name, values in rows}


def kind_of(name: str) -> str:
    """Whether all runs were on one machine, or each on one of its own."""
    return "fresh machines" if "|short|" in name else "one machine"


def unchanged(name: str, values: Floats) -> History:
    return History(kind=kind_of(name), values=values)


def test_times() -> list[Floats]:
    """Seconds of each test in each job, oldest first."""
    rows = duckdb.sql(
        f"select list(sec order by date) from '{TEST_TIMES}' group by env, cfg, test"
        " having count(*) >= 2 order by env, cfg, test"
    ).fetchall()
    return [np.array(seconds, float) for (seconds,) in rows]


def windows(rng: Rng, count: int) -> list[tuple[str, Floats]]:
    """Stretches of 100 to 400 points from series of noise, the same number from each."""
    known = list(vm_series().items())
    out = list[tuple[str, Floats]]()
    for i in range(count):
        name, values = known[i % len(known)]
        n = int(rng.integers(100, 401))
        start = int(rng.integers(0, len(values) - n + 1))
        out.append((name, values[start : start + n]))
    return out


def shuffled(values: Floats, rng: Rng) -> Floats:
    """Blocks in another order: no level lasts, and what neighbours share stays shared.

    Machines move, and their levels with them, without any change in the program; a detector is
    right to see that. Whatever it sees after shuffling is false.
    """
    starts = np.arange(0, len(values), BLOCK)
    return np.concatenate([values[a : a + BLOCK] for a in rng.permutation(starts)])


def injected(noises: list[tuple[str, Floats]], rng: Rng) -> list[History]:
    """Real noise with shifts put in, sized by its own spread."""
    out = list[History]()
    for name, values in noises:
        middle = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - middle))) or float(values.std())
        if spread <= 0:
            continue
        shifts = max(1, int(rng.poisson(len(values) / 140)))
        raw = shifted((values - middle) / spread, rng, kind="real", count=shifts)
        out.append(
            History(
                kind=kind_of(name),
                values=middle + spread * raw.values,
                changes=raw.changes,
                sizes=raw.sizes,
            )
        )
    return out
