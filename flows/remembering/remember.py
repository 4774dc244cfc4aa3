"""Takes finished campaigns into the store in the background; imports nothing heavy at the top.

    python -m proctor.flows.remembering.remember STATE

One at a time: whoever finds another at work leaves it a note to look once more and goes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from pathlib import Path

from ..server.detached import spawn_detached, yield_to_others

logger = logging.getLogger(__name__)

MODULE = "proctor.flows.remembering.remember"
# Another program may have the store open for a long query; nobody waits for us.
PATIENCE_SECONDS = 300.0


def spawn_remember(state: Path) -> int:
    """Start taking in what is new, detached and at the lowest priority; its process number."""
    command = [sys.executable, "-m", MODULE, str(state)]
    return spawn_detached(command, environ=os.environ, log=state / "store.log")


def remember(state: Path, *, patience: float = PATIENCE_SECONDS) -> int:
    """Ingest until nothing is new; how many attempts that were, or 0 if another process does it."""
    # DuckDB and numpy take 0.3 s: the one that starts us must not pay.
    from ...monitoring.ingest import ingest
    from ...monitoring.store import Store, Waiting

    asked = state / "store.asked"
    asked.touch()
    taken = 0
    with (state / "store.turn").open("w") as turn:
        while asked.exists():
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Whoever has the turn looks for the note before it goes.
                return taken
            asked.unlink(missing_ok=True)
            taken += ingest(Store(state, waiting=Waiting(patience=patience))).attempts
            fcntl.flock(turn, fcntl.LOCK_UN)
    return taken


def main() -> int:
    """As a process of its own."""
    from ...infra.errors import ProctorError

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    yield_to_others()
    try:
        remember(Path(sys.argv[1]))
        # What the next campaign of the project is planned by.
        from ..campaigns.predictions import refresh

        refresh(Path(sys.argv[1]))
    except ProctorError as problem:
        # The next campaign, or `proctor store ingest`, takes it in.
        logger.warning("nothing was taken in: %s", problem)
        return 6
    return 0


if __name__ == "__main__":
    sys.exit(main())
