"""Output that pytest does not tell of: it did not capture it, or it died before it could."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from .system import System
from .texts import plain_text, read_ends, shortened
from .wire import out_of_reach

# A session without capture (-s) writes into our files; beyond this they are emptied.
STRAY_OUTPUT_BYTES = 1024 * 1024
NAMES = ("stdout", "stderr")


class Output:
    """The real stdout and stderr, and the files that pytest captures into."""

    def __init__(self, captured: Sequence[int], limit: int) -> None:
        self.limit = limit
        # The parent reads them when this process dies.
        self.captured = captured
        # Copies of the real ones: where output goes that pytest does not capture.
        self.stray = [out_of_reach(os.dup(number)) for number in (1, 2)]
        self.stray_at = [0, 0]

    def note_stray(self) -> list[int]:
        """Where the stray output of what comes now begins."""
        for place, descriptor in enumerate(self.stray):
            size = size_of(descriptor)
            if size > STRAY_OUTPUT_BYTES:
                with contextlib.suppress(OSError):
                    System.ftruncate(descriptor, 0)
                size = 0
            self.stray_at[place] = size
        return self.stray_at

    def stray_output(self) -> list[list[str]]:
        """What has been written there since."""
        texts: list[list[str]] = []
        for place, descriptor in enumerate(self.stray):
            start = self.stray_at[place]
            size = size_of(descriptor)
            if size > start:
                with contextlib.suppress(OSError):
                    data = read_ends(descriptor, start, size, self.limit)
                    texts.append([NAMES[place], shortened(data, self.limit)])
        return texts

    def empty_captured(self) -> None:
        """A child that died left its output in the files that all of us write to."""
        for descriptor in self.captured:
            with contextlib.suppress(OSError):
                System.ftruncate(descriptor, 0)
                System.lseek(descriptor, 0, os.SEEK_SET)

    def captured_output(self) -> list[list[str]]:
        """What pytest had captured of a case that died, from the files it captured into."""
        texts: list[list[str]] = []
        for descriptor, name in zip(self.captured, NAMES):  # noqa: B905 - 3.9
            with contextlib.suppress(OSError):
                text = read_ends(descriptor, 0, System.fstat(descriptor).st_size, self.limit)
                if text:
                    texts.append([name, plain_text(text)])
        return texts


def size_of(descriptor: int) -> int:
    """How long a file is that is open for appending; four times as fast as fstat."""
    try:
        # Where its next write goes is not changed by that.
        return System.lseek(descriptor, 0, os.SEEK_END)
    except OSError:
        return 0


def lend_capture_files(descriptors: Sequence[int]) -> list[int]:
    """Let pytest capture into files that the parent can read when this process is dead.

    The first two temporary files that pytest's capture opens are those for stdout and stderr of
    the whole session.
    """
    lent = [out_of_reach(descriptor) for descriptor in descriptors]
    try:
        from _pytest import capture

        original = capture.TemporaryFile  # pyright: ignore[reportPrivateImportUsage]
    except (ImportError, AttributeError):
        return []
    waiting = list(lent)

    def temporary_file(*args: Any, **kwargs: Any) -> Any:
        if waiting:
            return os.fdopen(os.dup(waiting.pop(0)), "w+b", buffering=0)
        return original(*args, **kwargs)

    capture.TemporaryFile = temporary_file  # pyright: ignore[reportPrivateImportUsage]
    return lent
