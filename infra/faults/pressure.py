"""Presses on a machine, or on one process of it, until a time: the doing part of such faults.

`python -m proctor.infra.faults.pressure cpu|memory|disk|slow --until T ...`. It carries its fault's
mark in the environment, by which it is found and ended, and ends by itself when its time is over.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from pathlib import Path

from ..process_ref import ProcessRef

SLICE_SECONDS = 0.1
BLOCK_BYTES = 1 << 20


def press_cpu(until: float) -> None:
    """Keep one core busy."""
    while time.time() < until:
        sum(range(20_000))


def press_memory(until: float, size: int) -> None:
    """Hold so many bytes, all of them touched."""
    held = bytearray(size)
    for place in range(0, size, 4096):
        held[place] = 1
    while time.time() < until:
        time.sleep(SLICE_SECONDS)
    del held


def press_disk(until: float, path: Path) -> None:
    """Write and sync a few megabytes again and again."""
    block = os.urandom(BLOCK_BYTES)
    try:
        with path.open("wb") as file:
            while time.time() < until:
                file.seek(0)
                for _ in range(16):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def slow_down(until: float, victim: ProcessRef, share: float) -> None:
    """Let a process run for a share of each slice only."""
    try:
        while time.time() < until:
            process = victim.process
            if process is None:
                return
            process.suspend()
            time.sleep(SLICE_SECONDS * (1 - share))
            process.resume()
            time.sleep(SLICE_SECONDS * share)
    finally:
        process = victim.process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.resume()


def main() -> None:
    parser = argparse.ArgumentParser(description="Press on this machine for a while.")
    parser.add_argument("what", choices=("cpu", "memory", "disk", "slow"))
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--path", type=Path)
    parser.add_argument("--pid", type=int, default=0)
    parser.add_argument("--created", type=float, default=0.0)
    parser.add_argument("--share", type=float, default=1.0)
    told = parser.parse_args()
    match told.what:
        case "cpu":
            press_cpu(told.until)
        case "memory":
            press_memory(told.until, told.size)
        case "disk":
            press_disk(told.until, told.path)
        case _:
            slow_down(told.until, ProcessRef(pid=told.pid, created=told.created), told.share)


if __name__ == "__main__":
    main()
