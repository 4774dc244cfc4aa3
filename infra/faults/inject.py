"""Injects single faults: lease first, then the act, with somebody else ready to undo it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..fleet.files import FleetFiles
from .catalogue import choose_kind
from .kinds import FaultKind, FaultOrder, FaultPlan, check_fits, check_length, read_parameters
from .lease import FaultFiles, FaultLease, acting, grant, new_id, settle
from .reaper import ensure_reaper
from .record import FaultRecorder
from .targets import Target
from .undo import UndoProblem

logger = logging.getLogger(__name__)


class Injector:
    """Does faults to one state directory's fleet, and undoes them."""

    def __init__(
        self,
        files: FaultFiles,
        *,
        recorder: FaultRecorder,
        experiment: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = files
        self._fleet = FleetFiles(state=files.state)
        self._recorder = recorder
        self._experiment = experiment
        self._clock = clock
        # Those of ours that act now.
        self.active: dict[str, FaultLease] = {}

    def check(self, kind: str, target: Target, parameters: Mapping[str, object]) -> None:
        """Refuse what cannot be done; touches nothing."""
        chosen = choose_kind(kind)
        self._plan(chosen, target, 1.0, read_parameters(chosen, parameters), "check")

    def inject(
        self, kind: str, target: Target, *, seconds: float, parameters: Mapping[str, object]
    ) -> FaultLease:
        """Do it; returns when it has acted. What lasts is undone when its time is over."""
        check_length(seconds)
        chosen = choose_kind(kind)
        name = new_id()
        given = read_parameters(chosen, parameters)
        # What is refused starts nothing.
        self._plan(chosen, target, seconds, given, name)
        ensure_reaper(self._files)
        # A reaper that has to be started first takes none of the fault's own time.
        plan = self._plan(chosen, target, seconds, given, name)
        begins = self._clock()
        lease = FaultLease(
            id=name,
            kind=kind,
            target=target.name,
            begins=begins,
            until=begins + seconds,
            undo=plan.undo,
            experiment=self._experiment,
            detail=plan.detail,
        )
        grant(self._files, lease)
        # One that was about to leave saw no lease a moment ago.
        ensure_reaper(self._files)
        self.active[lease.id] = lease
        self._recorder.tell(lease, "injected")
        try:
            with acting(self._files, lease):
                plan.act()
        except BaseException:
            self._let_go(lease, "failed")
            raise
        if plan.instant:
            self.undo(lease, "over")
        return lease

    def undo(self, lease: FaultLease, how: str = "undone") -> bool:
        """Undo it now; False when it had been undone already."""
        mine = settle(self._files, lease, how)
        self.active.pop(lease.id, None)
        if mine:
            self._recorder.tell(lease, "undone", how=how)
        return mine

    def undo_all(self, how: str = "undone") -> None:
        """All of them, also those after one that cannot be undone now."""
        for lease in list(self.active.values()):
            self._let_go(lease, how)

    def undo_due(self) -> list[FaultLease]:
        """Undo those whose time is over: sooner than the reaper would."""
        due = [lease for lease in self.active.values() if lease.until <= self._clock()]
        for lease in due:
            self._let_go(lease, "over")
        return due

    def undone_elsewhere(self) -> list[FaultLease]:
        """Those that somebody else has undone since the last look: they act no more."""
        gone = [each for each in self.active.values() if not self._files.lease(each.id).exists()]
        for lease in gone:
            del self.active[lease.id]
        return gone

    def _let_go(self, lease: FaultLease, how: str) -> None:
        """Undo it, or leave it to the reaper, which tries again for as long as its lease stands."""
        try:
            self.undo(lease, how)
        except (UndoProblem, OSError) as problem:
            logger.warning("%s", problem)
            self.active.pop(lease.id, None)

    def _plan(
        self,
        kind: FaultKind,
        target: Target,
        seconds: float,
        parameters: Mapping[str, Any],
        name: str,
    ) -> FaultPlan:
        check_fits(kind, target.part)
        return kind.plan(
            FaultOrder(
                id=name,
                target=target,
                until=self._clock() + seconds,
                parameters=parameters,
                files=self._fleet,
            )
        )
