"""What a worker has measured, kept on its disk until the campaign that asked is over.

A campaign's process may die between a result and its ledger. The next one that resumes the
campaign asks the workers for their outboxes, so that nothing that was finished runs again.
No fsync: it must survive processes, not power.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson

logger = logging.getLogger(__name__)

_KEPT = frozenset({"done", "late"})
# A campaign that was never resumed in this time never will be.
KEPT_SECONDS = 14 * 86400.0


class Outbox:
    """One worker's file of results for one campaign."""

    _open: dict[Path, Outbox] = {}  # noqa: RUF012 - one file descriptor per file and process

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        # The last line was cut short: the next one must not be spoilt by it.
        self._torn = False

    @classmethod
    def of(cls, scratch: Path, campaign: str, incarnation: str) -> Outbox:
        path = _directory(scratch, campaign) / f"{incarnation}.jsonl"
        if path not in cls._open:
            cls._open[path] = cls(path)
        return cls._open[path]

    def keep(self, message: dict[str, object]) -> None:
        if message["k"] in _KEPT:
            line = orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
            data = b"\n" + line if self._torn else line
            try:
                self._torn = os.write(self._file, data) < len(data)
            except OSError as problem:
                # The disk is full: the campaign hears of it all the same, only a later one may not.
                logger.warning("%s cannot be written: %s", self._path, problem)

    @classmethod
    def discard(cls, scratch: Path, campaign: str) -> None:
        """The campaign is over: its ledger has everything."""
        directory = _directory(scratch, campaign)
        for path in [path for path in cls._open if path.parent == directory]:
            os.close(cls._open.pop(path)._file)
        shutil.rmtree(directory, ignore_errors=True)


def drop_old(scratch: Path, now: float) -> None:
    """Remove what was kept for campaigns that nobody resumed; other workers may do so at once."""
    for directory in scratch.glob("outbox/*"):
        with suppress(OSError):
            newest = max(path.stat().st_mtime for path in (directory, *directory.iterdir()))
            if now - newest > KEPT_SECONDS:
                shutil.rmtree(directory, ignore_errors=True)


def read_outbox(scratch: Path, campaign: str) -> Iterator[dict[str, object]]:
    """Everything workers on this disk kept for the campaign; a torn last line is left out."""
    for path in sorted(_directory(scratch, campaign).glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
            if not line:
                continue
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as problem:
                # A full disk cut it short. Its case runs again; the others' results are not lost.
                logger.warning("line %d of %s cannot be read: %s", number, path, problem)


def _directory(scratch: Path, campaign: str) -> Path:
    return scratch / "outbox" / campaign
