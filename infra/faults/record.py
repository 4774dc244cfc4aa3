"""What becomes of faults, in a journal of each process that injects or undoes them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from ..errors import StateUnwritable
from ..ledgers.journal import Journal
from .lease import FaultFiles, FaultLease


class FaultRecorder:
    """Appends lines of kind `fault`; makes its file with the first."""

    def __init__(self, files: FaultFiles, *, clock: Callable[[], float] = time.time) -> None:
        self._files = files
        self._clock = clock
        self._journal: Journal | None = None
        # What could not be written: a full disk may be the very fault.
        self.lost: list[StateUnwritable] = []

    def tell(self, lease: FaultLease, event: str, **detail: object) -> None:
        """One line, on the disk when this returns."""
        try:
            if self._journal is None:
                directory = self._files.recorders
                directory.mkdir(parents=True, exist_ok=True)
                path = directory / f"{self._clock():.6f}-{os.getpid()}.jsonl"
                self._journal = Journal(path, clock=self._clock)
            self._journal.append(
                "fault",
                {
                    "id": lease.id,
                    "experiment": lease.experiment,
                    "fault": lease.kind,
                    "target": lease.target,
                    "event": event,
                    "until": lease.until,
                    "detail": {**lease.detail, "undo": list(lease.undo), **detail},
                },
            )
            self._journal.commit()
        except StateUnwritable as problem:
            self.lost.append(problem)

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
