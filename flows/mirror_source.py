"""Where the mirror hears of a campaign: its journal, which is the only buffer there is."""

from __future__ import annotations

import json
from pathlib import Path

from .mirror_picture import Picture


class Source:
    """Follows a campaign's journal files and keeps the picture of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets: dict[str, int] = {}
        self.picture = Picture()

    def poll(self) -> None:
        for path in sorted(self._directory.glob("ledger-*.jsonl")):
            with path.open("rb") as f:
                f.seek(self._offsets.get(path.name, 0))
                data = f.read()
            end = data.rfind(b"\n") + 1
            self._offsets[path.name] = self._offsets.get(path.name, 0) + end
            for line in data[:end].splitlines():
                self.picture.take_in(json.loads(line))
