"""A file that one process appends to, in group commits, and that a full disk cannot spoil."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..errors import StateUnwritable

_SENTENCES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EIO: "the disk reports an error",
    errno.ESTALE: "the shared volume is gone",
    errno.EFBIG: "the file has reached the size limit",
}


def unwritable(path: Path, problem: OSError) -> StateUnwritable:
    """The clear sentence for what the operating system said."""
    code = problem.errno or 0
    reason = _SENTENCES.get(code) or os.strerror(code)
    room = "make room or " if code in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else ""
    return StateUnwritable(
        f"{path} cannot be written: {reason}",
        remedy=f"{room}choose another place with `--state DIR`",
    )


class AppendFile:
    """Bytes are buffered, then written and synced together; what was synced is never lost.

    With `keeps_lines`, a write that the disk cut short is cut back to its last whole line: a
    successor may have accepted the whole ones. Without, it is cut back to what was synced.
    """

    def __init__(self, path: Path, *, keeps_lines: bool) -> None:
        self.path = path
        self._keeps_lines = keeps_lines
        self._buffer = bytearray()
        self._broken: OSError | None = None
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
            sync_directory(path.parent)
        except OSError as problem:
            raise unwritable(path, problem) from problem
        # Good bytes in the file, and how many of them are known to be on the disk.
        self._written = 0
        self._synced = 0

    @property
    def end(self) -> int:
        """Where the next byte will stand."""
        return self._written + len(self._buffer)

    @property
    def has_unsynced(self) -> bool:
        return bool(self._buffer) or self._synced < self._written

    def append(self, data: bytes) -> None:
        self._buffer += data

    def sync(self) -> None:
        """Write and sync what is buffered; on failure it stays buffered, for another try."""
        if self._broken is not None:
            raise unwritable(self.path, self._broken) from self._broken
        if not self.has_unsynced:
            return
        try:
            self._write()
        except OSError as problem:
            raise unwritable(self.path, problem) from problem
        try:
            os.fdatasync(self._file)
        except OSError as problem:
            # The kernel forgets the pages of a failed sync: a second try would seem to succeed.
            self._broken = problem
            raise unwritable(self.path, problem) from problem
        self._synced = self._written

    def close(self) -> None:
        os.close(self._file)

    def _write(self) -> None:
        done = 0
        try:
            with memoryview(self._buffer) as data:
                while done < len(data):
                    done += os.write(self._file, data[done:])
        finally:
            if done < len(self._buffer):
                done = self._cut_back(done)
            self._written += done
            del self._buffer[:done]

    def _cut_back(self, done: int) -> int:
        """Take the torn end off the file; how many buffered bytes stay in it."""
        kept = self._buffer.rfind(b"\n", 0, done) + 1 if self._keeps_lines else 0
        try:
            os.ftruncate(self._file, self._written + kept)
        except OSError as problem:
            # Another line after the torn one would spoil both.
            self._broken = problem
            raise
        return kept


def sync_directory(directory: Path) -> None:
    """Make a new file's name survive a power cut too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
