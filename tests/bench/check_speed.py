"""How long the invariants take over one large campaign: `python tests/bench/check_speed.py [N]`.

The campaign is run on a virtual clock first, with a worker killed now and then.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from virtual_campaigns import perform
from virtual_plays import Play, cases, worker

from proctor.infra.faults.verdict import Validity
from proctor.monitoring.invariants import examine_campaign

WORKERS = 16


def main() -> int:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    many = cases(number, files=max(1, number // 50))
    seconds = 60.0 * 2 * WORKERS / number
    play = Play(
        name="large",
        cases=many,
        workers=[worker(f"w{each}") for each in range(WORKERS)],
        seconds=dict.fromkeys((case.id for case in many), seconds),
        kills=[(10.0 * turn, f"w{turn}") for turn in range(1, 5)],
    )
    with tempfile.TemporaryDirectory() as state:
        began = time.monotonic()
        directory = perform(play, Path(state))
        ran = time.monotonic() - began
        size = sum(path.stat().st_size for path in directory.glob("ledger-*"))
        began, cpu = time.monotonic(), time.process_time()
        examination = examine_campaign(directory, against=directory)
        took, used = time.monotonic() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{number:,} cases ({size / 1e6:.0f} MB, made in {ran:.1f} s): {examination.validity},"
        f" {len(examination.held)} invariants in {took:.1f} s ({used:.1f} s CPU, peak of the whole"
        f" process {peak:,.0f} MB)"
    )
    for held in examination.held:
        if held.validity is not Validity.VALID:
            print(f"{held.invariant}: {held.count}, such as {held.offences[0].reason}")
    return 0 if examination.validity is Validity.VALID else 1


if __name__ == "__main__":
    sys.exit(main())
