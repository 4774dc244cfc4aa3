"""Processes of a fleet: started with a log, ended together, and gone when we are."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .process_life import end_process

LOG_LIMIT_BYTES = 5_000_000


def launch_host(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process that ends with the thread that calls this."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as file:
        return subprocess.Popen(
            [*command, "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=dict(environment),
            # A Ctrl-C in the terminal is for whoever watches: they end the fleet in order.
            start_new_session=True,
        )


def end_all(processes: Sequence[subprocess.Popen[bytes]], *, grace: float) -> None:
    """Ask all before waiting for any."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
            # A stopped process would not see the signal.
            process.send_signal(signal.SIGCONT)
    for process in processes:
        end_process(process, grace=grace)


def how_it_ended(code: int) -> str:
    """The end of a process for people."""
    if code >= 0:
        return f"it left with code {code}"
    with contextlib.suppress(ValueError):
        return f"it was killed by {signal.Signals(-code).name}"
    return f"it was killed by signal {-code}"
