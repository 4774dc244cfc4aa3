"""A process by number and birth: a later one under the same number is another.

Births count from the machine's boot: a step of its wall clock must not make a living process
somebody else. After another boot, number and hundredth of a second would both have to coincide.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

# The kernel tells births in hundredths of a second; sums of them with the time of day are rounded.
ROUNDING_SECONDS = 0.005


def born(process: psutil.Process) -> float:
    """How long after the boot it began."""
    return process.create_time() - psutil.boot_time()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRef:
    """Names one process of this machine, also after its end."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessRef | None:
        """The process that has this number now; None when there is none."""
        try:
            return cls(pid=pid, created=born(psutil.Process(pid)))
        except psutil.NoSuchProcess:
            return None

    @property
    def process(self) -> psutil.Process | None:
        """The process, if it lives."""
        try:
            process = psutil.Process(self.pid)
            if abs(born(process) - self.created) > ROUNDING_SECONDS:
                return None
            if process.status() == psutil.STATUS_ZOMBIE:
                # Ours, if we started it: collect it, so that the number is free again.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(self.pid, os.WNOHANG)
                return None
        except psutil.NoSuchProcess:
            return None
        return process

    @property
    def alive(self) -> bool:
        return self.process is not None

    def end(self, *, grace: float) -> None:
        """Terminate, wait for the grace, kill."""
        process = self.process
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            # A stopped process would not see the signal.
            process.resume()
            _, left = psutil.wait_procs([process], timeout=grace)
            for survivor in left:
                survivor.kill()
            psutil.wait_procs(left, timeout=5)


def is_here(pid: int) -> bool:
    """Whether a process is of our pid namespace.

    Root sees those of containers too, which have fleets of their own at the very same paths.
    """
    try:
        here = Path("/proc/self/ns/pid").readlink()
    except OSError:
        # No namespaces, no containers.
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/pid").readlink() == here
    # Gone, or somebody else's.
    return False


def marked(name: str, value: str) -> list[psutil.Process]:
    """The living processes that carry a variable in their environment, and are not this one."""
    entry = f"{name}={value}".encode()
    found: list[psutil.Process] = []
    for pid in psutil.pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - read once, quickly
                if entry not in file.read().split(b"\0"):
                    continue
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE and is_here(pid):
                found.append(process)
    return found


def sweep(name: str, value: str, *, spare: frozenset[int] = frozenset(), rounds: int = 10) -> int:
    """Kill all processes that carry the variable, those they start meanwhile too; how many."""
    ended = 0
    for _ in range(rounds):
        strays = [process for process in marked(name, value) if process.pid not in spare]
        if not strays:
            break
        for process in strays:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        psutil.wait_procs(strays, timeout=0.5)
        ended += len(strays)
    return ended
