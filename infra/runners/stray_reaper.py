"""Ends what tests started and their dead worker can no longer end.

A runner dies with its worker, and its worker ends what its tests started: but nobody ends that
when the worker itself is killed. All of it bears a mark that names its owner by process number,
start and place, and the scratch directory of its fleet. Only what bears the mark of an owner that
is surely dead, of the same scratch directory and of this pid namespace, is ended; whatever cannot
be read or told is left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

logger = logging.getLogger(__name__)

# In the environment of every process below a runner.
MARK = "PROCTOR_RUNNER"
_ENTRY = f"{MARK}=".encode()
# What is killed may have started more meanwhile.
ROUNDS = 5
LOOK_SECONDS = 2.0
PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The process that ends what bears its mark, for as long as it lives."""

    pid: int
    # In ticks since the machine's start: unlike a time, no clock can move it.
    started: int
    # The pid namespace in which the number means something; empty where there is none.
    place: str
    # Which fleet's: a digest of its scratch directory.
    scope: str

    @classmethod
    def here(cls, scratch: Path | None) -> Self:
        """The calling process."""
        pid = os.getpid()
        return cls(
            pid=pid, started=_started(pid) or 0, place=_place("self"), scope=scope_of(scratch)
        )

    def mark(self) -> str:
        """A value that no other child has."""
        return f"{uuid.uuid4().hex}.{self.scope}.{self.pid}.{self.started}.{self.place}"

    @classmethod
    def of(cls, mark: str) -> Self | None:
        """Who is named in a mark; None for one of another version."""
        match mark.split("."):
            case [_, scope, pid, started, place] if pid.isdecimal() and started.isdecimal():
                return cls(pid=int(pid), started=int(started), place=place, scope=scope)
            case _:
                return None

    def is_dead(self) -> bool:
        """Whether it has surely ended."""
        if not self.started or not self.place or self.place != _place("self"):
            return False
        return _started(self.pid) != self.started


def scope_of(scratch: Path | None) -> str:
    if scratch is None:
        return "none"
    return hashlib.blake2b(os.fsencode(scratch.resolve()), digest_size=6).hexdigest()


def strays(scratch: Path) -> list[psutil.Process]:
    """What tests of this scratch directory's workers started, and outlived its worker."""
    scope = scope_of(scratch)
    here, user = _place("self"), os.getuid()
    # Many bear the mark of one owner.
    known: dict[Owner, bool] = {}
    found: list[psutil.Process] = []
    for pid in psutil.pids():
        # It goes while we look, or is somebody else's.
        with contextlib.suppress(OSError, psutil.Error):
            owner = _owner(pid)
            if owner is None or owner.scope != scope or pid == os.getpid():
                continue
            process = psutil.Process(pid)
            if not known.setdefault(owner, owner.is_dead()) or not here:
                continue
            is_ours = _place(str(pid)) == here and process.uids().real == user
            # Once more: the number may have passed to another process since.
            if is_ours and process.status() != psutil.STATUS_ZOMBIE and _owner(pid) == owner:
                found.append(process)
    return found


def reap(scratch: Path, *, look: Callable[[Path], list[psutil.Process]] = strays) -> int:
    """End all strays of a scratch directory; how many there were."""
    ended: set[int] = set()
    for _ in range(ROUNDS):
        left = look(scratch)
        if not left:
            break
        for process in left:
            # Compares the creation time: a reused number is another process.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
                ended.add(process.pid)
        psutil.wait_procs(left, timeout=0.5)
    return len(ended)


class StrayKeeper:
    """Looks for strays now and then, for as long as a fleet is up."""

    def __init__(self, scratch: Path, *, reap: Callable[[Path], int] = reap) -> None:
        self._scratch = scratch
        self._reap = reap
        self._due = 0.0

    def tend(self, now: float) -> None:
        """Do what is due."""
        if now < self._due:
            return
        self._due = now + LOOK_SECONDS
        ended = self._reap(self._scratch)
        if ended:
            logger.warning("ended %d processes that tests of a dead worker left behind", ended)


def _owner(pid: int) -> Owner | None:
    for entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
        if entry.startswith(_ENTRY):
            return Owner.of(entry.removeprefix(_ENTRY).decode("ascii", "replace"))
    return None


def _started(pid: int) -> int | None:
    """When a process began; None for one that has ended."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:
        return 0
    # Its name, in parentheses, may hold anything.
    state, *fields = text.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else int(fields[18])


def _place(pid: str) -> str:
    try:
        return str((PROC / pid / "ns" / "pid").readlink()).strip("pid:[]")
    except OSError:
        return ""
