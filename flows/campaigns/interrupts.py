"""The first Ctrl-C asks a campaign to end in order; a second one does not ask."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

WHY = {
    signal.SIGINT: "interrupted from the keyboard",
    signal.SIGTERM: "somebody asked its process to end",
}


@contextmanager
def first_signal_asks(ask: Callable[[str], None]) -> Generator[None]:
    """Meanwhile, turn the first such signal into a request.

    An exception in the middle of what the campaign was doing would lose what it had just heard.
    Afterwards each signal does what it did before.
    """
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's, and whoever called us from another has plans for them.
        yield
        return
    before = {number: signal.getsignal(number) for number in WHY}

    def restore() -> None:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)

    def on_signal(number: int, frame: FrameType | None) -> None:
        del frame
        restore()
        ask(WHY[signal.Signals(number)])

    for number, handler in before.items():
        # One that is ignored, or ends the process as ever, is so on purpose.
        if callable(handler):
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()
