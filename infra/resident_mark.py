"""What processes of a resident fleet carry in their environment: the fleet's directory.

Every worker asks for it, so this imports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# In the environment of everything below a supervisor, with its directory as value: after a
# kill -9 this finds what the kernel could not end.
MARK = "PROCTOR_RESIDENT"


def fleet_of(environ: Mapping[str, str]) -> Path | None:
    """The directory of the resident fleet that a process with this environment belongs to."""
    return Path(environ[MARK]) if environ.get(MARK) else None
