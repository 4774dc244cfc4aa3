"""Bar 4: injectors killed with -9 in the middle of a fault; how soon after its time nothing is left.

    python tests/bench/injector_killed.py [--times 3] [--seconds 3]

Each kind that lasts is injected into a resident fleet, by a process that kills itself once it acts.
Nobody then helps: it is restored if, once the lease is put away, nothing shows that the fault ever
acted and its worker is heard of again. Kinds that act at once or want a disk or a network of their
own have tests: tests/faults/test_injector_killed.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dying_injectors import LASTING, inject_and_die, traces
from faulty_fleets import PATIENCE, FaultyFleet, faulty_fleet
from waiting import wait_until

from proctor.infra.faults.lease import held, past


def seconds_late(fleet: FaultyFleet, kind: str, seconds: float) -> float | None:
    """From the end of the lease until it was undone; None if something of it is left."""
    fleet.await_workers(1)
    target, parameters = LASTING[kind]
    worker = fleet.ref("worker:cpu-1")
    limit = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    inject_and_die(fleet.state, kind, target, parameters, seconds=seconds)
    wait_until(lambda: not held(fleet.faults), timeout=PATIENCE, what="the lease to be settled")
    lease, how = past(fleet.faults)[-1]
    if (lease.kind, how) != (kind, "expired") or traces(fleet, lease.id, worker, limit):
        return None
    fleet.await_word("cpu-1")
    return float(lease.detail["undone_at"]) - lease.until


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each fault may last")
    told = parser.parse_args(argv)
    restored = tried = 0
    worst = 0.0
    with (
        tempfile.TemporaryDirectory(prefix="proctor-killed-", ignore_cleanup_errors=True) as place,
        faulty_fleet(Path(place) / "state", "--cpu", "1") as fleet,
    ):
        for kind in LASTING:
            found = [seconds_late(fleet, kind, told.seconds) for _ in range(told.times)]
            late = [each for each in found if each is not None]
            row = {"kind": kind, "n": len(found), "restored": len(late)}
            if late:
                row["late at most, s"] = round(max(late), 2)
                worst = max(worst, *late)
            print(json.dumps(row), flush=True)
            tried, restored = tried + len(found), restored + len(late)
    print(f"{restored} of {tried} restored, at most {worst:.2f} s after the end of the lease")
    return 0 if restored == tried else 1


if __name__ == "__main__":
    raise SystemExit(main())
