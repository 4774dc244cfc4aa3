"""What an ingest has read, and has written."""

from __future__ import annotations

from dataclasses import dataclass, field

from .frames import Row
from .ingest_lines import CampaignLines
from .ingest_recorders import RecorderLines


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that could not be taken in, or contradicts another."""

    campaign: int | None
    file: str
    place: int | None
    kind: str
    text: str


@dataclass(slots=True)
class Account:
    """What was read beside the lines themselves: of what, how far, and what is wrong with it."""

    read_bytes: int = 0
    problems: list[Problem] = field(default_factory=list[Problem])
    # File to its campaign and epoch, if it has them, the bytes taken in and the bytes seen.
    offsets: dict[str, tuple[int | None, int | None, int, int]] = field(
        default_factory=dict[str, tuple[int | None, int | None, int, int]]
    )
    # Campaigns that were looked into, each with its name and its project's number.
    campaigns: dict[int, tuple[str, int]] = field(default_factory=dict[int, tuple[str, int]])
    # Campaigns with news, and what each is as long as it has no last word.
    standing: dict[int, str] = field(default_factory=dict[int, str])
    # New ones, by number.
    projects: list[Row] = field(default_factory=list[Row])
    # Campaigns and files whose rows have to go first.
    forgotten: list[int] = field(default_factory=list[int])
    forgotten_files: list[str] = field(default_factory=list[str])
    # Names of the former.
    taken_back: list[str] = field(default_factory=list[str])

    @property
    def is_empty(self) -> bool:
        return not (
            self.offsets or self.standing or self.projects or self.forgotten or self.forgotten_files
        )


@dataclass(slots=True)
class Reading:
    """What was read and is not written yet."""

    lines: CampaignLines = field(default_factory=CampaignLines)
    recorded: RecorderLines = field(default_factory=RecorderLines)
    account: Account = field(default_factory=Account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of it."""

    lines: int
    attempts: int
    problems: tuple[Problem, ...]
