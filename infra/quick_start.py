"""Starting and ending a process without Python's search for garbage, which finds none there.

Importing Dask makes 65,000 objects that live as long as the process. To look through them while
they are made, and once more at the exit, took 0.24 of 0.70 s of CPU; Prefect's took 0.4 of 1.5 s.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Process:
    # Started by us and for nothing else; who calls us from Python has things of their own in it.
    ours: bool = False


_process = _Process()


@contextmanager
def loading(module: str) -> Generator[None]:
    """Around the first imports that bring this module; what they make is not looked at again."""
    if not _process.ours or module in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    # Dask would take it for the memory of large arrays that arrive, and does without: 0.12 s of CPU
    # in each process of a fleet, and in the campaign's.
    spared = module == "distributed" and "numpy" not in sys.modules
    if spared:
        sys.modules["numpy"] = None  # pyright: ignore[reportArgumentType] - as `import` does it
    try:
        yield
    finally:
        if spared:
            del sys.modules["numpy"]
        gc.freeze()
        gc.enable()


def end_quickly() -> None:
    """At the exit of this process, which is ours, the system takes everything back anyway."""
    if not _process.ours:
        _process.ours = True
        atexit.register(_leave_everything)


def _leave_everything() -> None:
    # DuckDB's bindings would tell on stderr of each object that is left, in some fifty lines.
    if "_duckdb" not in sys.modules:
        gc.freeze()
