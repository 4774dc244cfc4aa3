"""Which fleets would do some work, how soon and at what price: the search behind `proctor plan`.

An integer program proposes mixes for a range of times, the allocation judges each in a moment, and
the dispatcher itself, on a virtual clock, has the last word on those that matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from ..dispatching.durations import CaseHistory, Durations, GroupHistory
from ..errors import Unsatisfiable
from ..resources import fits
from ..scaling.reconciler import Sight
from ..worker_classes import WorkerClass
from .allocation import Piece, allocate, pieces_of
from .bounds import Load, Offer, least_seconds, loads_of, lower_bounds
from .mixes import Market, cheapest_mix, least_cost
from .options import Certificate, FleetOption, FleetPlanning, Wish, Work
from .simulated import PASS_SECONDS, Arrival, simulate_fleet

# Times between the quickest and the smallest fleet for which a mix is asked.
STEPS = 16
# What may be looked at: pieces in allocations, then cases in simulations.
MOST_PIECES = 2_000_000
MOST_CASES = 60_000
# A piece is at most this part of the shortest possible time: dispatched batches shrink as well.
PIECES_A_SLOT = 8
# A fluid fills slots to the brim; what is whole needs a little more time.
TIGHTER = (1.0, 0.97, 0.93, 0.88, 0.8)
# How often mixes are asked for anew when the dispatcher takes longer than was thought.
ROUNDS = 3
# How often a simulation is looked at on its way.
MOST_PASSES = 2_000
# Makespans that differ by less are the same to people.
SAME = 1.005
# Halvings when the time for a budget is looked for: within a thousandth.
HALVINGS = 12
# Fleets that differ by less cost the same.
CENT = 1e-9


def find_fleets(work: Work, market: Market, wish: Wish) -> FleetPlanning:
    """The options, and the best for what is asked; every case must fit one of the classes."""
    search = _Search(work, market, wish)
    search.propose()
    search.improve()
    chosen = search.verify()
    return FleetPlanning(
        front=search.front(),
        chosen=chosen,
        certificate=None if chosen is None else search.certificate(chosen),
        quickest=search.quickest(),
        cheapest=search.cheapest(),
        least_seconds=search.least,
        least_cost=search.cost_bound(inf),
    )


def play(work: Work, market: Market, counts: Mapping[str, int]) -> float:
    """How long the dispatcher takes on a virtual clock, from the launch of all workers.

    Infinite where it is not done long after a single slot would have been.
    """
    classes = {each.name: each for each in market.classes if counts[each.name]}
    known = {case: CaseHistory(seconds=seconds) for case, seconds in work.seconds.items()}
    files = {group: GroupHistory(shared_seconds=each) for group, each in work.warm_ups.items()}
    alone = sum(work.seconds.values()) + sum(work.warm_ups.values()) + len(work.cases)
    patience = 2 * alone + max(each.boot_seconds for each in classes.values())
    try:
        done = simulate_fleet(
            [Arrival(at=0.0, cases=work.cases)],
            classes,
            _AsPlanned({name: counts[name] for name in classes}, patience),
            seconds=work.of,
            durations=Durations(cases=known, groups=files),
            warm_up=work.warm_up,
            # Nothing is decided in a pass but whether it goes on for ever.
            pass_seconds=max(PASS_SECONDS, patience / MOST_PASSES),
        )
    except _Stuck:
        return inf
    return done.makespan


class _Stuck(Exception):
    """The dispatcher waits for something that will not happen."""


@dataclass(frozen=True, slots=True)
class _AsPlanned:
    """All workers from the beginning: they boot at once, and stay."""

    counts: Mapping[str, int]
    patience: float

    def sizes(self, sight: Sight) -> Mapping[str, int]:
        if sight.at > self.patience:
            raise _Stuck
        return self.counts


class _Search:
    """Keeps what it has seen of each fleet."""

    def __init__(self, work: Work, market: Market, wish: Wish) -> None:
        self._loads = loads_of(work.cases, work.of, work.warm_up)
        market = replace(
            market, classes=tuple(_no_more_than(each, self._loads) for each in market.classes)
        )
        self._work, self._market, self._wish = work, market, wish
        self._classes = {each.name: each for each in market.classes}
        self.least = least_seconds(self._loads, self._offers(market.most()))
        self._pieces: Sequence[Piece] = pieces_of(
            work.cases, work.of, work.warm_up, at_most=self.least / PIECES_A_SLOT
        )
        self._seen: dict[tuple[int, ...], FleetOption] = {}
        self._placed = self._played = 0
        # By how much the dispatcher took longer than the allocation, at worst.
        self._excess = 1.0
        # Longer than a single slot needs for everything.
        self._forever = (
            2 * sum(load.work_seconds + load.longest_seconds for load in self._loads)
            + max(each.boot_seconds for each in market.classes)
            + 1
        )

    def propose(self) -> None:
        """Mixes for times from the shortest possible to that of the smallest fleet."""
        self._slim(self._market.most())
        smallest = cheapest_mix(self._loads, self._market, within=self._forever)
        assert smallest is not None, "check that every case fits"
        slowest = max(self._estimate(smallest).makespan, self.least)
        self._ask(self._times(slowest))

    def improve(self) -> None:
        """One worker more, fewer or swapped, as long as that serves the wish better."""
        if not self._wish.says_anything:
            return
        best = self._best()
        while best is not None and self._placed <= MOST_PIECES:
            for counts in self._neighbours(best.counts):
                self._estimate(counts)
            better = self._best()
            if better is None or better.counts == best.counts:
                return
            best = better

    def verify(self) -> FleetOption | None:
        """Play the best through, and the next best where it disappoints; then the whole front."""
        for _ in range(ROUNDS):
            chosen = self._best()
            while chosen is not None and not chosen.simulated:
                self._simulate(chosen)
                chosen = self._best()
            if chosen is not None or self._wish.deadline is None:
                break
            self._ask(self._wish.deadline / self._excess * part for part in TIGHTER)
        if self._best() is None:
            # Who is told that nothing does is told so of the best there is.
            for option in (self.quickest(), self.cheapest()):
                self._simulate(option)
        self._polish()
        while self._played <= MOST_CASES:
            unplayed = [each for each in self.front() if not each.simulated]
            if not unplayed:
                break
            for option in unplayed:
                self._simulate(option)
        # Playing the others through may have shown one of them to be better.
        return self._best(only_simulated=True)

    def _polish(self) -> None:
        """The neighbours of the best, played: estimates err by more than neighbours differ."""
        best = self._best()
        while best is not None:
            for counts in self._neighbours(best.counts):
                if self._played > MOST_CASES:
                    return
                if self._estimate(counts).makespan < inf:
                    self._simulate(self._estimate(counts))
            better = self._best(only_simulated=True)
            if better is None or better.counts == best.counts:
                return
            best = better

    def found(self) -> list[FleetOption]:
        """Every fleet that can do it.

        Estimates leave out what dispatching costs: who looks better than one that was played is
        played next. Once that would take too long, all are thought to be as late as the worst was.
        """
        excess = self._excess if self._played > MOST_CASES else 1.0
        return [
            each if each.simulated else self._priced(each.counts, each.makespan * excess)
            for each in self._seen.values()
            if each.makespan < inf
        ]

    def quickest(self) -> FleetOption:
        return min(self._some(), key=lambda each: (each.makespan, each.cost))

    def cheapest(self) -> FleetOption:
        return min(self._some(), key=lambda each: (each.cost, each.makespan))

    def _some(self) -> list[FleetOption]:
        found = self.found()
        if not found:
            raise Unsatisfiable(
                "no fleet of these classes was played to its end",
                remedy="allow more workers, or other classes",
            )
        return found

    def front(self) -> tuple[FleetOption, ...]:
        kept: list[FleetOption] = []
        for option in sorted(
            self.found(), key=lambda each: (each.makespan, each.cost, each.workers)
        ):
            if not kept or option.cost < kept[-1].cost - CENT:
                kept.append(option)
        return tuple(kept)

    def certificate(self, chosen: FleetOption) -> Certificate:
        bounds = lower_bounds(self._loads, self._offers(chosen.counts))
        deadline, budget = self._wish.deadline, self._wish.max_cost
        return Certificate(
            bounds=tuple(bounds),
            least_cost=None if deadline is None else self.cost_bound(deadline),
            least_seconds=(
                None
                if budget is None or deadline is not None
                else self._seconds_bound(budget, chosen.makespan)
            ),
        )

    def cost_bound(self, within: float) -> float:
        """No fleet that meets the time costs less."""
        return least_cost(
            self._loads, self._market, within=min(within, self._forever), at_least=self.least
        )

    def _seconds_bound(self, budget: float, reached: float) -> float:
        """No fleet within the budget is quicker: in less time, each costs more."""
        low, high = self.least, reached
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if self.cost_bound(middle) > budget:
                low = middle
            else:
                high = middle
        return low

    def _times(self, slowest: float) -> Iterator[float]:
        deadline = self._wish.deadline
        if deadline is not None and deadline >= self.least:
            yield from (max(self.least, deadline * part) for part in TIGHTER)
        ratio = max(1.0, slowest / self.least) if self.least > 0 else 1.0
        yield from (self.least * ratio ** (step / STEPS) for step in range(STEPS))

    def _slim(self, counts: Mapping[str, int]) -> None:
        """As quick with fewer workers, if that can be."""
        goal = self._estimate(counts).makespan * SAME
        slim = dict(counts)
        dearest_first = sorted(self._classes, key=lambda each: -self._market.prices[each])
        for name in dearest_first:
            low, high = self._classes[name].minimum, slim[name]
            while low < high:
                middle = (low + high) // 2
                if self._estimate({**slim, name: middle}).makespan <= goal:
                    high = middle
                else:
                    low = middle + 1
            slim[name] = high

    def _ask(self, times: Iterable[float]) -> None:
        for within in times:
            if self._placed > MOST_PIECES:
                return
            mix = cheapest_mix(self._loads, self._market, within=within)
            if mix is not None:
                self._estimate(mix)

    def _best(self, *, only_simulated: bool = False) -> FleetOption | None:
        if not self._wish.says_anything:
            return None
        granted = [
            each
            for each in self.found()
            if self._wish.grants(each) and (each.simulated or not only_simulated)
        ]
        return min(granted, key=self._wish.rank, default=None)

    def _neighbours(self, counts: Mapping[str, int]) -> Iterator[dict[str, int]]:
        steps = [
            (name, step)
            for name, each in self._classes.items()
            for step in (-1, 1)
            if each.minimum <= counts[name] + step <= self._market.most()[name]
        ]
        for name, step in steps:
            yield {**counts, name: counts[name] + step}
        for fewer, down in steps:
            for more, up in steps:
                if fewer != more and down < 0 < up:
                    yield {**counts, fewer: counts[fewer] - 1, more: counts[more] + 1}

    def _estimate(self, counts: Mapping[str, int]) -> FleetOption:
        key = self._key(counts)
        known = self._seen.get(key)
        if known is not None:
            return known
        offers = self._offers(counts)
        makespan = inf
        if all(any(fits(load.needs, each.facts) for each in offers) for load in self._loads):
            makespan = allocate(self._pieces, offers).makespan
            self._placed += len(self._pieces)
        self._seen[key] = self._priced(counts, makespan)
        return self._seen[key]

    def _simulate(self, option: FleetOption) -> None:
        key = self._key(option.counts)
        known = self._seen[key]
        if known.simulated:
            return
        self._played += len(self._work.cases)
        makespan = play(self._work, self._market, option.counts)
        if 0 < known.makespan < makespan < inf:
            self._excess = max(self._excess, makespan / known.makespan)
        self._seen[key] = replace(self._priced(option.counts, makespan), simulated=True)

    def _priced(self, counts: Mapping[str, int], makespan: float) -> FleetOption:
        return FleetOption(
            counts=dict(counts),
            makespan=makespan,
            cost=self._market.cost(counts, makespan) if makespan < inf else inf,
        )

    def _key(self, counts: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(counts[name] for name in self._classes)

    def _offers(self, counts: Mapping[str, int]) -> list[Offer]:
        return [
            Offer(facts=each.facts(1), count=counts[name], boot_seconds=each.boot_seconds)
            for name, each in self._classes.items()
            if counts[name]
        ]


def _no_more_than(worker_class: WorkerClass, loads: Sequence[Load]) -> WorkerClass:
    """Workers beyond the number of cases that could run there would have nothing to do."""
    facts = worker_class.facts(1)
    cases = sum(len(load.seconds) for load in loads if fits(load.needs, facts))
    assert worker_class.maximum is not None, "who opens a market says how many there may be"
    return replace(
        worker_class, maximum=max(worker_class.minimum, min(cases, worker_class.maximum))
    )
