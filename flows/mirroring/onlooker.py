"""A person who waits for a mirror: is told what it is at, and what held it up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

# Something is said after so long, and then when something else is waited for, or after a while.
FIRST_SECONDS = 3.0
AGAIN_SECONDS = 15.0
# What is waited for, by the piece of the telling.
AWAITED = {
    "look": "Prefect to say how the flow run stands",
    "former": "Prefect to take in how the flow run before ended",
    "tags": "Prefect to take in the tags",
    "states": "Prefect to take in the state of the flow run",
    "events": "Prefect to take in the phases and events",
    "log": "Prefect to take in the log",
    "artifacts": "Prefect to take in the artifacts",
}


class Onlooker:
    """What a mirror waits for at this moment, in words."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.awaited = ""
        # Why it had to try again, or gave up.
        self.problem = ""
        # Whether Prefect is known to have written all down.
        self.saw_it_written = False
        self._say = say
        self._began = time.monotonic()

    def sees(self, awaited: str) -> None:
        self.awaited = awaited

    @contextmanager
    def sees_meanwhile(self, awaited: str) -> Generator[None]:
        """Within something else; what fails stays in sight."""
        former, self.awaited = self.awaited, awaited
        yield
        self.awaited = former

    @property
    def why_not(self) -> str:
        """What held it up, for one who asks after it gave up."""
        return self.problem or f"it still waited for {self.awaited or 'a Prefect server'}"

    async def look_on(self) -> None:
        """Say what is waited for, until it is cancelled."""
        said, spoke = "", float("-inf")
        while True:
            await asyncio.sleep(FIRST_SECONDS)
            now = time.monotonic()
            line = f"{self.awaited}; {self.problem}" if self.problem else self.awaited
            if line and (line != said or now >= spoke + AGAIN_SECONDS):
                self._say(f"{now - self._began:.0f} s: waiting for {line}")
                said, spoke = line, now
