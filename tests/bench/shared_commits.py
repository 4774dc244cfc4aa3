"""Series that move at one commit: what each says of the place, and what they say together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from histories import MARGIN, NOISES, Rng
from quality_tables import print_table

from proctor.monitoring.trends.changes import find_ranged_changes
from proctor.monitoring.trends.discoveries import Discovery, Finding, discoveries, finding
from proctor.monitoring.trends.series import Series, SeriesName
from proctor.monitoring.trends.shared_noise import likeness
from proctor.monitoring.trends.source import Observed

_CAMPAIGNS = 120
# So many campaigns of a hundred are without a case.
_MISSING = 0.1
# In standard deviations of the noise.
SIZES = {"small": (1.5, 2.5), "middle": (2.5, 4.0), "large": (4.0, 6.0)}
COUNTS = (1, 2, 4, 8)
# Fewer groups of each kind say nothing of it.
_ENOUGH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Series of one area that got slower with one campaign."""

    series: tuple[Observed, ...]
    at: int


def moved_together(
    kind: str, count: int, rng: Rng, *, sizes: tuple[float, float], shared: float = 0.0
) -> Moved:
    """`shared` is how much of the noise of all of them is that of the machine they ran on."""
    n = _CAMPAIGNS
    at = int(rng.integers(30, n - 30))
    machine = NOISES[kind](n, rng)
    out = list[Observed]()
    for i in range(count):
        noise = (1 - shared) ** 0.5 * NOISES[kind](n, rng) + shared**0.5 * machine
        noise[at:] += float(np.exp(rng.uniform(*np.log(sizes))))
        values = float(np.exp(rng.uniform(-3, 7))) * (1 + rng.uniform(0.005, 0.02) * noise)
        places = np.flatnonzero(rng.random(n) >= _MISSING)
        name = SeriesName(case=f"case {i}")
        series = Series(
            name=name, times=places.astype(float), values=values[places], commits=(), unit="s"
        )
        out.append(Observed(series=series, places=tuple(places.tolist()), area=""))
    return Moved(series=tuple(out), at=at)


def told_of(group: Moved) -> list[Discovery]:
    """What is told of the commit, the one of most series first."""
    changes = find_ranged_changes([each.series.values for each in group.series])
    shifts = {
        each.series.name: (each, [c.index for c in found])
        for each, found in zip(group.series, changes, strict=True)
    }
    told = discoveries(
        [
            finding(each, change)
            for each, found in zip(group.series, changes, strict=True)
            for change in found
        ],
        looked_at=len(group.series),
        alike=lambda some: likeness(shifts[name] for name in {f.series for f in some}),
    )
    near = [each for each in told if each.is_regression and abs(each.commit - group.at) <= MARGIN]
    return sorted(near, key=lambda each: -len(each.findings))


def by_votes(findings: Sequence[Finding]) -> tuple[int, int, int]:
    """The rule to beat: each best guess votes, the narrower its range the louder; ranges meet."""
    low, high = max(f.low for f in findings), min(f.high for f in findings)
    if low > high:
        surest = min(findings, key=lambda f: (f.high - f.low, f.p_value))
        low, high = surest.low, surest.high
    votes = dict[int, float]()
    for f in findings:
        votes[f.commit] = votes.get(f.commit, 0.0) + 1 / (1 + f.high - f.low)
    inside = {c: v for c, v in votes.items() if low <= c <= high} or votes
    return max(inside, key=lambda c: (inside[c], -c)), low, high


@dataclass(slots=True)
class Tally:
    """How often a place was right."""

    count: int = 0
    exact: int = 0
    near: int = 0
    held: int = 0
    width: int = 0

    def add(self, truth: int, place: tuple[int, int, int]) -> None:
        at, low, high = place
        self.count += 1
        self.exact += at == truth
        self.near += abs(at - truth) <= 1
        self.held += low <= truth <= high
        self.width += high - low + 1

    def cells(self) -> tuple[float, ...]:
        return tuple(
            part / max(self.count, 1) for part in (self.exact, self.near, self.held, self.width)
        )


def shared_commits(rng: Rng, options: argparse.Namespace) -> None:
    """Votes against the joint chance, by number of series, size, and noise of the machine."""
    for shared in (0.0, 0.3):
        rows, kinds = list[Sequence[object]](), list[Sequence[object]]()
        for count in COUNTS:
            for size, sizes in SIZES.items():
                votes, joint, asked, pieces, shown = Tally(), Tally(), 0, 0, 0
                for kind in NOISES:
                    of_kind = Tally()
                    for _ in range(options.size):
                        group = moved_together(kind, count, rng, sizes=sizes, shared=shared)
                        asked += 1
                        told = told_of(group)
                        if not told:
                            continue
                        best = told[0]
                        pieces += len(told)
                        shown += len(best.findings)
                        place = (best.commit, best.low, best.high)
                        votes.add(group.at, by_votes(best.findings))
                        joint.add(group.at, place)
                        of_kind.add(group.at, place)
                    kinds.append((count, size, kind, of_kind.count, *of_kind.cells()))
                found = max(joint.count, 1)
                known = (count, size, joint.count / asked, pieces / found, shown / found)
                rows.append((*known, "votes", *votes.cells()))
                rows.append((*known, "joint", *joint.cells()))
        places = ("exact", "within 1", "95 % holds", "width")
        what = f"Series that moved at one commit, {shared:.0%} of their noise shared"
        header = ("series", "shift", "told", "pieces", "show it", "place by", *places)
        print_table(what, header, rows)
        if options.size >= _ENOUGH:
            print_table(f"{what}: joint", ("series", "shift", "kind", "told", *places), kinds)
