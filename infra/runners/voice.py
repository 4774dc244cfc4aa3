"""How the work on an order speaks to its campaign: each word is kept, and then sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from ..clock_seam import clock_offset, shift
from ..records import WorkerFacts
from ..secrets import Scrubber
from .orders import SlotOrder
from .outbox import Outbox
from .spec import Message
from .streamer import Streamer


class Voice:
    """Says of each message where it comes from, and leaves out what nobody may read."""

    def __init__(
        self,
        order: SlotOrder,
        *,
        facts: WorkerFacts,
        scratch: Path,
        streamer: Streamer,
        scrubber: Scrubber,
        as_named: Callable[[Message], Message],
    ) -> None:
        """`as_named` gives files of a copy the names that they have where they came from."""
        self._context: dict[str, object] = {
            "b": order.name,
            "e": order.epoch,
            "w": facts.name,
            "i": facts.incarnation,
            "s": order.slot,
        }
        self._outbox = Outbox.of(scratch, order.campaign, facts.incarnation)
        self._streamer = streamer
        self._scrubber = scrubber
        self._as_named = as_named
        self._offset = clock_offset(os.environ, facts.name)

    def emit(self, message: Message) -> None:
        """Something that the campaign has to hear, whatever becomes of this worker."""
        message = self._as_named(message)
        self._scrubber.message(message)
        if self._offset:
            shift(message, self._offset)
        message.update(self._context)
        self._outbox.keep(message)
        self._streamer.send(message)

    def ask_for_files(self) -> None:
        self._streamer.send({"k": "files", **self._context})

    def pulsing(self) -> AbstractContextManager[None]:
        """Meanwhile say now and then that the worker is alive."""
        return self._streamer.pulsing({"k": "pulse", **self._context})

    def flush(self) -> None:
        self._streamer.flush()
