"""Lets the scaling policy choose the sizes of the resident fleet.

A pass every second, and at once when a campaign that begins asks for one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from ...infra.errors import ProctorError
from ...infra.fleet.files import FleetFiles, Wanted
from ...infra.fleet.providers import Instance
from ...infra.fleet.roster import Roster
from ...infra.scaling.demand import ASKED_FILE
from ...infra.scaling.reconciler import Scaler

logger = logging.getLogger(__name__)

PASS_SECONDS = 1.0


class AutoScaling:
    """Sizes for the supervisor, by the policy while that is switched on."""

    def __init__(self, files: FleetFiles) -> None:
        self._scaler = Scaler(files)
        self._asked = files.directory / ASKED_FILE
        self._seen = self._stamp()
        self._due = 0.0
        self._counts: Mapping[str, int] | None = None
        self.problems: tuple[str, ...] = ()

    def counts(
        self,
        wanted: Wanted,
        observed: Sequence[Instance],
        roster: Roster,
        *,
        address: str,
        now: float,
    ) -> dict[str, int]:
        """How many of each class there should be now."""
        if not wanted.auto:
            self._counts, self._due, self.problems = None, 0.0, ()
            return dict(wanted.counts)
        stamp = self._stamp()
        if now >= self._due or stamp != self._seen:
            self._due, self._seen = now + PASS_SECONDS, stamp
            self._look(wanted, observed, roster, address)
        return dict(wanted.counts if self._counts is None else self._counts)

    def close(self) -> None:
        self._scaler.close()

    def _look(
        self, wanted: Wanted, observed: Sequence[Instance], roster: Roster, address: str
    ) -> None:
        try:
            state = self._scaler.run_once(wanted, observed, roster, address=address)
        except ProctorError as problem:
            # A full disk: the fleet stays as it is until there is room again.
            logger.warning("%s", problem)
            self.problems = (f"the fleet keeps its sizes: {problem}",)
            return
        if state is not None:
            self._counts, self.problems = state.counts, state.problems

    def _stamp(self) -> int:
        try:
            return self._asked.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
