"""Faults of processes: kill, restart, freeze, slow, and pressure on the machine they share."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence

import psutil

from ..cores import core_count
from ..detached_process import spawn
from ..errors import InfrastructureProblem
from ..process_ref import ProcessRef
from ..runners.memory_room import measured_memory
from .kinds import (
    MOST_COUNT,
    PROCESSES,
    FaultKind,
    FaultOrder,
    FaultPlan,
    Parameter,
    count,
    share,
    size,
)
from .lease import FaultFiles
from .targets import FaultRefused, Part
from .undo import MARK, Step, end_marked, remove, resume, start_unless

# A frozen tree is looked at again for children born meanwhile.
FREEZE_ROUNDS = 3
# It goes on, whatever else stands still.
REAPER = f"{__package__}.reaper"
# Pressure on memory never takes more than this share of what is available.
MOST_MEMORY = 0.8


class FaultFailed(InfrastructureProblem):
    """A fault could not act."""


def _kill(order: FaultOrder) -> FaultPlan:
    return _signalled(order, signal.SIGKILL)


def _restart(order: FaultOrder) -> FaultPlan:
    return _signalled(order, signal.SIGTERM)


def _signalled(order: FaultOrder, number: signal.Signals) -> FaultPlan:
    victims = order.target.refs

    def act() -> None:
        for victim in victims:
            process = victim.process
            if process is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    return FaultPlan(
        undo=_comes_back(order),
        act=act,
        detail={"pids": [each.pid for each in victims]},
        # The supervisor alone has nobody who would start it again.
        instant=order.target.part is not Part.SUPERVISOR,
    )


def _comes_back(order: FaultOrder) -> tuple[Step, ...]:
    if order.target.part is not Part.SUPERVISOR:
        return ()
    command = (sys.executable, "-m", "proctor.deployments.standing.supervisor")
    files = order.files
    return (
        start_unless((*command, "--state", str(files.state)), log=files.logs / "supervisor.log"),
    )


def _freeze(order: FaultOrder) -> FaultPlan:
    victims = order.target.refs
    # What is below it stops with it, as on a machine that is suspended.
    below = [each for victim in victims for each in _below(victim)]

    def act() -> None:
        for victim in victims:
            _stop(victim)
        for _ in range(FREEZE_ROUNDS):
            for victim in victims:
                for each in _below(victim):
                    _stop(each)

    return FaultPlan(
        undo=tuple(resume([*victims, *below])),
        act=act,
        detail={"pids": [each.pid for each in victims]},
    )


def _below(victim: ProcessRef) -> list[ProcessRef]:
    process = victim.process
    if process is None:
        return []
    try:
        children = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [
        ref
        for child in children
        if not _is_reaper(child) and (ref := ProcessRef.of(child.pid)) is not None
    ]


def _is_reaper(process: psutil.Process) -> bool:
    """Whether it is who undoes faults: a supervisor may have started it."""
    with contextlib.suppress(psutil.Error):
        return REAPER in process.cmdline()
    return False


def _stop(victim: ProcessRef) -> None:
    process = victim.process
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()


def _slow(order: FaultOrder) -> FaultPlan:
    victims = order.target.refs
    told = str(order.parameters["share"])

    def act() -> None:
        for victim in victims:
            _press(
                order,
                *("slow", "--pid", str(victim.pid), "--created", repr(victim.created)),
                *("--share", told),
            )

    return FaultPlan(
        # In this order: whoever slows it must not stop it once more.
        undo=(end_marked(order.id), *resume(victims)),
        act=act,
        detail={"pids": [each.pid for each in victims], "share": order.parameters["share"]},
    )


def _cpu(order: FaultOrder) -> FaultPlan:
    def act() -> None:
        for _ in range(order.parameters["processes"]):
            _press(order, "cpu")

    return FaultPlan(undo=(end_marked(order.id),), act=act, detail=dict(order.parameters))


def _memory(order: FaultOrder) -> FaultPlan:
    wanted: int = order.parameters["size"]
    available = measured_memory().available_bytes
    if wanted > MOST_MEMORY * available:
        raise FaultRefused(
            f"memory pressure of {wanted} bytes would take the {available} that are available",
            remedy=f"write a size of at most {MOST_MEMORY:.0%} of that",
        )
    return FaultPlan(
        undo=(end_marked(order.id),),
        act=lambda: _press(order, "memory", "--size", str(wanted)),
        detail=dict(order.parameters),
    )


def _disk(order: FaultOrder) -> FaultPlan:
    path = order.files.state / f"{order.id}.pressure"
    return FaultPlan(
        undo=(end_marked(order.id), remove(path)),
        act=lambda: _press(order, "disk", "--path", str(path)),
        detail={"path": str(path)},
    )


def _press(order: FaultOrder, *arguments: str) -> None:
    command: Sequence[str] = (
        *(sys.executable, "-m", f"{__package__}.pressure"),
        *(*arguments, "--until", repr(order.until)),
    )
    kept = {name: value for name, value in os.environ.items() if name != "PROCTOR_RESIDENT"}
    log = FaultFiles(state=order.files.state).directory / "pressure.log"
    try:
        spawn(command, environ={**kept, MARK: order.id}, log=log)
    except OSError as problem:
        raise FaultFailed(
            f"the process that presses could not be started ({problem.strerror})",
            remedy="look for a limit on processes or memory",
        ) from problem


KINDS = (
    FaultKind(
        name="kill",
        summary="end a process at once, as kill -9, a crash or the out-of-memory killer does",
        parts=PROCESSES,
        plan=_kill,
    ),
    FaultKind(
        name="restart",
        summary="ask a process to end; its keeper starts it again",
        parts=PROCESSES,
        plan=_restart,
    ),
    FaultKind(
        name="freeze",
        summary="stop a process and all below it, and let them go on when the time is over",
        parts=PROCESSES,
        plan=_freeze,
    ),
    FaultKind(
        name="slow",
        summary="let a process run for a share of the time only",
        parts=PROCESSES,
        plan=_slow,
        parameters={"share": Parameter(summary="of the time it runs", default=0.2, read=share)},
    ),
    FaultKind(
        name="cpu",
        summary="keep cores busy",
        parts=frozenset({Part.HOST}),
        plan=_cpu,
        parameters={
            "processes": Parameter(
                summary="how many burn", default=min(core_count(), MOST_COUNT), read=count
            )
        },
    ),
    FaultKind(
        name="memory",
        summary="hold memory",
        parts=frozenset({Part.HOST}),
        plan=_memory,
        parameters={"size": Parameter(summary="how much", default="256MB", read=size)},
    ),
    FaultKind(
        name="disk",
        summary="write to the state directory's disk and sync, again and again",
        parts=frozenset({Part.HOST}),
        plan=_disk,
    ),
)
