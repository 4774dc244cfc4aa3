"""Append-only journals of JSON lines: one writing process, any number of readers.

A line counts once `commit` returned. A torn last line is what a dying writer leaves: readers
pass over it until it is whole. A whole line that cannot be read is damage: it is reported with
its file and offset, never skipped in silence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import orjson

from ..errors import LedgerDamaged
from .append_file import AppendFile

Line = dict[str, Any]

# A power cut loses no more than this much of what ran.
COMMIT_SECONDS = 0.2
# What people put into lines: a number there is theirs, however large.
_FREE = frozenset({"settings", "task"})
# What a follower takes in at once.
POLL_BYTES = 4 << 20


class Journal:
    """The one writer of a journal file."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._file = AppendFile(path, keeps_lines=True)
        self._committed_at = monotonic()

    @property
    def is_due(self) -> bool:
        """Whether there is something to commit and the last commit is long enough ago."""
        waited = self._monotonic() - self._committed_at
        return self._file.has_unsynced and waited >= COMMIT_SECONDS

    def append(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Buffer one line; it reaches the disk with the next commit."""
        self._file.append(encode({"k": kind, "t": self._clock(), **fields}))

    def commit(self) -> None:
        """Return once every line so far would survive a power cut."""
        self._committed_at = self._monotonic()
        self._file.sync()

    def commit_if_due(self) -> None:
        if self.is_due:
            self.commit()

    def close(self) -> None:
        """Leave the file; what is not committed is lost."""
        self._file.close()


class JournalReader:
    """The complete lines of a file, from one offset to another."""

    def __init__(self, path: Path, *, start: int = 0, stop: int | None = None) -> None:
        self.path = path
        # Just after the last complete line that was read, and where that line begins.
        self.offset = start
        self.begin = start
        self.problems: list[LedgerDamaged] = []
        self._stop = stop

    def __iter__(self) -> Iterator[Line]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self.offset)
            for raw in file:
                end = self.offset + len(raw)
                if not raw.endswith(b"\n") or (self._stop is not None and end > self._stop):
                    return
                self.begin, self.offset = self.offset, end
                try:
                    line = decode(raw)
                except LedgerDamaged as damage:
                    self.problems.append(located(damage, self.path, self.begin))
                else:
                    yield line


class JournalFollower:
    """What was appended since the last look; resumes at `offset`."""

    def __init__(self, path: Path, *, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self.problems: list[LedgerDamaged] = []

    def poll(self, *, stop: int | None = None, most: int = POLL_BYTES) -> list[Line]:
        """New complete lines, about `most` bytes of them at a time; empty when there are none."""
        reader = JournalReader(self.path, start=self.offset, stop=stop)
        lines: list[Line] = []
        enough = self.offset + most
        for line in reader:
            lines.append(line)
            if reader.offset >= enough:
                break
        self.offset = reader.offset
        self.problems.extend(reader.problems)
        return lines


def encode(line: Mapping[str, Any]) -> bytes:
    """One line. What strict JSON cannot say (a lone surrogate, a huge number) Python's can."""
    try:
        return orjson.dumps(line, default=_plain, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return json.dumps(line, default=_plain, separators=(",", ":")).encode() + b"\n"


def decode(raw: bytes) -> Line:
    data: Any
    try:
        data = orjson.loads(raw)
    except ValueError:
        try:
            data = _leniently(raw)
        except OverflowError as problem:
            raise LedgerDamaged("a number in it is too large") from problem
        except (ValueError, RecursionError) as problem:
            raise LedgerDamaged("it is no JSON") from problem
    # Millions of lines come by here: no call and no loop that can be spared.
    if data.__class__ is not dict:
        raise LedgerDamaged("it is no JSON object")
    line: Line = data
    if "k" not in line:
        raise LedgerDamaged("it lacks 'k'")
    if "t" not in line:
        raise LedgerDamaged("it lacks 't'")
    return line


def located(damage: LedgerDamaged, path: Path, offset: int) -> LedgerDamaged:
    """The damage, with where it is."""
    return LedgerDamaged(
        f"the line at byte {offset} of {path} cannot be used: {damage.message}",
        remedy="the other lines stand; `proctor check` tells what that changes",
    )


def _leniently(raw: bytes) -> object:
    """What strict JSON cannot say, but for numbers that no arithmetic could be done with."""
    data: object = json.loads(raw)
    if isinstance(data, dict):
        for key, value in cast("dict[str, object]", data).items():
            if key not in _FREE:
                _refuse_huge(value)
    return data


def _refuse_huge(value: object) -> None:
    match value:
        case int():
            # Raises OverflowError for what is beyond the largest float.
            float(value)
        case dict():
            for each in cast("dict[str, object]", value).values():
                _refuse_huge(each)
        case list():
            for each in cast("list[object]", value):
                _refuse_huge(each)
        case _:
            pass


def _plain(value: object) -> object:
    """Settings hold paths and sets."""
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[Any]", value), key=str)
    return str(value)
