"""A process by number and birth: a later one under the same number is another."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRef:
    """Names one process of this machine, also after its end."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessRef | None:
        """The process that has this number now; None when there is none."""
        try:
            return cls(pid=pid, created=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    @property
    def process(self) -> psutil.Process | None:
        """The process, if it lives."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) > 1:
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
            if process.status() != psutil.STATUS_ZOMBIE:
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
