"""How often something that ends is started again: after twice as long each time."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_PAUSE_SECONDS = 60.0
# Who lived for so long begins anew.
PROVEN_SECONDS = 60.0


@dataclass(slots=True)
class Restarts:
    """What is known of the ends of one thing, and when it may begin again."""

    # In a row.
    deaths: int = 0
    due: float = 0.0

    def ended(
        self,
        now: float,
        *,
        first: float,
        lived: float = 0.0,
        longest: float = LONGEST_PAUSE_SECONDS,
    ) -> float:
        """It has; how long it pauses."""
        if lived > PROVEN_SECONDS:
            self.deaths = 0
        pause = min(longest, first * 2 ** min(self.deaths, 20))
        self.deaths += 1
        self.due = now + pause
        return pause
