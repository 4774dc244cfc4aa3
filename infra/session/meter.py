"""What one case uses: time, processor, memory, transfers."""

from __future__ import annotations

import os
import resource
import sys
import time

from .wire import Message, out_of_reach


class Meter:
    """What one case uses, by the difference of cheap counters; zeros where /proc is missing."""

    # Kernels print the process's status slowly (about 20 us): short cases keep the last peak.
    WORTH_A_LOOK_SECONDS = 0.002

    def __init__(self) -> None:
        self.page = resource.getpagesize()
        # ru_maxrss counts bytes on macOS, KiB elsewhere.
        self.unit = 1 if sys.platform == "darwin" else 1024
        self.open_files()

    def open_files(self) -> None:
        """Anew after each fork: a descriptor of /proc/self stays with the process that opened."""
        self.clear = self.opened("/proc/self/clear_refs", os.O_WRONLY)
        self.status = self.opened("/proc/self/status", os.O_RDONLY)
        self.statm = self.opened("/proc/self/statm", os.O_RDONLY)
        self.io = self.opened("/proc/self/io", os.O_RDONLY)

    def opened(self, path: str, flags: int) -> int:
        try:
            return out_of_reach(os.open(path, flags))
        except OSError:
            return -1

    def begin(self) -> None:
        if self.clear >= 0:
            try:
                # Resets the peak only (the "5"), no page flags: cheap.
                os.write(self.clear, b"5")
            except OSError:
                self.clear = -1
        self.own = resource.getrusage(resource.RUSAGE_SELF)
        self.children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.transferred = self.transfers()
        self.started = time.time()
        self.clock = time.perf_counter()

    def end(self) -> Message:
        wall = time.perf_counter() - self.clock
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        read, written = self.transfers()
        cpu = (
            own.ru_utime
            + own.ru_stime
            - self.own.ru_utime
            - self.own.ru_stime
            + children.ru_utime
            + children.ru_stime
            - self.children.ru_utime
            - self.children.ru_stime
        )
        peak = self.peak(wall, own.ru_maxrss)
        if children.ru_maxrss > self.children.ru_maxrss:
            # The largest child so far belongs to this case.
            peak = max(peak, children.ru_maxrss * self.unit)
        return {
            "t0": self.started,
            "t1": self.started + wall,
            "cpu": round(max(cpu, 0.0), 6),
            "peak": peak,
            "read": read - self.transferred[0],
            "write": written - self.transferred[1],
        }

    def peak(self, wall: float, largest_ever: int) -> int:
        if self.clear < 0 or self.status < 0:
            return largest_ever * self.unit
        try:
            if wall < self.WORTH_A_LOOK_SECONDS:
                return int(os.pread(self.statm, 256, 0).split()[1]) * self.page
            # Not ru_maxrss: that one starts with the peak of the process that spawned us.
            text = os.pread(self.status, 8192, 0)
            start = text.find(b"VmHWM:")
            return int(text[start + 6 : text.find(b"kB", start)]) * 1024
        except (OSError, ValueError, IndexError):
            return largest_ever * self.unit

    def transfers(self) -> tuple[int, int]:
        if self.io < 0:
            return 0, 0
        try:
            lines = os.pread(self.io, 1024, 0).split(b"\n")
            return int(lines[4].split()[1]), int(lines[5].split()[1])
        except (OSError, ValueError, IndexError):
            return 0, 0
