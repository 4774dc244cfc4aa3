"""The plugin that takes time limits from pytest-timeout: the parent ends what exceeds one."""

from __future__ import annotations

from typing import Any

import pytest

from .system import System
from .wire import Wire


class TimeLimits:
    """Stands in for the timers of pytest-timeout, wherever it has a limit from.

    Its own alarm would go off in the same second as the parent's: the stacks would show how pytest
    draws that failure, or the process would be gone with its output before it is asked for them.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.function_only = False

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_set_timer(self, settings: Any) -> bool:
        """The time begins now: with the case, or with its function where only that counts."""
        self.function_only = bool(settings.func_only)
        self.tell(float(settings.timeout))
        return True

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_cancel_timer(self) -> bool:
        """A whole case's limit ends with it; a function's before what takes its fixtures down."""
        if self.function_only:
            self.function_only = False
            self.tell(None)
        return True

    def tell(self, seconds: float | None) -> None:
        wire = self.wire
        if wire.disowned or System.getpid() != wire.pid:
            # A test forked, and came back into pytest: it leaves once its verdict is known.
            return
        wire.put({"k": "limit", "seconds": seconds})
        # Before the case can hang.
        wire.flush()
