"""What `proctor plan` answers: fleets, what would come of each, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..records import Case, Requirements
from .bounds import Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be done, and how long each part is thought to take."""

    cases: Sequence[Case]
    # By case id; by file, what it takes to make it ready.
    seconds: Mapping[str, float]
    warm_ups: Mapping[str, float] = field(default_factory=dict[str, float])

    def of(self, case: Case) -> float:
        return self.seconds[case.id]

    def warm_up(self, group: str) -> float:
        return self.warm_ups.get(group, 0.0)

    def by_file(self) -> Work:
        """The same where files stay whole: what a worker gets of one is one piece."""
        files: dict[tuple[str, Requirements], list[Case]] = {}
        for case in self.cases:
            files.setdefault((case.group, case.needs), []).append(case)
        pieces = {_piece(cases): sum(map(self.of, cases)) for cases in files.values()}
        seconds = {piece.id: each for piece, each in pieces.items()}
        return replace(self, cases=tuple(pieces), seconds=seconds)


def _piece(cases: Sequence[Case]) -> Case:
    more = len(cases) - 1
    return replace(cases[0], id=f"{cases[0].id} and {more} more of its file") if more else cases[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOption:
    """One fleet, and what would come of it."""

    counts: Mapping[str, int]
    makespan: float
    cost: float
    # Played through with the dispatcher; else by the allocation alone.
    simulated: bool = False

    @property
    def workers(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a fleet."""

    deadline: float | None = None
    max_cost: float | None = None

    @property
    def says_anything(self) -> bool:
        return self.deadline is not None or self.max_cost is not None

    def grants(self, option: FleetOption) -> bool:
        return (self.deadline is None or option.makespan <= self.deadline) and (
            self.max_cost is None or option.cost <= self.max_cost
        )

    def rank(self, option: FleetOption) -> tuple[float, ...]:
        """The least is the best: cheapest in time, or else quickest within the budget."""
        if self.deadline is None:
            return (option.makespan, option.cost, option.workers)
        return (option.cost, option.workers, option.makespan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """How much better than the chosen fleet anything could be."""

    # Of the chosen fleet: no schedule on it is shorter, the strongest reason first.
    bounds: tuple[Bound, ...]
    # No fleet that meets the deadline costs less; None where nothing was asked.
    least_cost: float | None = None
    # No fleet within the budget is quicker.
    least_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlanning:
    """The answer."""

    # None of these is beaten by another in both time and cost; the quickest first.
    front: tuple[FleetOption, ...]
    chosen: FleetOption | None
    certificate: Certificate | None
    # Of all that were looked at; and whether it is proven that no other fleet does better.
    quickest: FleetOption
    cheapest: FleetOption
    # Any mix of these classes takes at least so long, and costs at least so much.
    least_seconds: float
    least_cost: float
