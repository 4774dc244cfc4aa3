"""Injectors that die in the middle of a fault, and what shows that one still acts."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from faulty_fleets import PATIENCE, FaultyFleet, is_stopped

from proctor.infra.faults.undo import MARK
from proctor.infra.process_ref import ProcessRef, marked

LEASE_SECONDS = 3.0
# It acts, and dies before anybody could be told: the lease's lock goes with it.
INJECTOR = """\
import json, os, random, signal, sys
from dataclasses import replace
from pathlib import Path
from proctor.infra.faults import inject as fault_inject
from proctor.infra.faults.lease import FaultFiles
from proctor.infra.faults.record import FaultRecorder
from proctor.infra.faults.targets import Targets, parse_selector

state, kind, target, parameters = Path(sys.argv[1]), *sys.argv[2:4], json.loads(sys.argv[4])
choose = fault_inject.choose_kind

def deadly(name):
    chosen = choose(name)

    def plan(order):
        made = chosen.plan(order)

        def act():
            made.act()
            os.kill(os.getpid(), signal.SIGKILL)

        return replace(made, act=act)

    return replace(chosen, plan=plan)

fault_inject.choose_kind = deadly
files = FaultFiles(state=state)
found = Targets(state).find(parse_selector(target), random.Random(0))
fault_inject.Injector(files, recorder=FaultRecorder(files)).inject(
    kind, found, seconds=float(sys.argv[5]), parameters=parameters
)
"""
# Kind: its target and parameters.
LASTING = {
    "freeze": ("worker:cpu-1", {}),
    "slow": ("worker:cpu-1", {"share": 0.5}),
    "latency": ("worker:cpu-1", {"delay": "50ms"}),
    "bandwidth": ("worker:cpu-1", {"rate": "1MB"}),
    "disconnect": ("worker:cpu-1", {}),
    "partition": ("worker:cpu-1", {}),
    "disk-full": ("worker:cpu-1", {}),
    "clock": ("worker:cpu-1", {"offset": "-1h"}),
    "cpu": ("host", {"processes": 1}),
    "memory": ("host", {"size": "16MB"}),
    "disk": ("host", {}),
}


def inject_and_die(
    state: Path,
    kind: str,
    target: str,
    parameters: dict[str, object],
    *,
    seconds: float = LEASE_SECONDS,
    **environment: str,
) -> None:
    arguments = [str(state), kind, target, json.dumps(parameters), str(seconds)]
    done = subprocess.run(
        [sys.executable, "-c", INJECTOR, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def traces(fleet: FaultyFleet, fault: str, worker: ProcessRef, limit: tuple[int, int]) -> list[str]:
    """Whatever shows that a fault acts."""
    found = [f"process {each.pid}" for each in marked(MARK, fault)]
    found += [str(path) for path in fleet.state.rglob(f"{fault}*") if "faults" not in path.parts]
    found += [str(path) for path in (fleet.files.directory / "clocks").glob("*")]
    if is_stopped(worker):
        found.append("it is stopped")
    # One that was cut off ends and is started again.
    if worker.alive and resource.prlimit(worker.pid, resource.RLIMIT_FSIZE) != limit:
        found.append("its files may not grow")
    return found
