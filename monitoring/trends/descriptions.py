"""The simplest convincing explanation of each of many series: levels, with or without background.

All series of one length go through each step together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .background import (
    Background,
    slope_strengths,
    take_off,
    waves_in,
    waves_in_steps,
)
from .evidence import SHIFT_PRICE, lasting_memories, memory_factors, misfits
from .intervals import SHORTEST
from .location import relocate
from .pruning import prune, without_bursts, without_slopes
from .ranks import Floats, Ints
from .scan import candidates
from .segments import Ranked, clipped_rows, residual_rows
from .stairs import shifts_beside_slope
from .thresholds import threshold

# Candidates may be weaker than what is reported: the test between neighbours is the sharper one.
_CANDIDATE = 0.86
# Candidates that fell to memory as long as this may be the flanks of a wave.
_WAVY = 1.3
_MOST_WAVES = 3
# Up to so many points memory is also told by what the candidates' levels leave, raised by what they
# may have taken of it.
_SHORT = 65
_TAKEN = 1.3
# By how much a background may cost more than what it explains beside the same shifts. Of those
# beyond it, nearly half of all, one in three hundred would be chosen after finding shifts anew.
_HOPE = 10.0
# The same for one more background, compared with the best explanation so far.
_MORE_HOPE = 5.0
# Waves are nearly the same whose rounds over the whole series differ by less than this: one found
# in the steps is mostly that found in what the levels leave, and both would lead to one end.
_ALIKE = 0.3
_PLAIN = Background()


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptions:
    """Each row one way to explain a series."""

    # What is left of the values without the background.
    rows: Floats
    # First points of new levels, counted through all rows.
    cuts: list[int]
    backgrounds: list[Background]
    memory: Floats
    # Which series each row explains.
    sources: Ints

    def counts(self) -> list[int]:
        """How many shifts each row has."""
        at = np.asarray(self.cuts, np.intp) // max(self.rows.shape[1], 1)
        return np.bincount(at, minlength=len(self.rows)).tolist()

    def only(self, which: Ints) -> Descriptions:
        """Some of the rows, in this order."""
        if len(which) == len(self.rows) and (
            len(which) == 1 or (which == np.arange(len(which))).all()
        ):
            return self
        n, starts = self.rows.shape[1], np.cumsum([0, *self.counts()])
        firsts, counts = starts[which], starts[which + 1] - starts[which]
        # One after the other the places of each row's cuts in the list of all.
        ahead = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + (firsts - ahead).repeat(counts)
        moved = (np.arange(len(which)) - which).repeat(counts) * n
        cuts = (np.asarray(self.cuts, np.intp)[places] + moved).tolist()
        return Descriptions(
            rows=self.rows[which],
            cuts=cuts,
            backgrounds=[self.backgrounds[i] for i in which.tolist()],
            memory=self.memory[which],
            sources=self.sources[which],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """One step of all chains of explanations that got so far."""

    told: Descriptions
    # Which chain each row belongs to: 0 for the plain ones.
    chains: Ints
    # How badly each describes its series.
    misfit: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """The simplest explanation of each series so far."""

    misfit: Floats
    price: Floats
    memory: Floats

    @classmethod
    def of(cls, plain: _Tried) -> _Best:
        told = plain.told
        return cls(
            misfit=plain.misfit.copy(), price=np.array(_prices(told)), memory=told.memory.copy()
        )

    def learn(self, tried: _Tried) -> None:
        """Put what is simpler in its place."""
        every, price = tried.told.sources, np.array(_prices(tried.told))
        for chain in np.unique(tried.chains).tolist():
            here = np.flatnonzero(tried.chains == chain)
            least = np.minimum(self.memory[every[here]], tried.told.memory[here])
            known = self.misfit[every[here]] / least + self.price[every[here]]
            here = here[tried.misfit[here] / least + price[here] < known]
            self.misfit[every[here]] = tried.misfit[here]
            self.price[every[here]] = price[here]
            self.memory[every[here]] = tried.told.memory[here]


def _joined(parts: Sequence[Descriptions]) -> Descriptions:
    cuts, offset = list[int](), 0
    for part in parts:
        cuts += [at + offset for at in part.cuts]
        offset += part.rows.size
    return Descriptions(
        rows=np.concatenate([part.rows for part in parts]),
        cuts=cuts,
        backgrounds=[each for part in parts for each in part.backgrounds],
        memory=np.concatenate([part.memory for part in parts]),
        sources=np.concatenate([part.sources for part in parts]),
    )


def describe_rows(rows: Floats, alarms: float) -> Descriptions:
    """The simplest convincing explanation of each row."""
    n = rows.shape[1]
    limit = threshold(n, alarms) if n >= 2 * SHORTEST else np.inf
    plain = _levels(rows, [_PLAIN] * len(rows), np.arange(len(rows)), limit)
    counts = np.array(plain.counts())
    lively = np.flatnonzero((counts > 0) | (plain.memory >= _WAVY))
    if not len(lively):
        return plain
    told = _simplest(_explanations(plain.only(lively), limit))
    kept = without_slopes(told.rows, without_bursts(told.rows, told.cuts, told.memory))
    if len(kept) < len(told.cuts):
        kept = prune(told.rows, kept, threshold=limit, memory=told.memory)
    told = _beyond_memory(replace(told, cuts=kept), limit)
    told = replace(told, cuts=relocate(told.rows, told.cuts))
    if len(lively) == len(rows):
        return told
    # Where nothing was found, levels alone explain all.
    best = np.arange(len(rows))
    best[lively] = len(rows) + np.arange(len(lively))
    return replace(_joined([plain, told]).only(best), sources=np.arange(len(rows)))


def _beyond_memory(told: Descriptions, limit: float) -> Descriptions:
    """Without shifts that noise with a longer memory makes.

    Looked at once: what is left of a shift that was dropped looks like more memory, and would take
    one shift after the other with it.
    """
    memory, n = told.memory.copy(), told.rows.shape[1]
    which = np.unique(np.asarray(told.cuts, np.intp) // n)
    if not len(which):
        return told
    here = told.only(which)
    found = lasting_memories(here.rows, here.cuts)
    longer = found > memory[which]
    if not longer.any():
        return told
    which = which[longer]
    memory[which] = found[longer]
    here = replace(told, memory=memory).only(which)
    fewer = prune(here.rows, here.cuts, threshold=limit, memory=here.memory)
    rest = set(which.tolist())
    moved = [at % n + int(which[at // n]) * n for at in fewer]
    cuts = sorted([at for at in told.cuts if at // n not in rest] + moved)
    return replace(told, cuts=cuts, memory=memory)


def _levels(
    rows: Floats,
    backgrounds: list[Background],
    sources: Ints,
    limit: float,
    *,
    factors: Floats | None = None,
) -> Descriptions:
    """The rows with their shifts; `factors` is their memory where it is known."""
    ranked, n = Ranked(rows), rows.shape[1]
    cuts = candidates(rows, limit * _CANDIDATE, ranked)
    memory = np.ones(len(rows))
    if cuts:
        some = np.unique(np.asarray(cuts, np.intp) // n)
        if factors is not None:
            memory[some] = factors[some]
        unknown = some if factors is None else some[np.isnan(memory[some])]
        memory[unknown] = memory_factors(rows[unknown], shifts=1)
        if n < _SHORT:
            # Shifts and odd runs are in most steps of so few: what levels leave has fewer of them.
            rest = residual_rows(rows, cuts)[unknown]
            memory[unknown] = np.minimum(memory[unknown], _TAKEN * memory_factors(rest))
        cuts = relocate(rows, cuts, ranked=ranked)
        cuts = prune(rows, cuts, threshold=limit, memory=memory, ranked=ranked)
    return Descriptions(
        rows=rows, cuts=cuts, backgrounds=backgrounds, memory=memory, sources=sources
    )


def _explanations(plain: Descriptions, limit: float) -> list[_Tried]:
    """The plain ones and those with what seems to move in the background, each built on the last.

    What a staircase leaves of a creep looks like a wave, and what it leaves of a wave like
    nothing: so each kind of background is also tried as the first.
    """
    count = len(plain.rows)
    plain = replace(plain, sources=np.arange(count))
    # What the levels leave, and the same with outliers held.
    rest = residual_rows(plain.rows, plain.cuts)
    held = clipped_rows(rest)
    out = [_Tried(chains=np.zeros(count, np.intp), told=plain, misfit=misfits(rest))]
    best, hope = _Best.of(out[0]), _HOPE
    more = [*_with_slope(plain), *_with_wave(plain, held), *_with_wave_in_steps(plain)]
    going = _given(more)
    chains, which = going // count + 1, going % count
    here, rest, held = plain.only(which), rest[which], held[which]
    wanted = [each for each in more if each]
    while wanted:
        beside, worth = _beside(here, wanted, rest, held)
        here = replace(here, cuts=beside, backgrounds=wanted)
        if not worth.all():
            keep = np.flatnonzero(worth)
            here, chains = here.only(keep), chains[keep]
        rows = take_off(plain.rows[here.sources], here.cuts, here.backgrounds)
        here = replace(here, rows=rows)
        # Where a background does not pay beside the same shifts, others would hardly make it pay.
        source = here.sources
        memory = best.memory[source]
        # None is shorter than one, so that where the best one has none it need not be known yet.
        long = np.flatnonzero(memory > 1)
        factors = np.full(len(rows), np.nan)
        factors[long] = memory_factors(rows[long], shifts=1)
        memory[long] = np.minimum(memory[long], factors[long])
        cost = misfits(residual_rows(rows, here.cuts)) / memory + np.array(_prices(here))
        # Not the other way round: what has no noise at all costs less than any number.
        keep = np.flatnonzero(~(cost > best.misfit[source] / memory + best.price[source] + hope))
        if not len(keep):
            break
        keep = keep[_distinct(here.only(keep), cost[keep])]
        here, chains, factors = here.only(keep), chains[keep], factors[keep]
        here = _levels(here.rows, here.backgrounds, here.sources, limit, factors=factors)
        rest = residual_rows(here.rows, here.cuts)
        held = clipped_rows(rest)
        out.append(_Tried(chains=chains, told=here, misfit=misfits(rest)))
        best.learn(out[-1])
        hope = _MORE_HOPE
        waves = _with_wave(here, held)
        more = [wave or slope for wave, slope in zip(waves, _with_slope(here), strict=True)]
        going = _given(more)
        here, chains, wanted = here.only(going), chains[going], [each for each in more if each]
        rest, held = rest[going], held[going]
    return out


def _distinct(told: Descriptions, cost: Floats) -> Ints:
    """The rows without those whose series has nearly the same background in a cheaper one."""
    n, kept = told.rows.shape[1], dict[int, list[int]]()
    sources, backgrounds = told.sources.tolist(), told.backgrounds
    for i in cost.argsort(kind="stable").tolist():
        cheaper = kept.setdefault(sources[i], [])
        if not any(backgrounds[i].near(backgrounds[j], _ALIKE / n) for j in cheaper):
            cheaper.append(i)
    return np.array(sorted(i for few in kept.values() for i in few), np.intp)


def _given(more: list[Background | None]) -> Ints:
    return np.array([i for i, each in enumerate(more) if each], np.intp)


def _prices(told: Descriptions) -> list[float]:
    """What shifts and backgrounds cost."""
    return [
        SHIFT_PRICE * count + each.price
        for count, each in zip(told.counts(), told.backgrounds, strict=True)
    ]


def _beside(
    here: Descriptions, wanted: list[Background], rest: Floats, held: Floats
) -> tuple[list[int], NDArray[np.bool_]]:
    """The shifts to fit each background beside, and whether it is worth a fit at all.

    `rest` is what the levels leave, `held` the same with outliers held.
    """
    sloping = np.array(
        [
            i
            for i, (a, b) in enumerate(zip(wanted, here.backgrounds, strict=True))
            if a.slope and not b.slope
        ],
        np.intp,
    )
    worth = np.ones(len(wanted), bool)
    if not len(sloping):
        return here.cuts, worth
    some, n = here.only(sloping), here.rows.shape[1]
    kept = shifts_beside_slope(some.rows, some.cuts, rest[sloping], SHIFT_PRICE)
    had, has = some.counts(), replace(some, cuts=kept).counts()
    steep = np.abs(slope_strengths(held[sloping], some.cuts)) > 2.5 * np.sqrt(some.memory)
    worth[sloping] = ~((np.array(had) == has) & (np.array(has) > 0)) | steep
    others = set(sloping.tolist())
    cuts = [at for at in here.cuts if at // n not in others]
    cuts += [at % n + int(sloping[at // n]) * n for at in kept]
    return sorted(cuts), worth


def _with_slope(told: Descriptions) -> list[Background | None]:
    return [
        replace(each, slope=True) if count and not each.slope else None
        for each, count in zip(told.backgrounds, told.counts(), strict=True)
    ]


def _with_wave(told: Descriptions, held: Floats) -> list[Background | None]:
    return [
        None
        if wave is None or len(each.waves) >= _MOST_WAVES
        else replace(each, waves=(*each.waves, wave))
        for each, wave in zip(told.backgrounds, waves_in(held), strict=True)
    ]


def _with_wave_in_steps(told: Descriptions) -> list[Background | None]:
    return [
        None if wave is None else replace(each, waves=(wave,))
        for each, wave in zip(told.backgrounds, waves_in_steps(told.rows), strict=True)
    ]


def _simplest(tried: list[_Tried]) -> Descriptions:
    """The simplest for each series; the first of those as simple."""
    every = _joined([each.told for each in tried])
    misfit = np.concatenate([each.misfit for each in tried]).tolist()
    memory = every.memory.tolist()
    price = _prices(every)
    # One chain after the other, each from its first step on.
    turn = [(chain, step) for step, each in enumerate(tried) for chain in each.chains.tolist()]
    best = dict[int, int]()
    sources = every.sources.tolist()
    for i in sorted(range(len(turn)), key=turn.__getitem__):
        other = best.setdefault(sources[i], i)
        least = min(memory[i], memory[other])
        if misfit[i] / least + price[i] < misfit[other] / least + price[other]:
            best[sources[i]] = i
    return every.only(np.array([best[row] for row in sorted(best)]))
