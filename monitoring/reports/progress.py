"""How far a campaign that runs has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...infra.judge import BLAMED
from .wording import number


def is_end_in_sight(*, phase: str, done: int, total: int) -> bool:
    """Whether it can be told what is left: while more is being found nobody knows."""
    return done < total and phase != "collect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What its live view shows, at one moment."""

    # The ledger's word for what it does now; empty before it has said any.
    phase: str
    done: int
    # Those that are known: while it collects, more are found.
    total: int
    # Of those that are done, by outcome.
    counts: Mapping[str, int]
    # Since whoever runs it now began.
    elapsed_seconds: float
    # A guess; None while nothing tells.
    left_seconds: float | None

    @property
    def failures(self) -> int:
        """Those that are blamed on their cases; one that will be tried again is none yet."""
        return sum(self.counts.get(kind, 0) for kind in BLAMED)

    @property
    def so_far(self) -> str:
        """Cases that are done, of those that are known."""
        # Cases run while others are still being found.
        found = " found" if self.phase == "collect" else ""
        return f"{number(self.done)}/{number(self.total)}{found}"

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "phase": self.phase or None,
            "done": self.done,
            "total": self.total,
            "failures": self.failures,
            "counts": dict(self.counts),
            "elapsed_seconds": self.elapsed_seconds,
            "left_seconds": self.left_seconds,
        }
