"""Who looks on while a campaign runs: a live view, a mirror, a test."""

from __future__ import annotations

from typing import Protocol

from ..dispatching.batches import Slot
from ..records import Attempt, Case


class Watcher(Protocol):
    """Someone who looks on; must return at once."""

    def phase(self, name: str) -> None: ...
    def cases(self, total: int, predicted_seconds: float) -> None: ...
    def running(self, case: Case, slot: Slot) -> None: ...
    def attempt(self, case: Case, attempt: Attempt) -> None: ...
    def note(self, text: str) -> None: ...
