"""An order at work on a worker, or waiting there for its slot, and the ways to end it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from distributed import Worker

from .orders import Act, SlotOrder


@dataclass(slots=True)
class Running:
    """An order at work, and the ways to end it: after the current case, at once, or unbegun."""

    order: SlotOrder
    stop: threading.Event = field(default_factory=threading.Event)
    kill: threading.Event = field(default_factory=threading.Event)
    # The session that is still starting for it is needed no more; one that has started goes on.
    called_off: threading.Event = field(default_factory=threading.Event)

    def end(self, *, at_once: bool) -> None:
        self.stop.set()
        if at_once:
            self.kill.set()
            self.called_off.set()

    def forgo(self) -> None:
        """It need not begin any more; a session that is starting for it comes up, and may stay."""
        self.kill.set()

    def call_off(self) -> None:
        """End it if its session has yet to start: nothing has run there."""
        self.called_off.set()

    def is_wanted(self, worker: Worker | None) -> bool:
        """Whether somebody still waits for it, while it waits for its slot."""
        if self.order.act is Act.FINISH:
            # The session would stay.
            return True
        # Dask can end nothing that has begun, but says of it that its campaign has gone.
        state = None if worker is None else worker.state.tasks.get(self.order.key)
        return not self.kill.is_set() and (state is None or state.state != "cancelled")

    def is_start_for(self, finish: SlotOrder) -> bool:
        """Whether it starts the session that this order ends."""
        order = self.order
        same = (order.campaign, order.slot) == (finish.campaign, finish.slot)
        return same and order.act is Act.WARM
