"""All kinds of faults there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from ..suggestions import known
from . import edges as fault_edges
from . import limits as fault_limits
from . import processes as fault_processes
from .kinds import FaultKind
from .targets import FaultRefused


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
