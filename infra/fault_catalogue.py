"""All kinds of faults there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from . import fault_edges, fault_limits, fault_processes
from .fault_kinds import FaultKind
from .fault_targets import FaultRefused
from .suggestions import known


def kinds() -> Mapping[str, FaultKind]:
    """All of them, by name."""
    found = (*fault_processes.KINDS, *fault_edges.KINDS, *fault_limits.KINDS)
    return {kind.name: kind for kind in found}


def choose_kind(name: str) -> FaultKind:
    """The one of a name; refused, with the nearest names, where there is none."""
    there = kinds()
    if name not in there:
        raise FaultRefused(f"there is no fault {name!r}", remedy=known(name, sorted(there)))
    return there[name]
