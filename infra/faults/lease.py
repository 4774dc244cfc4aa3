"""Faults as leases: what is done to what, until when, and how it is undone, on disk beforehand.

`<state>/faults/leases/<id>.json` stands for as long as the fault may act; whoever undoes it moves
the file to `undone/`. The kernel's lock on the file keeps the act, and two who would undo it,
apart; it is gone with the process that held it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from ..errors import ProctorError
from ..ledgers.append_file import sync_directory, unwritable
from .undo import Step, UndoProblem, follow

logger = logging.getLogger(__name__)

# Who holds a lease's lock for longer than this is frozen or stuck: nobody waits for it.
LOCK_SECONDS = 3.0


class LeaseOver(ProctorError):
    """The fault's time was over before it acted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLease:
    """One injected fault."""

    id: str
    kind: str
    # What it was aimed at, such as "worker:cpu-1".
    target: str
    begins: float
    until: float
    undo: tuple[Step, ...]
    experiment: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFiles:
    """Where a state directory keeps its faults."""

    state: Path

    @property
    def directory(self) -> Path:
        return self.state / "faults"

    @property
    def leases(self) -> Path:
        return self.directory / "leases"

    @property
    def undone(self) -> Path:
        return self.directory / "undone"

    @property
    def reaper(self) -> Path:
        return self.directory / "reaper.lock"

    @property
    def log(self) -> Path:
        return self.directory / "reaper.log"

    @property
    def recorders(self) -> Path:
        return self.state / "recorders" / "faults"

    def lease(self, fault: str) -> Path:
        return self.leases / f"{fault}.json"


def new_id() -> str:
    return f"f-{uuid4().hex[:10]}"


def grant(files: FaultFiles, lease: FaultLease) -> None:
    """Write the lease, so that a power cut after this leaves its recipe."""
    path = files.lease(lease.id)
    try:
        files.leases.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(asdict(lease), file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_directory(files.leases)
    except OSError as problem:
        raise unwritable(path, problem) from problem


def held(files: FaultFiles) -> list[FaultLease]:
    """All faults that may act now, oldest first."""
    leases = [_read(path) for path in files.leases.glob("*.json")]
    return sorted(filter(None, leases), key=lambda lease: lease.begins)


class End(NamedTuple):
    """When a fault was undone, and how: over, expired, asked, down, ..."""

    at: float
    how: str


def end_of(files: FaultFiles, fault: str) -> End | None:
    """None while it may act, and where its end could not be written down."""
    lease = _read(files.undone / f"{fault}.json")
    if lease is None:
        return None
    return End(
        at=float(lease.detail.get("undone_at", lease.until)),
        how=str(lease.detail.get("undone", "")),
    )


def past(files: FaultFiles) -> list[tuple[FaultLease, str]]:
    """Faults that were undone, oldest first, each with how."""
    found: list[tuple[FaultLease, str]] = []
    for path in files.undone.glob("*.json"):
        lease = _read(path)
        if lease is not None:
            found.append((lease, str(lease.detail.get("undone", ""))))
    return sorted(found, key=lambda each: each[0].begins)


@contextlib.contextmanager
def acting(files: FaultFiles, lease: FaultLease) -> Generator[None]:
    """Act within this: nobody undoes the fault meanwhile, unless this process freezes in it."""
    with _locked(files.lease(lease.id)) as there:
        if not there or time.time() >= lease.until:
            raise LeaseOver(
                f"the time of fault {lease.id} was over before it acted", remedy="give it more"
            )
        yield
    if not files.lease(lease.id).exists():
        # It was undone while this process was stopped in the middle: what it did since is too.
        follow(lease.undo)


def settle(files: FaultFiles, lease: FaultLease, how: str) -> bool:
    """Undo a fault and put its lease away; whether it was this call that did so.

    Raises UndoProblem, and leaves the lease in place, when a step could not be done.
    """
    with _locked(files.lease(lease.id)) as there:
        if not there:
            return False
        follow(lease.undo)
        told = asdict(lease)
        told["detail"] = {**lease.detail, "undone": how, "undone_at": time.time()}
        try:
            files.undone.mkdir(parents=True, exist_ok=True)
            (files.undone / f"{lease.id}.json").write_text(json.dumps(told), encoding="utf-8")
        except OSError as problem:
            # It is only for people to read; the disk may be full.
            logger.warning("%s", unwritable(files.undone, problem))
        files.lease(lease.id).unlink(missing_ok=True)
    return True


def settle_all(files: FaultFiles, how: str) -> tuple[list[FaultLease], list[UndoProblem]]:
    """Undo whatever acts now."""
    undone: list[FaultLease] = []
    problems: list[UndoProblem] = []
    for lease in held(files):
        try:
            if settle(files, lease, how):
                undone.append(lease)
        except UndoProblem as problem:
            problems.append(problem)
    return undone, problems


@contextlib.contextmanager
def _locked(path: Path) -> Generator[bool]:
    """Hold the lease's lock, or go on without it when its holder is stuck; whether it is there."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield False
        return
    with file:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    logger.warning("whoever holds the lock of %s is stuck", path.name)
                    break
                time.sleep(0.02)
        yield path.exists()


def _read(path: Path) -> FaultLease | None:
    try:
        given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        given["undo"] = tuple(given["undo"])
        return FaultLease(**given)
    except FileNotFoundError:
        # Undone just now.
        return None
    except (ValueError, KeyError, TypeError) as problem:
        logger.warning("%s is no lease of a fault: %s", path, problem)
        return None
