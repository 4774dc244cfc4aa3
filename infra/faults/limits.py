"""Faults of what processes are given: a full disk, a clock that lies."""

from __future__ import annotations

import resource
import shutil

from ..fleet.chaos_mark import clock_file, edge_directory
from ..process_ref import ProcessRef
from ..whole_file import replace_file
from .kinds import PROCESSES, FaultKind, FaultOrder, FaultPlan, Parameter, any_seconds, size
from .lease import FaultFiles, held
from .targets import FaultRefused, Part
from .undo import lift_limit, remove

# A disk that has more room than this is not filled: it is somebody's.
MOST_FILLED_BYTES = 1 << 30


def _disk_full(order: FaultOrder) -> FaultPlan:
    """The kernel refuses to let a process's files grow, as a full disk does.

    Rootless, and no other process notices; what it tells is EFBIG instead of ENOSPC.
    """
    victims = order.target.refs
    limit: int = order.parameters["limit"]
    before = {each: _former_limit(order, each) for each in victims}

    def act() -> None:
        for each in victims:
            if each.alive:
                resource.prlimit(each.pid, resource.RLIMIT_FSIZE, (limit, before[each][1]))

    return FaultPlan(
        undo=tuple(lift_limit(each, *before[each], limit=limit) for each in victims),
        act=act,
        detail={"pids": [each.pid for each in victims], **order.parameters},
    )


def _former_limit(order: FaultOrder, process: ProcessRef) -> tuple[int, int]:
    """What a process had before any fault: what another one gave it must not be given back."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    leases = held(FaultFiles(state=order.files.state))
    given = {step.get("limit") for lease in leases for step in lease.undo}
    return (hard if soft in given else soft), hard


def _fill(order: FaultOrder) -> FaultPlan:
    state = order.files.state
    free = shutil.disk_usage(state).free
    if free > order.parameters["most"]:
        raise FaultRefused(
            f"the disk of {state} has {free} bytes free: it is not this fleet's alone",
            remedy="put the state on a small disk (a tmpfs), or use disk-full on a process",
        )
    path = state / f"{order.id}.fill"

    def act() -> None:
        with path.open("wb", buffering=0) as file:
            block = b"\0" * (1 << 16)
            while len(block) > 64:
                try:
                    file.write(block)
                except OSError:
                    block = block[: len(block) // 2]

    return FaultPlan(undo=(remove(path),), act=act, detail={"path": str(path)})


def _clock(order: FaultOrder) -> FaultPlan:
    workers = order.target.processes
    fleet = order.files.directory
    if not all(edge_directory(fleet, owner).is_dir() for owner, _ in workers):
        raise FaultRefused(
            "these workers do not look for a clock that lies",
            remedy="start them with `proctor up --chaos-target`",
        )
    paths = [clock_file(fleet, owner) for owner, _ in workers]

    def act() -> None:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, repr(order.parameters["offset"]))

    return FaultPlan(undo=tuple(map(remove, paths)), act=act, detail=dict(order.parameters))


KINDS = (
    FaultKind(
        name="disk-full",
        summary="let no file of a process grow, as on a full disk",
        parts=PROCESSES,
        plan=_disk_full,
        parameters={"limit": Parameter(summary="largest size of a file", default=0, read=size)},
    ),
    FaultKind(
        name="fill-disk",
        summary="fill the state directory's disk to the last byte",
        parts=frozenset({Part.STATE}),
        plan=_fill,
        parameters={
            "most": Parameter(
                summary="refuse if more is free", default=MOST_FILLED_BYTES, read=size
            )
        },
    ),
    FaultKind(
        name="clock",
        summary="let a worker's sessions tell a wrong time",
        parts=frozenset({Part.WORKER}),
        plan=_clock,
        parameters={"offset": Parameter(summary="how wrong", default="3600s", read=any_seconds)},
    ),
)
