"""Where the mirror hears of a campaign: its journal, which is the only buffer there is."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from ...infra.ledgers.lease import Holder, newest_holder, place
from ...infra.ledgers.ledger import CampaignFollower
from .mirror_picture import Picture

logger = logging.getLogger(__name__)

# A campaign whose first writer has not shown up by then never will.
START_SECONDS = 120.0
# A writer that is silent and lives may go on: it was stopped, or the machine slept.
FROZEN_SECONDS = 60.0
WAKING_SECONDS = 5.0


class Source:
    """Follows a campaign's journal and keeps the picture of it."""

    def __init__(self, directory: Path, *, now: Callable[[], float] = time.time) -> None:
        self.picture = Picture()
        # Its writer is gone without a last word, or never came.
        self.is_lost = False
        # It is silent, and its process is known to live.
        self.is_frozen = False
        self._directory = directory
        self._now = now
        self._since = now()
        self._frozen_since = self._since
        self._follower = CampaignFollower(directory)
        self._told_problems = 0

    @property
    def exists(self) -> bool:
        return self._directory.is_dir()

    def poll(self) -> None:
        """Take in everything that is new."""
        # In this order: a writer that ends between the two has written its last word by now.
        holder = newest_holder(self._directory)
        held = self._is_held(holder)
        while lines := self._follower.poll():
            if self._follower.overrun:
                self._start_over()
                continue
            for _, line in lines:
                self.picture.take_in(line)
        if self._follower.overrun:
            # A fenced writer's lines, taken in before anybody knew that they do not count.
            self._start_over()
            return
        for problem in self._follower.problems[self._told_problems :]:
            self.picture.say(self.picture.last, logging.ERROR, str(problem))
        self._told_problems = len(self._follower.problems)
        self.is_lost = not held and self.picture.closed is None
        frozen = self.is_lost and holder is not None and _lives(holder)
        if frozen and not self.is_frozen:
            self._frozen_since = self._now()
        self.is_frozen = frozen
        patience = 0.0
        if frozen:
            # This process was frozen with it, and is awake.
            own = holder is not None and holder.pid == os.getpid()
            patience = WAKING_SECONDS if own else FROZEN_SECONDS
        if self.is_lost and self._now() >= self._frozen_since + patience:
            self.picture.give_up()

    def _is_held(self, holder: Holder | None) -> bool:
        if holder is None:
            return self._now() < self._since + START_SECONDS
        return holder.is_holding(self._now())

    def _start_over(self) -> None:
        logger.info("overrun: the campaign was taken over; reading it again")
        self.picture = Picture()
        self._follower = CampaignFollower(self._directory)
        self._told_problems = 0


def _lives(holder: Holder) -> bool:
    here = holder.pid != 0 and holder.place == place()
    return here and not holder.released and not holder.is_dead()
