"""The slots of a worker, and the warm sessions that campaigns have on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .orders import SlotOrder
from .runner import SessionRunner
from .spec import Emit, RunnerSpec

# A runner that is closed, and has torn down what it had, gets so long.
CLOSE_SECONDS = 10.0
# How often who waits for a slot looks whether that is still wanted.
LOOK_SECONDS = 0.25


@dataclass(slots=True)
class WarmSession:
    """A warm session, and the last thing it was asked to do: where its records go."""

    runner: SessionRunner
    order: SlotOrder

    def is_for(self, order: SlotOrder, spec: RunnerSpec) -> bool:
        """Whether what this order asks for can be done in it."""
        if self.order.epoch != order.epoch:
            return False
        # One that was started before its campaign knew all its workers may differ from the others.
        return not self.order.is_early or self.runner.spec == spec


@dataclass(slots=True)
class WarmSlot:
    """One slot's sessions by campaign, the latest used last; a batch holds the lock.

    Campaigns that share a fleet take turns batch by batch: with one session a slot, each turn
    would start pytest anew.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    sessions: dict[str, WarmSession] = field(default_factory=dict[str, WarmSession])

    @contextmanager
    def turn(self, is_wanted: Callable[[], bool]) -> Generator[bool]:
        """Have the slot as soon as nobody works there; whether it came to that while it was wanted.

        The batch that holds it may be another campaign's, and take for ever.
        """
        came = self.lock.acquire(blocking=False)
        while not came and is_wanted():
            came = self.lock.acquire(timeout=LOOK_SECONDS)
        try:
            yield came
        finally:
            if came:
                self.lock.release()

    def unclaimed(self, order: SlotOrder) -> WarmSession | None:
        """The session that was started by this early order, unless its campaign has used it."""
        session = self.sessions.get(order.campaign)
        return session if session is not None and session.order.name == order.name else None

    def retire(self, campaign: str, emit: Emit) -> None:
        """End a campaign's session here, if there is one, in good order."""
        session = self.sessions.pop(campaign, None)
        if session is not None:
            session.runner.close(CLOSE_SECONDS, emit)
