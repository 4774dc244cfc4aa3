"""What runners are told, and what they answer when a batch is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..records import CaseKind, TaskSpec

# What a runner says of its cases as it goes, one JSON-able object at a time.
Message = dict[str, Any]
Emit = Callable[[Message], None]

# A session that says nothing of itself for so long after its start is given up.
START_SECONDS = 60.0
# For a case that comes without a time-out: every wait has an end.
CASE_SECONDS = 3600.0
# Said of a case whose process the kernel ended; it takes who is there, maybe one with little.
KERNEL_KILL = "killed by the kernel for lack of memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFiles:
    """Where a campaign has its project, for workers that may have to be brought it."""

    root: str
    # Whose path that is.
    machine: str
    # Also to workers that have it.
    always: bool = False
    # Run once for each content on each worker that is brought it.
    setup: str = ""
    # Somebody chose the interpreter; else it is the one that was at hand there.
    python_is_named: bool = False
    # By what they named it, if that is a command: each machine has its own PATH.
    python_command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSpec:
    """How to start a runner."""

    # The user's interpreter.
    python: str
    # Arguments for pytest: paths, -k, -m and all else.
    arguments: tuple[str, ...] = ()
    directory: str = "."
    # Added to the environment of this process.
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    # Each case in a process of its own, forked from the warm one.
    isolate: bool = False
    # What pytest-xdist would call it; "" stands for its controller, which runs no case.
    worker_id: str = "gw0"
    worker_count: int = 1
    run_id: str = ""
    # Of each text of a case (a traceback, its stdout, ...); head and tail are kept.
    output_limit_bytes: int = 256 * 1024
    # How long nothing may happen outside any case: importing a file, tearing down a fixture.
    hang_timeout_seconds: float = 300.0
    # Where compiled modules are kept if Python may not write them beside their sources; a worker
    # that does not have this folder keeps none.
    import_cache: str = ""
    # How many threads numerical libraries start in a session; 0 leaves that to them.
    math_threads: int = 0
    # Put the directory on the path as `python -m pytest` does, unlike `pytest`.
    directory_on_path: bool = False
    # None: the project is under its own path wherever this runs.
    files: ProjectFiles | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One case to run, with what its runner must know of it."""

    id: str
    group: str = ""
    timeout_seconds: float | None = None
    memory_limit_bytes: int | None = None
    kind: CaseKind = CaseKind.PYTEST
    task: TaskSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One batch for one runner."""

    batch: str
    work: tuple[Work, ...]
    # No further case is begun after this.
    budget_seconds: float | None = None
    # Groups whose last cases are in this batch: their shared fixtures may go.
    finishes: tuple[str, ...] = ()
    # Files to load before anything else, and those to load when a case fails.
    ahead: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEnd:
    """What became of an order."""

    # Not run and not to blame, in order.
    left: tuple[str, ...] = ()
    # The case that cost the runner its life.
    culprit: str | None = None
    runner_died: bool = False
    # It lives, and what is left cannot be loaded in it: a case has broken what imports need.
    spoilt: bool = False
    reason: str = ""


def ended(
    case: str, *, outcome: str, started: float, finished: float, message: str, **more: Any
) -> Message:
    """The record of a case whose own process cannot write one."""
    return {
        "k": "done",
        "id": case,
        "outcome": outcome,
        "t0": started,
        "t1": finished,
        "cpu": 0.0,
        "peak": 0,
        "read": 0,
        "write": 0,
        "setup": 0.0,
        "call": 0.0,
        "teardown": 0.0,
        "shared": 0.0,
        "message": message,
        "text": [],
        "props": [],
        "notes": [],
        **more,
    }
