"""Doors of the workers on this machine: sessions start before their campaign has reached its fleet.

Loading Dask, finding the fleet's workers and comparing the inventory with the suite take most of
what passes between Enter and the first case. Workers beside a campaign can start its sessions
meanwhile: it knocks at their doors first. What comes of that is only sooner, for it asks for its
sessions again by Dask.

A door is a socket without a file: it goes with its worker, and only processes of the same network
namespace find it. The kernel says to both sides who the other is: another user's is no door.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ... import __version__
from ..codec import facts_from_json
from ..dispatching.batches import Slot
from ..errors import ProctorError
from ..records import WorkerFacts
from .math_threads import fair_threads
from .orders import EARLY, Act, SlotOrder, session_name
from .spec import ProjectFiles, RunnerSpec

# All doors must have answered by then; a worker that is busy is asked by Dask.
GREETING_SECONDS = 0.25
# What is said at a door fits in this.
MOST_BYTES = 1 << 20
SOCKETS = Path("/proc/net/unix")
# In a line there, of one that listens.
_LISTENS = "00010000"
_CREDENTIALS = struct.Struct("3i")


def door_prefix(scheduler: str) -> str:
    """How the doors of a fleet's workers are called, but for the number of each."""
    fleet = hashlib.blake2b(scheduler.encode(), digest_size=8).hexdigest()
    return f"proctor-door/{os.getuid()}/{fleet}/"


def is_ours(line: socket.socket) -> bool:
    """Whether the process at the other end is this user's."""
    told = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(told)[1] == os.getuid())


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose sessions are to start."""

    campaign: str
    epoch: int
    runner: RunnerSpec
    # None: each slot has its share of the cores.
    math_threads: int | None = None

    def to_json(self, numbers: list[int], *, threads: int) -> bytes:
        """For a worker whose first slots get sessions of these numbers, with so many threads."""
        told = {"campaign": self.campaign, "epoch": self.epoch, "numbers": numbers}
        runner = replace(self.runner, math_threads=threads)
        return json.dumps({**told, "runner": asdict(runner)}).encode() + b"\n"


def orders_from_json(line: bytes) -> list[SlotOrder]:
    """What a worker does for a caller, slot by slot; a ValueError or the like for nonsense."""
    told: dict[str, Any] = json.loads(line)
    given: dict[str, Any] = told["runner"]
    files: dict[str, Any] | None = given["files"]
    fields: dict[str, Any] = {
        **given,
        "arguments": tuple(given["arguments"]),
        "files": None if files is None else ProjectFiles(**files),
    }
    runner = RunnerSpec(**fields)
    numbers: list[int] = told["numbers"]
    return [
        SlotOrder(
            campaign=told["campaign"],
            epoch=told["epoch"],
            name=f"{EARLY}{slot}",
            slot=slot,
            act=Act.WARM,
            runner=replace(runner, worker_id=session_name(number)),
        )
        for slot, number in enumerate(numbers)
    ]


class Knock:
    """Doors at which a campaign has knocked; they are held open until it has come and gone.

    When they close, what was started and never used ends.
    """

    def __init__(self, lines: list[socket.socket], numbers: Mapping[Slot, int]) -> None:
        self._lines = lines
        # What sessions that were asked for are called, by their slots.
        self.numbers = numbers

    def close(self) -> None:
        for line in self._lines:
            line.close()


# Of a campaign that has no use for it.
NOBODY = Knock([], {})


def knock(scheduler: str, caller: Caller, *, most: int) -> Knock:
    """Have workers of a fleet that have doors here start so many of the caller's sessions."""
    end = time.monotonic() + GREETING_SECONDS
    lines = [line for name in _doors(door_prefix(scheduler)) if (line := _at(name))]
    greeted: dict[str, tuple[WorkerFacts, socket.socket]] = {}
    for line in lines:
        facts = _greeting(line, end)
        if facts is None:
            line.close()
        else:
            greeted[facts.name] = (facts, line)
    numbers: dict[Slot, int] = {}
    kept: list[socket.socket] = []
    for name, (facts, line) in sorted(greeted.items()):
        own = list(range(len(numbers), min(most, len(numbers) + facts.slots)))
        if not own:
            line.close()
            continue
        numbers.update((Slot(name, slot), number) for slot, number in enumerate(own))
        kept.append(line)
        threads = caller.math_threads
        if threads is None:
            threads = fair_threads(facts, (each for each, _ in greeted.values()))
        # Who has left meanwhile is missed by nobody.
        with suppress(OSError):
            line.sendall(caller.to_json(own, threads=threads))
    return Knock(kept, numbers)


def _doors(prefix: str) -> list[str]:
    try:
        told = SOCKETS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # Number, references, protocol, flags, type, state, inode, name; `@` is for no file.
    fields = (line.split() for line in told.splitlines() if f"@{prefix}" in line)
    return sorted({each[7][1:] for each in fields if len(each) == 8 and each[3] == _LISTENS})


def _at(name: str) -> socket.socket | None:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(GREETING_SECONDS)
        line.connect(f"\0{name}")
        if is_ours(line):
            return line
    except OSError:
        # It has just gone.
        pass
    line.close()
    return None


def _greeting(line: socket.socket, end: float) -> WorkerFacts | None:
    """What a worker says of itself; None when it says nothing in time, or speaks otherwise."""
    told = b""
    try:
        while not told.endswith(b"\n"):
            line.settimeout(max(0.001, end - time.monotonic()))
            chunk = line.recv(4096)
            if not chunk or len(told) > MOST_BYTES:
                return None
            told += chunk
        greeting: dict[str, Any] = json.loads(told)
        # Another version's orders are refused by Dask's way in, with the reason.
        if greeting["version"] != __version__:
            return None
        return facts_from_json(greeting["facts"])
    except (OSError, ValueError, TypeError, KeyError, ProctorError):
        return None
