"""What to tell people: findings of all series together, few of them false, each told once.

A change in the product moves many tests at one commit. Findings whose code lies in one area, and
that may well have one place, are one discovery: their evidence is pooled, and so is their knowledge
of the place. The share of false ones among all discoveries is held (Benjamini and
Hochberg), whatever the number of series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import false_discovery_control

from .chances import Chances, Pool, guessed
from .changes import Change
from .series import SeriesName
from .source import Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One shift of one series, in the order of commits that all series share."""

    series: SeriesName
    # Where the code lies, such as a folder or a component; empty means anywhere.
    area: str
    # Places in the order of commits: best guess, and the range that holds it with 95 %.
    commit: int
    low: int
    high: int
    p_value: float
    # Share of the old level; positive is worse.
    worse_by: float
    # How likely each place is, where that was told.
    chances: Chances | None = field(default=None, compare=False, repr=False)


# How much less likely one place may make findings than two, as a logarithm: about one commit in 150
# moves a series.
APART = 5.0
# How many groups back a finding may belong to.
_RECENT = 3
# The correlation of the noise of a group's series.
Alike = Callable[[Sequence[Finding]], float]


def _unlike(group: Sequence[Finding]) -> float:
    """Each series has noise of its own."""
    del group
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Findings with one cause."""

    findings: tuple[Finding, ...]
    commit: int
    low: int
    high: int
    # After pooling, and after allowing for all series that were looked at.
    p_value: float
    q_value: float

    @property
    def is_regression(self) -> bool:
        return sum(f.worse_by for f in self.findings) > 0


def finding(each: Observed, change: Change) -> Finding:
    """A change of this series in the common order."""
    places, worse = each.places, each.series.is_worse(change.before, change.after)
    size = abs(change.after - change.before) / max(abs(change.before), 1e-300)
    return Finding(
        series=each.series.name,
        area=each.area,
        commit=places[change.index],
        # Campaigns that this case was not in may hold the culprit as well.
        low=places[change.low - 1] + 1 if change.low else places[0],
        high=places[min(change.high, len(places) - 1)],
        p_value=change.p_value,
        worse_by=size if worse else -size,
        chances=change.chances and change.chances.among(places),
    )


def discoveries(
    findings: Iterable[Finding],
    *,
    looked_at: int,
    false_share: float = 0.05,
    alike: Alike = _unlike,
) -> tuple[Discovery, ...]:
    """Pool findings and keep those that hold among `looked_at` series; most certain first."""
    groups = _pooled(findings)
    if not groups:
        return ()
    chances = np.array([_combined([f.p_value for f in g]) for g in groups])
    # Series without a finding were looked at as well. Their number less those told elsewhere.
    silent = max(looked_at - sum(len({f.series for f in g}) for g in groups), 0)
    adjusted = false_discovery_control(np.concatenate((chances, np.ones(silent))))
    told = [
        _discovery(g, float(p), float(q), alike)
        for g, p, q in zip(groups, chances, adjusted, strict=False)
        if q <= false_share
    ]
    return tuple(sorted(told, key=lambda d: d.p_value))


@dataclass(slots=True)
class _Group:
    findings: list[Finding]
    pool: Pool


def _pooled(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Groups that share area and direction, and may well share the place.

    Two causes so near to each other are rare: findings stay apart where one place would make
    them all much less likely than two.
    """
    by_area = dict[tuple[str, bool], list[Finding]]()
    for one in findings:
        by_area.setdefault((one.area, one.worse_by > 0), []).append(one)
    groups = list[list[Finding]]()
    for same in by_area.values():
        same.sort(key=lambda f: (f.commit, f.low))
        told = list[_Group]()
        for one in same:
            chances = _chances(one)
            losses = [group.pool.loss(chances) for group in told[-_RECENT:]]
            least = min(losses, default=APART)
            if least < APART:
                group = told[-_RECENT:][losses.index(least)]
                group.findings.append(one)
                group.pool.add(chances)
            else:
                told.append(_Group([one], Pool(chances)))
        groups += [group.findings for group in told]
    return groups


def _chances(one: Finding) -> Chances:
    return one.chances or guessed(one.commit, one.low, one.high)


def _combined(p_values: Sequence[float]) -> float:
    """Cauchy's combination: valid however the tests depend on each other (Liu and Xie 2020)."""
    held = np.clip(p_values, 1e-15, 1 - 1e-15)
    mean = float(np.mean(np.tan((0.5 - held) * np.pi)))
    return float(0.5 - np.arctan(mean) / np.pi) if mean < 1e14 else 1e-15


def _discovery(group: Sequence[Finding], p_value: float, q_value: float, alike: Alike) -> Discovery:
    # Of each series what is surest: its other shifts may lie near by.
    surest = {f.series: f for f in sorted(group, key=lambda f: -f.p_value)}
    lead, *rest = surest.values()
    at, low, high = lead.commit, lead.low, lead.high
    if rest:
        pool = Pool(_chances(lead))
        for one in rest:
            pool.add(_chances(one))
        place = pool.place(alike=alike(group))
        at, low, high = place.at, place.low, place.high
    return Discovery(
        findings=tuple(group), commit=at, low=low, high=high, p_value=p_value, q_value=q_value
    )
