"""Faults of the network: rules for the proxies that stand at the edges of a fleet to be broken.

Each worker of such a fleet has a proxy for what it sends and what is sent to it. A fault puts a
file of rules before it and takes it away again; several add up. Where root has a namespace, the
kernel's own `netem` can be used instead.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path

from ..fleet.chaos_mark import edge_directory
from ..whole_file import replace_file
from .kinds import FaultKind, FaultOrder, FaultPlan, Parameter, is_root, seconds, share, size
from .targets import FaultRefused, Part
from .undo import remove, run_command

WORKERS = frozenset({Part.WORKER})


def _ruled(order: FaultOrder, rules: dict[str, object]) -> FaultPlan:
    paths: list[Path] = []
    for owner in order.target.owners:
        directory = edge_directory(order.files.directory, owner)
        if not directory.is_dir():
            raise FaultRefused(
                f"worker {owner} has no proxy at its edge",
                remedy="workers have one where they were started with `proctor up --chaos-target`",
            )
        paths.append(directory / f"{order.id}.json")

    def act() -> None:
        for path in paths:
            replace_file(path, json.dumps(rules))

    return FaultPlan(undo=tuple(map(remove, paths)), act=act, detail=rules)


def _latency(order: FaultOrder) -> FaultPlan:
    return _ruled(order, {"latency": order.parameters["delay"]})


def _bandwidth(order: FaultOrder) -> FaultPlan:
    return _ruled(order, {"bandwidth": order.parameters["rate"]})


def _disconnect(order: FaultOrder) -> FaultPlan:
    return _ruled(order, {"cut": True})


def _partition(order: FaultOrder) -> FaultPlan:
    return _ruled(order, {"hole": True})


def _netem(order: FaultOrder) -> FaultPlan:
    namespace = order.target.name.partition(":")[2]
    known = subprocess.run(("ip", "netns", "list"), capture_output=True, text=True, check=False)
    if namespace not in [line.split()[0] for line in known.stdout.splitlines() if line.strip()]:
        raise FaultRefused(
            f"there is no network namespace {namespace!r}", remedy="`ip netns list` names them"
        )
    device = "lo"
    inside = ("ip", "netns", "exec", namespace, "tc", "qdisc")
    delay = f"{order.parameters['delay'] * 1000:.0f}ms"
    loss = f"{order.parameters['loss']:.2%}"

    def act() -> None:
        command = (*inside, "replace", "dev", device, "root", "netem", "delay", delay)
        subprocess.run((*command, "loss", loss), capture_output=True, timeout=10, check=True)

    return FaultPlan(
        undo=(run_command((*inside, "del", "dev", device, "root")),),
        act=act,
        detail=dict(order.parameters),
    )


@functools.cache
def _no_netem() -> str:
    if not is_root():
        return "it needs root"
    if not all(map(shutil.which, ("tc", "ip", "unshare"))):
        return "tc, ip or unshare is not installed"
    # In a namespace of its own, which is gone with the command.
    tried = subprocess.run(
        ("unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"),
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return "" if tried.returncode == 0 else f"this kernel says: {tried.stderr.strip()}"


KINDS = (
    FaultKind(
        name="latency",
        summary="delay what a worker sends and what is sent to it",
        parts=WORKERS,
        plan=_latency,
        parameters={"delay": Parameter(summary="by how much", default="200ms", read=seconds)},
    ),
    FaultKind(
        name="bandwidth",
        summary="let only so many bytes a second pass to and from a worker",
        parts=WORKERS,
        plan=_bandwidth,
        parameters={"rate": Parameter(summary="bytes a second", default="64kB", read=size)},
    ),
    FaultKind(
        name="disconnect",
        summary="end a worker's connections and refuse new ones",
        parts=WORKERS,
        plan=_disconnect,
    ),
    FaultKind(
        name="partition",
        summary="let nothing pass to and from a worker, while its connections seem to stand",
        parts=WORKERS,
        plan=_partition,
    ),
    FaultKind(
        name="netem",
        summary="delay and lose packets inside a network namespace, by the kernel",
        parts=frozenset({Part.NETNS}),
        plan=_netem,
        parameters={
            "delay": Parameter(summary="by how much", default="100ms", read=seconds),
            "loss": Parameter(summary="share of packets lost", default=0.01, read=share),
        },
        refusal=_no_netem,
        needs="use the rootless latency, bandwidth, disconnect or partition",
    ),
)
