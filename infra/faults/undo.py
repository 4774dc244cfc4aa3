"""How faults are undone: recipes of steps that are plain data, so that any process can follow them.

A recipe is written to disk before its fault acts. Following it twice, or after a fault that never
acted, does no harm.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from ..detached_process import spawn
from ..errors import InfrastructureProblem
from ..process_ref import ProcessRef, sweep

# In the environment of every process that a fault has started, with the lease's id.
MARK = "PROCTOR_FAULT"

Step = Mapping[str, Any]


class UndoProblem(InfrastructureProblem):
    """A fault could not be undone."""


# Writing recipes ----------------------------------------------------------------------------


def resume(processes: Iterable[ProcessRef]) -> list[Step]:
    """Have stopped processes go on, and all below them."""
    return [{"do": "resume", "pid": each.pid, "created": each.created} for each in processes]


def end_marked(fault: str) -> Step:
    """End all that the fault has started."""
    return {"do": "end-marked", "fault": fault}


def remove(path: Path) -> Step:
    return {"do": "remove", "path": str(path)}


def lift_limit(process: ProcessRef, soft: int, hard: int, *, limit: int) -> Step:
    """Give a process its former limit on the size of files, and those who have theirs from it."""
    return {
        "do": "lift-limit",
        "pid": process.pid,
        "created": process.created,
        "soft": soft,
        "hard": hard,
        "limit": limit,
    }


def start_unless(command: Iterable[str], *, log: Path) -> Step:
    """Start a process that says no to a second of its kind by itself."""
    return {"do": "start", "command": list(command), "log": str(log)}


def run_command(command: Iterable[str]) -> Step:
    """Run a command that does nothing where there is nothing to undo; its code is not looked at."""
    return {"do": "run", "command": list(command)}


# Following them -----------------------------------------------------------------------------


def follow(recipe: Iterable[Step]) -> None:
    """Do every step; raises UndoProblem at the end if some could not be done."""
    problems: list[str] = []
    for step in recipe:
        act = _ACTS.get(step["do"])
        if act is None:
            problems.append(f"nobody knows how to {step['do']!r}")
            continue
        try:
            act(step)
        except (OSError, psutil.Error, subprocess.SubprocessError) as problem:
            problems.append(f"{step['do']} failed ({problem})")
    if problems:
        raise UndoProblem(
            f"a fault could not be undone: {'; '.join(problems)}",
            remedy="undo it by hand, then run `proctor chaos undo`",
        )


def _resume(step: Step) -> None:
    process = _process(step)
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.status() == psutil.STATUS_STOPPED:
                    child.resume()


def _end_marked(step: Step) -> None:
    sweep(MARK, step["fault"], spare=frozenset({os.getpid()}))


def _remove(step: Step) -> None:
    Path(step["path"]).unlink(missing_ok=True)


def _lift_limit(step: Step) -> None:
    process = _process(step)
    if process is None:
        return
    former = (step["soft"], step["hard"])
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        resource.prlimit(step["pid"], resource.RLIMIT_FSIZE, former)
        # The second time for what the children started meanwhile.
        for child in (*process.children(recursive=True), *process.children(recursive=True)):
            with contextlib.suppress(ProcessLookupError):
                if resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[0] == step["limit"]:
                    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, former)


def _start(step: Step) -> None:
    spawn(step["command"], environ=os.environ, log=Path(step["log"]))


def _run(step: Step) -> None:
    subprocess.run(step["command"], capture_output=True, timeout=10, check=False)


def _process(step: Step) -> psutil.Process | None:
    return ProcessRef(pid=step["pid"], created=step["created"]).process


_ACTS: Mapping[str, Callable[[Step], None]] = {
    "resume": _resume,
    "end-marked": _end_marked,
    "remove": _remove,
    "lift-limit": _lift_limit,
    "start": _start,
    "run": _run,
}
