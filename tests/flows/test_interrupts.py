"""The first signal asks, the second insists, and afterwards all is as it was."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from proctor.flows.campaigns.interrupts import first_signal_asks


def test_the_first_asks_and_the_second_interrupts() -> None:
    """Nothing is thrown into what the campaign does, unless somebody insists."""
    asked: list[str] = []
    with first_signal_asks(asked.append):
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == ["interrupted from the keyboard"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_ends_the_process_is_left_alone() -> None:
    """Who embeds Proctor and handles no SIGTERM goes on dying of it."""
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with first_signal_asks(lambda why: None):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_leave_signals_alone() -> None:
    """A flow runs campaigns in threads: only the main one may set handlers."""
    seen: list[object] = []

    def look() -> None:
        with first_signal_asks(lambda why: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
