"""What one case uses: time, processor, memory, transfers."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import NamedTuple

from .system import System
from .wire import out_of_reach

LINUX = sys.platform == "linux"


class Usage(NamedTuple):
    """Unix times, seconds, bytes."""

    began: float
    ended: float
    cpu: float
    peak: int
    read: int
    written: int


class Meter:
    """Takes the differences of cheap counters; zeros where the kernel has none."""

    # Kernels print the process's status slowly (about 20 us): short cases keep the last peak.
    WORTH_A_LOOK_SECONDS = 0.002
    # The kernel's own: /proc/self/io says the same, at four times the price.
    BLOCK_BYTES = 512 if LINUX else 0

    def __init__(self) -> None:
        self.page = resource.getpagesize()
        # ru_maxrss counts bytes on macOS, KiB elsewhere.
        self.unit = 1 if sys.platform == "darwin" else 1024
        # Our own references: tests replace those of the module `time`.
        self.time = time.time
        self.clock = time.perf_counter
        self.open_files()

    def open_files(self) -> None:
        """Anew after each fork: a descriptor of /proc/self stays with the process that opened."""
        self.clear = self.opened("/proc/self/clear_refs", os.O_WRONLY)
        self.status = self.opened("/proc/self/status", os.O_RDONLY)
        self.statm = self.opened("/proc/self/statm", os.O_RDONLY)

    def opened(self, path: str, flags: int) -> int:
        try:
            return out_of_reach(os.open(path, flags))
        except OSError:
            return -1

    def begin(self) -> None:
        if self.clear >= 0:
            try:
                # Resets the peak only (the "5"), no page flags: cheap.
                System.write(self.clear, b"5")
            except OSError:
                self.clear = -1
        self.own = System.getrusage(resource.RUSAGE_SELF)
        self.children = System.getrusage(resource.RUSAGE_CHILDREN)
        self.began = self.time()
        self.clock_began = self.clock()

    def end(self) -> Usage:
        wall = self.clock() - self.clock_began
        own, own_before = System.getrusage(resource.RUSAGE_SELF), self.own
        children, children_before = System.getrusage(resource.RUSAGE_CHILDREN), self.children
        cpu = own.ru_utime + own.ru_stime - own_before.ru_utime - own_before.ru_stime
        blocks_in = own.ru_inblock - own_before.ru_inblock
        blocks_out = own.ru_oublock - own_before.ru_oublock
        peak = self.peak(wall, own.ru_maxrss)
        if children != children_before:
            cpu += children.ru_utime + children.ru_stime
            cpu -= children_before.ru_utime + children_before.ru_stime
            blocks_in += children.ru_inblock - children_before.ru_inblock
            blocks_out += children.ru_oublock - children_before.ru_oublock
            if children.ru_maxrss > children_before.ru_maxrss:
                # The largest child so far belongs to this case.
                peak = max(peak, children.ru_maxrss * self.unit)
        return Usage(
            self.began,
            self.began + wall,
            max(cpu, 0.0),
            peak,
            blocks_in * self.BLOCK_BYTES,
            blocks_out * self.BLOCK_BYTES,
        )

    def peak(self, wall: float, largest_ever: int) -> int:
        if self.clear < 0 or self.status < 0:
            return largest_ever * self.unit
        try:
            if wall < self.WORTH_A_LOOK_SECONDS:
                return int(System.pread(self.statm, 256, 0).split(b" ", 2)[1]) * self.page
            # Not ru_maxrss: that one starts with the peak of the process that spawned us.
            text = System.pread(self.status, 8192, 0)
            start = text.find(b"VmHWM:")
            return int(text[start + 6 : text.find(b"kB", start)]) * 1024
        except (OSError, ValueError, IndexError):
            return largest_ever * self.unit
