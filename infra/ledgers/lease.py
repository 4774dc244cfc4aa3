"""The right to write a campaign's ledger: one holder at a time, each with an epoch of its own.

A lease is a file that is created once and touched every second. Whoever finds the newest one
released or expired creates the next; the former holder sees that file and must stop.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from ..errors import LeaseLost, StateUnwritable
from ..process_ref import born
from .append_file import sync_directory, unwritable
from .epochs import numbers

# Longer than a loaded machine keeps a thread waiting.
TTL_SECONDS = 15.0
TOUCH_SECONDS = 1.0
# So long a touch that has begun is waited for.
STUCK_SECONDS = 5.0
_RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who took an epoch."""

    epoch: int
    # When the lease was last touched.
    touched: float
    released: bool = False
    pid: int = 0
    host: str = ""
    # The boot and the process namespace in which the pid means something.
    place: str = ""
    # Since that boot: the wall clock may have been set meanwhile.
    process_started: float = 0.0
    since: float = 0.0

    @property
    def sentence(self) -> str:
        if not self.pid:
            return "it is being run by a process that has not said who it is"
        since = datetime.fromtimestamp(self.since).astimezone()
        return f"it is run by pid {self.pid} on {self.host} since {since:%Y-%m-%d %H:%M:%S}"

    def is_holding(self, now: float, ttl: float = TTL_SECONDS) -> bool:
        """Whether the lease is neither released nor expired nor its holder known to be dead."""
        return not self.released and now - self.touched <= ttl and not self.is_dead()

    def is_dead(self) -> bool:
        """Whether its process is known to have ended; not of one on another machine."""
        if not self.pid or self.place != place():
            return False
        try:
            process = psutil.Process(self.pid)
            # A pid may have been given to another process since.
            return (
                abs(born(process) - self.process_started) > 1.0
                or process.status() == psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return True


class Lease:
    """A held epoch."""

    def __init__(self, directory: Path, epoch: int, *, clock: Callable[[], float]) -> None:
        self.directory = directory
        self.epoch = epoch
        self._clock = clock
        self._path = lease_path(directory, epoch)
        self._ended = threading.Event()
        self._toucher: threading.Thread | None = None
        self._failure: OSError | None = None

    @classmethod
    def acquire(
        cls, directory: Path, *, clock: Callable[[], float], ttl: float = TTL_SECONDS
    ) -> Lease:
        """Take the next epoch, unless someone holds the newest."""
        while True:
            newest = newest_holder(directory)
            if newest is not None and newest.is_holding(clock(), ttl):
                raise LeaseLost(
                    f"campaign {directory.name} is taken: {newest.sentence}",
                    remedy=f"wait for it, or `proctor cancel {directory.name}`",
                )
            epoch = newest.epoch + 1 if newest else 1
            if _create(lease_path(directory, epoch), since=clock()):
                lease = cls(directory, epoch, clock=clock)
                lease.renew()
                return lease

    def keep(self) -> None:
        """Touch it every second from now on, however busy the main thread is."""
        self._toucher = threading.Thread(target=self._touch_on, name="lease", daemon=True)
        self._toucher.start()

    def renew(self) -> None:
        now = self._clock()
        try:
            os.utime(self._path, (now, now))
        except OSError as problem:
            raise unwritable(self._path, problem) from problem

    def is_current(self) -> bool:
        """Whether nobody has taken a higher epoch."""
        return newest_epoch(self.directory) <= self.epoch

    def check(self) -> None:
        """Raise unless this process may still write."""
        if self._failure is not None:
            raise unwritable(self._path, self._failure) from self._failure
        if not self.is_current():
            newest = newest_holder(self.directory)
            who = newest.sentence if newest else "its directory is gone"
            raise LeaseLost(
                f"campaign {self.directory.name} was taken over from this process: {who}",
                remedy=f"follow it with `proctor watch {self.directory.name}`",
            )

    def release(self) -> None:
        """Let the next one in at once."""
        self.abandon()
        # A full disk must not keep anyone: the lease expires by itself.
        with suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(file, f"{_RELEASED}\n".encode())
            finally:
                os.close(file)

    def abandon(self) -> None:
        """Stop touching it; it expires, or has passed to someone else."""
        self._ended.set()
        if self._toucher is not None:
            # A shared volume that hangs keeps the thread; it must not keep the campaign's end.
            self._toucher.join(STUCK_SECONDS)
            self._toucher = None

    def _touch_on(self) -> None:
        while not self._ended.wait(TOUCH_SECONDS):
            try:
                self.renew()
            except StateUnwritable as problem:
                cause = problem.__cause__
                assert isinstance(cause, OSError)
                self._failure = cause
            else:
                self._failure = None


def lease_path(directory: Path, epoch: int) -> Path:
    return directory / f"lease-{epoch:06d}"


def newest_epoch(directory: Path) -> int:
    """0 when nobody ever held it."""
    return max(numbers(directory, "lease-??????"), default=0)


def newest_holder(directory: Path) -> Holder | None:
    """Who holds, or held last."""
    epoch = newest_epoch(directory)
    if epoch == 0:
        return None
    path = lease_path(directory, epoch)
    try:
        touched = path.stat().st_mtime
        first, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    except FileNotFoundError:
        # Its disk was full, so it was taken back.
        return newest_holder(directory)
    try:
        told = json.loads(first)
        return Holder(epoch=epoch, touched=touched, released=_RELEASED in rest, **told)
    except (ValueError, TypeError):
        # Its holder is between creating and writing it, or died there: it expires.
        return Holder(epoch=epoch, touched=touched, released=_RELEASED in rest)


@functools.cache
def place() -> str:
    """Where a pid means what it means here: this boot of this kernel, this pid namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _create(path: Path, *, since: float) -> bool:
    """Whether it was this process that created the file."""
    me = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "place": place(),
        "process_started": born(psutil.Process()),
        "since": since,
    }
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    except OSError as problem:
        raise unwritable(path, problem) from problem
    try:
        os.write(file, f"{json.dumps(me)}\n".encode())
        os.fsync(file)
        sync_directory(path.parent)
    except OSError as problem:
        # Nobody holds it: the next one must not wait until it expires.
        path.unlink(missing_ok=True)
        raise unwritable(path, problem) from problem
    finally:
        os.close(file)
    return True
