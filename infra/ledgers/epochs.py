"""The files of a campaign's writers, and which of their bytes count.

Every writer has an epoch and files of its own. The newest writer that got as far as its first line
says there how many bytes of each earlier file it accepted; what stands behind them was written
by someone who had lost the lease, and does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..codec import MISSHAPEN
from ..errors import LedgerDamaged
from .journal import JournalFollower, JournalReader, Line
from .lines import predecessors_of


def ledger_path(directory: Path, epoch: int) -> Path:
    return directory / f"ledger-{epoch:06d}.jsonl"


def output_path(directory: Path, epoch: int) -> Path:
    return directory / f"output-{epoch:06d}.bin"


def epochs_of(directory: Path) -> list[int]:
    """The epochs that have a journal file, oldest first."""
    return sorted(numbers(directory, "ledger-??????.jsonl"))


def numbers(directory: Path, pattern: str) -> Iterator[int]:
    """The epochs in the names of files such as ledger-000001.jsonl."""
    for path in directory.glob(pattern):
        number = path.stem.partition("-")[2]
        if number.isdecimal():
            yield int(number)


def accepted_bytes(directory: Path) -> dict[int, int | None]:
    """How much of each epoch's journal counts, oldest first; None is all that is there."""
    epochs = epochs_of(directory)
    unsaid: dict[int, int | None] = {}
    for head in reversed(epochs):
        # An epoch whose first line is not whole yet has said nothing.
        if not has_begun(directory, head):
            continue
        opened = read_open(directory, head)
        if opened is not None:
            before = predecessors_of(opened)
            earlier = {epoch: before.get(epoch, 0) for epoch in epochs if epoch < head}
            return {**earlier, head: None, **unsaid}
        # Damaged: whoever reads it reports that; all the rest of it is better than nothing.
        unsaid = {head: None, **unsaid}
    return unsaid


def has_begun(directory: Path, epoch: int) -> bool:
    """Whether the first line of an epoch is whole."""
    with ledger_path(directory, epoch).open("rb") as file:
        return file.readline().endswith(b"\n")


def read_open(directory: Path, epoch: int) -> Line | None:
    """The first line of an epoch, if it is whole and can be read."""
    reader = JournalReader(ledger_path(directory, epoch))
    line = next(iter(reader), None)
    if line is None or line["k"] != "open" or reader.problems:
        return None
    try:
        predecessors_of(line)
    except MISSHAPEN:
        # Damaged as well: whoever reads all of it says so.
        return None
    return line


def complete_bytes(path: Path, *, block: int = 1 << 16) -> int:
    """Up to the end of a file's last complete line."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            while end > 0:
                begin = max(0, end - block)
                file.seek(begin)
                newline = file.read(end - begin).rfind(b"\n")
                if newline >= 0:
                    return begin + newline + 1
                end = begin
    except FileNotFoundError:
        pass
    return 0


class CampaignFollower:
    """What is new in the journals of a campaign, whichever process writes them.

    `offsets` is all it needs to go on later: epoch to bytes taken in.
    """

    def __init__(self, directory: Path, *, offsets: Mapping[int, int] | None = None) -> None:
        self.directory = directory
        self.problems: list[LedgerDamaged] = []
        # Bytes taken in that turned out not to count: a picture made of them has too much.
        self.overrun = 0
        self._offsets = dict(offsets or {})

    @property
    def offsets(self) -> dict[int, int]:
        return dict(self._offsets)

    def poll(self) -> list[tuple[int, Line]]:
        """New lines with their epochs, in order; empty when there are none for now."""
        found: list[tuple[int, Line]] = []
        self.overrun = 0
        for epoch, stop in accepted_bytes(self.directory).items():
            offset = self._offsets.get(epoch, 0)
            if stop is not None and offset >= stop:
                self.overrun += offset - stop
                continue
            follower = JournalFollower(ledger_path(self.directory, epoch), offset=offset)
            found.extend((epoch, line) for line in follower.poll(stop=stop))
            self._offsets[epoch] = follower.offset
            self.problems.extend(follower.problems)
            if found:
                break
        return found
