"""Counts what the campaigns of a state directory commit, from a moment on."""

from __future__ import annotations

from pathlib import Path

from ..ledgers.campaigns import campaigns_directory
from ..ledgers.epochs import complete_bytes
from ..ledgers.journal import JournalFollower


class Commits:
    """Attempts committed to any ledger since this was made."""

    def __init__(self, state: Path) -> None:
        self._directory = campaigns_directory(state)
        self._followers: dict[Path, JournalFollower] = {}
        self.count = 0
        # The campaigns that wrote anything since.
        self.campaigns: set[str] = set()
        for path in self._paths():
            self._followers[path] = JournalFollower(path, offset=complete_bytes(path))

    def look(self) -> int:
        """Read what is new; how many commits there were so far."""
        for path in self._paths():
            follower = self._followers.setdefault(path, JournalFollower(path))
            lines = follower.poll()
            if lines:
                self.campaigns.add(path.parent.name)
            self.count += sum(line["k"] == "attempt" for line in lines)
        return self.count

    def _paths(self) -> list[Path]:
        return sorted(self._directory.glob("*/ledger-??????.jsonl"))
