"""Which worker collects the suite, and how often that was tried."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..dispatching.batches import Slot
from ..records import WorkerFacts

NAME = "collect"


@dataclass(slots=True)
class Collecting:
    """Whether the suite is still to be collected, and where that goes on."""

    active: bool = False
    worker: str = ""
    # A name of its own each time: Dask would answer with the end of the first.
    tries: int = 0
    # So many of them did not begin.
    given_back: int = 0

    @property
    def name(self) -> str:
        return f"{NAME}-{self.tries}"

    @property
    def slot(self) -> Slot:
        return Slot(self.worker, 0)

    def choose(self, workers: Iterable[WorkerFacts]) -> Slot | None:
        """The slot to begin on now, if that is due: of the plainest worker.

        A GPU has better things to do.
        """
        if not self.active or self.worker:
            return None
        facts = min(workers, key=lambda each: (each.gpu, each.memory_bytes), default=None)
        if facts is None:
            return None
        self.worker = facts.name
        self.tries += 1
        return self.slot

    def is_named(self, name: str) -> bool:
        return self.active and name == self.name

    def give_up(self) -> None:
        """Its worker died, or could not do it: another try may follow."""
        self.worker = ""

    def end(self) -> None:
        self.active = False
