"""Ends of processes: die with the parent, and end a child with a deadline."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere a no-op)."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the call: then nobody would tell us.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def end_process(process: subprocess.Popen[bytes], *, grace: float) -> None:
    """Terminate, wait for the grace, kill: a worker has been seen to hang for 40 minutes."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        # One that hangs in the kernel ends when that lets it: the others must not wait for it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
