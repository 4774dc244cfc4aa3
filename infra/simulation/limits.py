"""Holds a simulated campaign to its limits: how soon losses are noticed and made good.

The rules are those of `detected-in-time` and `lost-work-goes-first` in invariants.sql. How long a
simulated campaign takes to notice a death is assumed, and more than a quiet machine needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..dispatching.batches import Batch
from ..faults.experiment import FaultStep
from ..faults.targets import Part
from ..faults.verdict import Limits

# Batches of this kind have the same right to come first.
EQUALS = ("it runs alone", "a second try")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strike:
    """A fault whose victim has to be given up."""

    worker: str
    kind: str
    at: float
    bound: float


class LimitsWatch:
    """Told what happens; `problems` grows by a sentence for each limit that was exceeded."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._strikes: list[_Strike] = []
        # Cases that went with a worker and were not sent again, since when.
        self._lost: dict[str, float] = {}
        self.problems: list[str] = []

    def struck(self, fault: FaultStep, worker: str, now: float) -> None:
        """A worker that has something to do suffers a fault."""
        bounds = {"kill": self._limits.dead, "freeze": self._limits.frozen}
        bound = bounds.get(fault.kind)
        if fault.selector.part is not Part.WORKER or bound is None:
            return
        # One that thaws before that need not be noticed.
        if fault.kind != "freeze" or fault.seconds > bound:
            self._strikes.append(_Strike(worker=worker, kind=fault.kind, at=now, bound=bound))

    def given_up(self, worker: str, now: float) -> None:
        for strike in self._strikes:
            if strike.worker == worker and now - strike.at > strike.bound:
                self._tell(strike, f"was given up {now - strike.at:.2f} s later")
        self._strikes = [each for each in self._strikes if each.worker != worker]

    def lost(self, case: str, now: float) -> None:
        """It went with its worker, and will run again."""
        self._lost[case] = now

    def settled(self, case: str) -> None:
        """Another execution of it had a result."""
        self._lost.pop(case, None)

    def sent(self, batch: Batch, now: float) -> None:
        for case in batch.cases:
            self._lost.pop(case.id, None)
        if batch.why.startswith(EQUALS):
            return
        for case, since in list(self._lost.items()):
            if now - since > self._limits.recovery:
                # Once for each loss.
                del self._lost[case]
                self.problems.append(
                    f"{case} was lost with its worker; batch {batch.id} was sent "
                    f"{now - since:.1f} s later, before it"
                )

    def ended(self, now: float) -> None:
        """The campaign is over, or its process died: nobody can notice anything any more."""
        for strike in self._strikes:
            if now - strike.at > strike.bound:
                self._tell(strike, "was never given up")
        self._strikes.clear()
        self._lost.clear()

    def _tell(self, strike: _Strike, what: str) -> None:
        self.problems.append(
            f"{strike.worker} had a {strike.kind} and {what} (at most {strike.bound:g} s)"
        )
