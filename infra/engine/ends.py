"""Batches that have ended, until all that was said of them is here. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .happenings import Ended

# Dask may tell of a batch's end before the worker's last message arrives.
STRAGGLING_RECORDS_SECONDS = 5.0
# It also tells of a batch that was lost before it tells of the worker that is gone.
LOSS_SECONDS = 1.0


class Ends:
    """Most ends are told twice: by the worker's last message, and by Dask when the task is over."""

    def __init__(self) -> None:
        # With the time at which somebody first told of it.
        self._told: dict[str, tuple[Ended, float]] = {}

    def __len__(self) -> int:
        return len(self._told)

    def hear(self, ended: Ended, now: float) -> None:
        """Take in an end; what the worker itself says counts."""
        known, since = self._told.get(ended.batch, (ended, now))
        self._told[ended.batch] = (known if known.result else ended, since)

    def due(self, now: float, *, is_present: Callable[[str], bool]) -> Iterator[Ended]:
        """Those that can be settled; `is_present` says of a batch whether its worker is there."""
        for name, (ended, since) in list(self._told.items()):
            # Dask told of its end before the worker's own words arrived.
            unsaid = not ended.result and not ended.failure
            if unsaid and now - since < STRAGGLING_RECORDS_SECONDS:
                continue
            # Nor is a worker that took its batch with it to be given the next one.
            if ended.failure and now - since < LOSS_SECONDS and is_present(name):
                continue
            del self._told[name]
            yield ended
