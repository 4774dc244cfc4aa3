"""What to tell people: findings of all series together, few of them false, each told once.

A change in the product moves many tests at one commit. Findings whose ranges of commits overlap
and whose code lies in one area are one discovery: their evidence is pooled, and so is their
knowledge of the place. The share of false ones among all discoveries is held (Benjamini and
Hochberg), whatever the number of series.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control

from .series import SeriesName


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


def discoveries(
    findings: Iterable[Finding], *, looked_at: int, false_share: float = 0.05
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
        _discovery(g, float(p), float(q))
        for g, p, q in zip(groups, chances, adjusted, strict=False)
        if q <= false_share
    ]
    return tuple(sorted(told, key=lambda d: d.p_value))


def _pooled(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Groups that share area and direction, and whose ranges overlap one after another."""
    by_place = dict[tuple[str, bool], list[Finding]]()
    for finding in findings:
        by_place.setdefault((finding.area, finding.worse_by > 0), []).append(finding)
    groups = list[list[Finding]]()
    for same in by_place.values():
        # Best guesses near each other: a wide range must not chain two changes together.
        same.sort(key=lambda f: (f.commit, f.low))
        group = [same[0]]
        for finding in same[1:]:
            anchor = group[0]
            if finding.low <= anchor.high and anchor.low <= finding.high:
                group.append(finding)
            else:
                groups.append(group)
                group = [finding]
        groups.append(group)
    return groups


def _combined(p_values: Sequence[float]) -> float:
    """Cauchy's combination: valid however the tests depend on each other (Liu and Xie 2020)."""
    held = np.clip(p_values, 1e-15, 1 - 1e-15)
    mean = float(np.mean(np.tan((0.5 - held) * np.pi)))
    return float(0.5 - np.arctan(mean) / np.pi) if mean < 1e14 else 1e-15


def _discovery(group: Sequence[Finding], p_value: float, q_value: float) -> Discovery:
    low, high = max(f.low for f in group), min(f.high for f in group)
    if low > high:
        # No commit is in all ranges: go by the surest of them.
        surest = min(group, key=lambda f: (f.high - f.low, f.p_value))
        low, high = surest.low, surest.high
    # Each best guess votes; the narrower its range, the louder.
    votes = dict[int, float]()
    for f in group:
        votes[f.commit] = votes.get(f.commit, 0.0) + 1 / (1 + f.high - f.low)
    inside = {c: v for c, v in votes.items() if low <= c <= high} or votes
    return Discovery(
        findings=tuple(group),
        commit=max(inside, key=lambda c: (inside[c], -c)),
        low=low,
        high=high,
        p_value=p_value,
        q_value=q_value,
    )
