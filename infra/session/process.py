"""What the session asks of the kernel and of faulthandler for its own process."""

# os's functions are several times faster than pathlib's, and nothing is gained by a Path here.
# ruff: noqa: PTH123

from __future__ import annotations

import contextlib
import os
import signal
import sys

from .wire import EXIT_WIRE_LOST


def die_with(parent: int) -> None:
    """Ask the kernel to end this process when its parent's spawning thread ends (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    if parent and os.getppid() != parent:
        # It died before we asked.
        os._exit(EXIT_WIRE_LOST)


def prefer_as_victim() -> None:
    """When memory runs out, the kernel shall end this process and not the worker above it."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("800")


def dump_stacks_on(number: int, descriptor: int) -> None:
    """Write the stacks of all threads there when that signal comes.

    Works while the interpreter lock is held, as no Python code could. pytest's own faulthandler
    plugin deals with fatal signals and timers, and is left alone.
    """
    import faulthandler

    faulthandler.register(number, file=descriptor, all_threads=True, chain=False)
