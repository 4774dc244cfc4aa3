"""What importing and collecting each file takes where all of them are collected in one go.

Of the processor: a busy machine makes no file dear that is cheap.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest


class FileCosts:
    """Measures each file, and the classes in it, as pytest comes to them."""

    def __init__(self, file_of: Callable[[Any], str]) -> None:
        self.file_of = file_of
        self.seconds: defaultdict[str, float] = defaultdict(float)
        # Our own reference: tests replace the one of the module `time`.
        self.clock = time.process_time

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector: Any) -> Iterator[None]:
        started = self.clock()
        yield
        if collector.getparent(pytest.File) is not None:
            self.seconds[self.file_of(collector)] += self.clock() - started

    def of_files(self) -> list[tuple[str, float]]:
        return [(file, round(seconds, 6)) for file, seconds in self.seconds.items()]
