"""Runs a command and measures it from outside: wall, CPU, its own peak memory, and disturbance."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.05
# Above this share of the machine in other hands a measurement says little.
QUIET_SHARE = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run of a command."""

    wall_seconds: float
    # Of the command and all descendants that were waited for.
    cpu_seconds: float
    # The highest resident memory of the command's own process, without its children.
    peak_bytes: int
    exit_code: int
    began: float
    output: str
    # The share of the machine that something else used meanwhile.
    disturbed: float


def run_measured(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    deadline_seconds: float = 1800.0,
) -> Measurement:
    """Run to the end, or kill the whole process group at the deadline (exit code -9)."""
    with tempfile.TemporaryFile() as output:
        busy = _busy_seconds()
        began = time.time()
        clock = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**_environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        watch = _PeakWatch(process.pid)
        timer = threading.Timer(deadline_seconds, _kill_group, [process.pid])
        timer.daemon = True
        timer.start()
        watch.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - clock
        timer.cancel()
        watch.end()
        process.returncode = os.waitstatus_to_exitcode(status)
        busy = _busy_seconds() - busy
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    cpu = used.ru_utime + used.ru_stime
    return Measurement(
        wall_seconds=wall,
        cpu_seconds=cpu,
        peak_bytes=watch.peak_bytes,
        exit_code=process.returncode,
        began=began,
        output=text,
        disturbed=max(0.0, busy - cpu) / (wall * (os.cpu_count() or 1)),
    )


def wait_for_quiet(deadline_seconds: float = 20.0) -> None:
    """Return once the machine is nearly idle, or when waiting longer is no use."""
    end = time.monotonic() + deadline_seconds
    while time.monotonic() < end:
        if psutil.cpu_percent(interval=0.5) < 100 * QUIET_SHARE:
            return


def middle(values: Sequence[float]) -> float:
    """The median; of two the mean, of none not a number."""
    import statistics

    return statistics.median(values) if values else float("nan")


class _PeakWatch(threading.Thread):
    """Reads the peak that the kernel keeps, now and then: the last look before the end counts."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            with contextlib.suppress(OSError, ValueError, IndexError):
                _, _, rest = self._status.read_text().partition("VmHWM:")
                self.peak_bytes = max(self.peak_bytes, int(rest.split()[0]) * 1024)

    def end(self) -> None:
        self._over.set()
        self.join(1.0)


def _environment() -> dict[str, str]:
    """Nothing of a surrounding run of Proctor or pytest may leak in."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PROCTOR_", "PREFECT_", "PYTEST_"))
    }


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return times.user + times.system + times.nice + times.irq + times.softirq


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
