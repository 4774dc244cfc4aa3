"""The second process of a large ingest: reads journals, sends portions, ends with whoever asked.

python -m proctor.monitoring.ingest_reader DESCRIPTOR VERSION

Who asked may have loaded its code before an upgrade: VERSION is of that. Another one is answered
with the own, and nothing is read: the same lines may mean other rows there.
"""

from __future__ import annotations

import gc
import sys
import time
from multiprocessing.connection import Connection

from .. import __version__
from .ingest_ahead import Task
from .ingest_blocks import gather
from .ingest_walk import Walk


def send_all(connection: Connection) -> None:
    """Read what is asked for and send it, portion by portion; None is the end."""
    task: Task = connection.recv()
    walk = Walk(
        task.state,
        task.known,
        clock=time.time,
        lines_at_once=task.lines_at_once,
        bytes_at_once=task.bytes_at_once,
    )
    for reading in walk.readings():
        # Waits while the other process has not taken the last one: no more than two are held.
        connection.send(gather(reading))
    connection.send(None)


def main() -> int:
    """As a process of its own."""
    # Millions of new rows and not one cycle.
    gc.disable()
    with Connection(int(sys.argv[1])) as connection:
        try:
            if sys.argv[2] != __version__:
                # Taken, so that nobody waits to get rid of it; what is in it may have another form.
                connection.recv_bytes()
                connection.send(__version__)
                return 1
            send_all(connection)
        except (EOFError, ConnectionError):
            # Whoever asked is gone, or has no more use for it.
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
