"""Runs apache-otava and ruptures over series given as JSON lines; for an interpreter that has them.

Reads {"method", "values"} a line, writes the list of change points and the CPU seconds it took.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np


def _otava(values: list[float], p: float) -> list[int]:
    from otava.analysis import compute_change_points

    found, _ = compute_change_points(values, window_len=50, max_pvalue=p)
    return [int(c.index) for c in found]


def _ruptures(values: list[float]) -> list[int]:
    import ruptures

    signal = np.asarray(values, float)
    spread = np.median(np.abs(signal - np.median(signal))) * 1.4826 or signal.std() or 1.0
    scaled = ((signal - np.median(signal)) / spread).reshape(-1, 1)
    algo = ruptures.KernelCPD(kernel="rbf", min_size=4).fit(scaled)
    return [int(c) for c in algo.predict(pen=3 * np.log(len(signal)))[:-1]]


METHODS = {
    "otava": lambda v: _otava(v, 0.001),
    "otava p=1e-5": lambda v: _otava(v, 1e-5),
    "ruptures rbf": _ruptures,
}


def main() -> int:
    for line in sys.stdin:
        job = json.loads(line)
        started = time.process_time()
        found = METHODS[job["method"]](job["values"])
        print(json.dumps({"found": found, "seconds": time.process_time() - started}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
