"""The note by a campaign of which Prefect was not told all; imports nothing heavy.

It is laid before anything is told, by whoever starts the first mirror: that one may be killed
while it still loads.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_NOTE = "untold"


def owe(directory: Path) -> None:
    """Note that Prefect is not told all of this campaign yet, and that it is tried now."""
    note = directory / "mirror" / _NOTE
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()


def settle(directory: Path) -> None:
    (directory / "mirror" / _NOTE).unlink(missing_ok=True)


def is_owed(directory: Path) -> bool:
    """Whether there is such a note."""
    return (directory / "mirror" / _NOTE).exists()


def noted(state: Path) -> list[Path]:
    """Directories of the campaigns with a note; those that were tried longest ago come first.

    Whatever keeps being in vain stands in nobody's way then.
    """
    tried: list[tuple[int, Path]] = []
    for note in state.glob(f"campaigns/*/mirror/{_NOTE}"):
        # Told by another mirror meanwhile, or removed with its campaign.
        with suppress(FileNotFoundError):
            tried.append((note.stat().st_mtime_ns, note.parent.parent))
    return [directory for _, directory in sorted(tried)]
