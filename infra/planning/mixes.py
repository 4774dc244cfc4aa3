"""How many workers of each class: the integer programs behind `proctor plan`.

Work is a fluid in them, which fills slots, CPU, memory and GPUs; numbers of workers are whole, and
so are the slots that long cases need side by side. What they find is a mix worth a closer look, or
a bound: no mix, however it is scheduled, costs less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from ..records import Requirements
from ..resources import fits
from ..scaling.demand import concurrency
from ..worker_classes import WorkerClass
from .bounds import RESOURCES, Load, capacity_of, usage_of

# HiGHS proves these in milliseconds; what it has by then is a mix and a bound all the same.
SOLVER_SECONDS = 5.0
# A case that is longer than one part in so many of the time shares its slot with fewer others.
MOST_LAYERS = 6
# Among mixes of the same price the one with fewer workers.
PER_WORKER = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The classes there are to choose from, each with at most so many, and their prices."""

    classes: tuple[WorkerClass, ...]
    # By class, an hour of one worker.
    prices: Mapping[str, float]
    # Classes of which nobody said how many there may be.
    open_ended: frozenset[str] = frozenset()

    def cost(self, counts: Mapping[str, int], seconds: float) -> float:
        """All workers from launch to the end."""
        return sum(count * self.prices[name] for name, count in counts.items()) * seconds / 3600

    def most(self) -> dict[str, int]:
        return {each.name: _most(each) for each in self.classes}


def needed(market: Market, needs: Iterable[Requirements]) -> Market:
    """The market without classes that do nothing an earlier one does not do as well for the money.

    Among equals a solver takes any: fleets of GPUs would be proposed for work that needs none.
    """
    asked = frozenset(needs)
    kept: list[WorkerClass] = []
    for each in market.classes:
        droppable = each.name in market.open_ended and not each.minimum
        earlier = (one for one in kept if one.name in market.open_ended)
        if not (droppable and any(_does_as_well(one, each, market, asked) for one in earlier)):
            kept.append(each)
    return replace(market, classes=tuple(kept))


def _does_as_well(
    one: WorkerClass, other: WorkerClass, market: Market, needs: Iterable[Requirements]
) -> bool:
    mine, its = one.facts(1), other.facts(1)
    return (
        market.prices[one.name] <= market.prices[other.name]
        and one.boot_seconds <= other.boot_seconds
        and one.slots >= other.slots
        and all(
            fits(each, mine) and concurrency(each, mine) >= concurrency(each, its)
            for each in needs
            if fits(each, its)
        )
    )


def cheapest_mix(loads: Sequence[Load], market: Market, *, within: float) -> dict[str, int] | None:
    """The numbers that cost least an hour and could do the work in time; None if none can."""
    program = _Program(loads, market, within=within)
    for at, each in enumerate(market.classes):
        # Of mixes that are alike the one with workers of the classes that come first.
        program.cost[at] = market.prices[each.name] + PER_WORKER * (1 + at / len(market.classes))
        for row in program.fills(at):
            # What is done there fits into the workers' time.
            program.at_most({**row, at: -max(0.0, within - each.boot_seconds)}, 0.0)
    solved = program.solve()
    if solved is None or solved.x is None:
        return None
    return {each.name: round(solved.x[at]) for at, each in enumerate(market.classes)}


def least_cost(
    loads: Sequence[Load], market: Market, *, within: float, at_least: float = 0.0
) -> float:
    """No mix that meets the time costs less, when all are paid from launch to the end.

    `at_least` is what the work takes on any mix. Infinite where no mix meets the time.
    """
    program = _Program(loads, market, within=within, paid=True)
    for at, each in enumerate(market.classes):
        paid = program.paid_at + at
        # In hours, as prices are.
        program.cost[paid] = market.prices[each.name] / 3600
        for row in program.fills(at):
            program.at_most({**row, at: each.boot_seconds, paid: -1.0}, 0.0)
        program.at_most({paid: 1.0, at: -within}, 0.0)
        program.at_most({paid: -1.0, at: at_least}, 0.0)
    solved = program.solve()
    if solved is None:
        return inf
    # What the solver has proven, not what it has found.
    # Out of time it may have proven nothing, and found nothing.
    proven = solved.mip_dual_bound if solved.mip_dual_bound is not None else solved.fun
    return 0.0 if proven is None else max(0.0, float(proven))


class _Program:
    """What both have in common: whole workers, and each load spread over classes that can."""

    def __init__(
        self, loads: Sequence[Load], market: Market, *, within: float, paid: bool = False
    ) -> None:
        self._loads, self._classes = loads, market.classes
        size = len(market.classes)
        # Columns: workers of each class; shares of each load there; seconds paid for.
        self._shares = {
            (load_at, at): size + number
            for number, (load_at, at) in enumerate(
                (load_at, at)
                for load_at, load in enumerate(loads)
                for at, each in enumerate(market.classes)
                if _most(each) and each.boot_seconds < within and fits(load.needs, each.facts(1))
            )
        }
        self.paid_at = size + len(self._shares)
        self._columns = self.paid_at + (size if paid else 0)
        self.cost = [0.0] * self._columns
        self._rows: list[tuple[Mapping[int, float], float, float]] = []
        for load_at, load in enumerate(loads):
            self._spread(load_at)
            self._lanes(load, within)

    def at_most(self, row: Mapping[int, float], limit: float) -> None:
        self._rows.append((row, -inf, limit))

    def fills(self, at: int) -> Iterator[dict[int, float]]:
        """Worker-seconds that shares of loads take of a class, once for each resource."""
        facts = self._classes[at].facts(1)
        here = {load_at: column for (load_at, c), column in self._shares.items() if c == at}
        for resource in RESOURCES:
            capacity = capacity_of(facts)[resource]
            if capacity > 0:
                yield {
                    column: self._loads[load_at].work_seconds
                    * usage_of(self._loads[load_at].needs)[resource]
                    / capacity
                    for load_at, column in here.items()
                }
        for load_at, column in here.items():
            load = self._loads[load_at]
            yield {column: load.work_seconds / concurrency(load.needs, facts)}

    def solve(self) -> Any:
        """SciPy's answer; None where there is none."""
        # Takes a third of a second to import.
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array

        size = len(self._classes)
        upper = np.full(self._columns, np.inf)
        lower = np.zeros(self._columns)
        upper[:size] = [_most(each) for each in self._classes]
        lower[:size] = [each.minimum for each in self._classes]
        upper[size : self.paid_at] = 1.0
        # Rows whose largest number is one: seconds and bytes differ by ten powers of ten.
        scales = [max((abs(v) for v in row.values()), default=0.0) or 1.0 for row, *_ in self._rows]
        entries = [
            (value / scale, number, column)
            for number, ((row, *_), scale) in enumerate(zip(self._rows, scales, strict=True))
            for column, value in row.items()
        ]
        values, numbers, columns = zip(*entries, strict=True)
        solved = milp(
            np.array(self.cost),
            integrality=[1] * size + [0] * (self._columns - size),
            bounds=Bounds(lower, upper),  # pyright: ignore[reportArgumentType] - arrays are taken.
            constraints=LinearConstraint(
                csr_array((values, (numbers, columns)), shape=(len(self._rows), self._columns)),
                np.array([low for _, low, _ in self._rows]) / scales,  # pyright: ignore[reportArgumentType] - as above.
                np.array([high for *_, high in self._rows]) / scales,  # pyright: ignore[reportArgumentType]
            ),
            options={"time_limit": SOLVER_SECONDS},
        )
        # 0 is optimal, 1 ran out of time.
        return solved if solved.status in {0, 1} else None

    def _spread(self, load_at: int) -> None:
        """All of a load is done somewhere."""
        row = {column: 1.0 for (which, _), column in self._shares.items() if which == load_at}
        self._rows.append((row, 1.0, 1.0))

    def _lanes(self, load: Load, within: float) -> None:
        """Two cases longer than half of the time need two lanes, five longer than a third three."""
        room = {
            at: float(concurrency(load.needs, each.facts(1)))
            for at, each in enumerate(self._classes)
            if fits(load.needs, each.facts(1)) and each.boot_seconds < within
        }
        if not room:
            return
        time = within - min(self._classes[at].boot_seconds for at in room)
        for layers in range(1, MOST_LAYERS + 1):
            long = sum(each > time / (layers + 1) * (1 + 1e-9) for each in load.seconds)
            if long:
                self._rows.append(({at: lanes * layers for at, lanes in room.items()}, long, inf))
        # The longest must fit behind the boot of somebody.
        able = {at: 1.0 for at in room if self._in_time(at, load, within)}
        self._rows.append((able or {next(iter(room)): 0.0}, 1.0, inf))

    def _in_time(self, at: int, load: Load, within: float) -> bool:
        return self._classes[at].boot_seconds + load.longest_seconds <= within * (1 + 1e-9)


def _most(worker_class: WorkerClass) -> int:
    assert worker_class.maximum is not None, "who opens a market says how many there may be"
    return worker_class.maximum
