"""Importing with fewer looks for garbage than usual."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator

# New objects between two looks while modules are imported; 700 or 2,000 is usual.
OBJECTS = 100_000


@contextlib.contextmanager
def seldom_garbage_collection() -> Generator[None]:
    """Meanwhile look for garbage a hundred times less often than usual.

    Importing makes hundreds of thousands of objects that stay, and each look goes through them: a
    third of the CPU time that compiling and collecting networkx's tests took.
    """
    before = gc.get_threshold()
    # Not switched off: a module that does that itself when imported must find it so afterwards.
    seldom = (max(before[0], OBJECTS), *before[1:])
    if before[0]:
        gc.set_threshold(*seldom)
    try:
        yield
    finally:
        if gc.get_threshold() == seldom:
            gc.set_threshold(*before)
