"""What to tell: decided over all series together, and each cause told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtr
from scipy.stats import false_discovery_control

from .anomalies import Anomaly
from .changes import Change
from .common_creep import CommonCreep, common_creeps
from .common_step import common_step, durations_by_class
from .discoveries import Discovery, Finding, discoveries, finding
from .findings import Kind, Status, TrendFinding, finding_id
from .forecast import steps_to
from .heading import TrendClass
from .judging import FEWEST, Judged, Limits
from .online import NewShift
from .reruns import NOTHING, Past
from .screening import NEWEST
from .series import SeriesName
from .shared_noise import likeness
from .source import Moment, Observations, Observed
from .words import amount, change_text, days, drift_text, odd_text

# A change that undoes so much of an earlier one ends it.
_UNDONE = 0.7
# Whoever looks at large moves only ends no smaller one.
_USUAL = Limits()


class Telling:
    """Decides over all series together."""

    def __init__(
        self,
        seen: Observations,
        judged: Sequence[Judged],
        limits: Limits,
        past: Mapping[SeriesName, Past] | None = None,
        *,
        common: Mapping[str, CommonCreep] | None = None,
        beside: Sequence[Observed] | None = None,
    ) -> None:
        """Where not all cases are looked at: what all creep together, and the series of all."""
        self._seen = seen
        self._durations = durations_by_class(seen.series if beside is None else beside)
        self._past = past or {}
        self._moments = seen.moments
        self._limits = limits
        self._pairs = list(zip(seen.series, judged, strict=True))
        self._by_name = {each.series.name: (each, one) for each, one in self._pairs}
        self._looked_at = sum(len(each.series) >= FEWEST for each, _ in self._pairs)
        if common is None:
            common = common_creeps((each, one.trend, one.changes) for each, one in self._pairs)
        self._common = common
        self.notes = tuple(each.text for each in self._common.values())
        # Pooling keeps places only: the change behind each.
        self._carried: dict[tuple[SeriesName, int], Change] = {}

    # Changes --------------------------------------------------------------------------------

    def changes(self) -> list[TrendFinding]:
        """Shifts that hold among all series, and suspicions at the edge."""
        sure: list[Finding] = []
        unsure: list[Finding] = []
        for each, one in self._pairs:
            for change in one.changes:
                notable = self._notable(each, change.before, change.after)
                if notable or self._is_gone(each, change):
                    settled = len(each.series) - change.index >= self._limits.points_behind
                    (sure if settled else unsure).append(self._finding(each, change))
            if one.newest is not None and self._notable(each, one.newest.before, one.newest.after):
                unsure.append(
                    self._finding(each, _as_change(one.newest, one.hint, len(each.series)))
                )
        told = self._discoveries(sure, Status.CONFIRMED)
        told += self._discoveries(unsure, Status.SUSPECTED)
        return told

    def suspicions(self, told: Iterable[TrendFinding]) -> list[TrendFinding]:
        """Regressions that the newest points hint at, beside those that are told; unproven.

        Only durations can be run again. What shares its time and its code area with something
        told is part of that.
        """
        hints: list[Finding] = []
        for each, one in self._pairs:
            hint = one.hint
            if hint is None or not one.is_new or each.series.name.metric != "seconds":
                continue
            if self._notable(each, hint.before, hint.after):
                hints.append(self._finding(each, hint))
        # None is left out, however many series there are: runs decide.
        found = discoveries(hints, looked_at=self._looked_at, false_share=1.0, alike=self._alike)
        known = [each for each in told if each.kind is Kind.CHANGE and each.worse]
        suspects = map(self._suspect, found)
        return [one for one in suspects if not any(_explains(each, one) for each in known)]

    def _suspect(self, found: Discovery) -> TrendFinding:
        # What is run again lies on both sides of every place where any of them may have begun.
        low = min(each.low for each in found.findings)
        high = max(each.high for each in found.findings)
        return self._tell(replace(found, low=low, high=high), Status.SUSPECTED)

    def _is_gone(self, each: Observed, change: Change) -> bool:
        """It was told once, and its level is as before."""
        past = self._past.get(each.series.name, NOTHING)
        return (
            len(each.series) - change.index >= NEWEST
            and any(proven.leads and proven.index == change.index for proven in past.proven)
            and not self._notable(each, change.before, change.after, _USUAL)
        )

    def _discoveries(self, findings: Iterable[Finding], status: Status) -> list[TrendFinding]:
        found = discoveries(
            findings,
            looked_at=self._looked_at,
            false_share=self._limits.false_share,
            alike=self._alike,
        )
        return [self._tell(each, status) for each in found]

    def _alike(self, group: Sequence[Finding]) -> float:
        """How much of their noise the series of a group share."""
        pairs = [self._by_name[name] for name in {f.series for f in group}]
        return likeness((each, [c.index for c in one.changes]) for each, one in pairs)

    def _finding(self, each: Observed, change: Change) -> Finding:
        found = finding(each, change)
        self._carried[found.series, found.commit] = change
        return found

    def _tell(self, found: Discovery, status: Status) -> TrendFinding:
        ordered = sorted(found.findings, key=lambda f: (f.p_value, -abs(f.worse_by)))
        lead = ordered[0]
        each, one = self._by_name[lead.series]
        change = self._carried[lead.series, lead.commit]
        place = min(max(found.commit, 0), len(self._moments) - 1)
        moment = self._moments[place]
        low, high = _size_interval(change, len(each.series))
        suspects = self._commits(found.low, found.high)
        if status is Status.CONFIRMED and (
            _was_undone(one.changes, change) or self._is_gone(each, change)
        ):
            status = Status.RECOVERED
        mark = moment.commit or moment.campaign
        told = TrendFinding(
            id=finding_id(Kind.CHANGE, self._seen.project, lead.series, mark),
            kind=Kind.CHANGE,
            status=status,
            series=tuple(dict.fromkeys(f.series for f in ordered)),
            area=lead.area,
            since=moment.at,
            earliest=self._moments[max(found.low, 0)].at,
            latest=self._moments[min(found.high, len(self._moments) - 1)].at,
            commit=moment.commit,
            commits=suspects,
            campaign=moment.campaign,
            size=_relative(change),
            size_low=low,
            size_high=high,
            before=change.before,
            after=change.after,
            unit=each.series.unit,
            worse=found.is_regression,
            probability=1 - found.q_value,
            environment=_moved(self._moments, found.low, found.high),
        )
        told = self._beside_others(told, change, found)
        return replace(told, text=change_text(told))

    def _beside_others(self, told: TrendFinding, change: Change, found: Discovery) -> TrendFinding:
        """The same, but in doubt where nearly all cases moved so: it may be the machine."""
        if told.lead.metric != "seconds" or min(change.before, change.after) <= 0:
            return told
        common = common_step(
            self._durations[told.lead.worker_class],
            low=found.low,
            place=found.commit,
            least=self._limits.smallest,
        )
        if common is None or not common.holds(float(np.log(change.after / change.before))):
            return told
        in_doubt = told.status is Status.CONFIRMED
        return replace(
            told,
            status=Status.SUSPECTED if in_doubt else told.status,
            cause=common.text,
            shared=True,
        )

    def _commits(self, low: int, high: int) -> tuple[str, ...]:
        around = self._moments[max(low, 0) : high + 1]
        return tuple(dict.fromkeys(each.commit for each in around if each.commit))

    def _notable(
        self, each: Observed, before: float, after: float, limits: Limits | None = None
    ) -> bool:
        step = abs(after - before)
        limits = limits or self._limits
        least = {"s": limits.smallest_seconds, "bytes": limits.smallest_bytes}
        if step < least.get(each.series.unit, 0.0):
            return False
        return step >= limits.smallest * abs(before)

    # Drifts and odd values ------------------------------------------------------------------

    def drifts(self) -> list[TrendFinding]:
        """Series that got worse slowly, where no shift explains it."""
        usable = [
            (each, one)
            for each, one in self._pairs
            if one.trend.kind is not TrendClass.UNKNOWN and not one.changes
        ]
        if not usable:
            return []
        chances = false_discovery_control(
            np.clip([one.trend.p_value for _, one in usable], 1e-300, 1.0)
        )
        return [
            self._drift(each, one, float(q))
            for (each, one), q in zip(usable, chances, strict=True)
            if q <= self._limits.false_share and self._is_drift(each, one)
        ]

    def _is_drift(self, each: Observed, one: Judged) -> bool:
        if one.trend.kind not in {TrendClass.DEGRADING, TrendClass.IMPROVING}:
            return False
        level = abs(float(np.median(each.series.values)))
        return self._notable(each, level, level * (1 + one.trend.effect))

    def _creeps_like_others(self, each: Observed, one: Judged) -> bool:
        """Whether it goes with the others of its class, and not beyond them for sure."""
        name = each.series.name
        common = self._common.get(name.worker_class) if name.metric == "seconds" else None
        if common is None or one.trend.effect * common.share <= 0:
            return False
        beyond = common.own(one.trend.effect)
        return beyond * common.share <= 0 or abs(beyond) <= one.trend.noise

    def _drift(self, each: Observed, one: Judged, q_value: float) -> TrendFinding:
        values, places = each.series.values, each.places
        quarter = max(len(values) // 4, 3)
        before = float(np.median(values[:quarter]))
        after = float(np.median(values[-quarter:]))
        first, last = self._moments[places[0]], self._moments[places[-1]]
        rises = after > before
        goal = after * (1 + (self._limits.growth if rises else -self._limits.growth))
        steps = steps_to(goal, values)
        cause = ""
        if steps is not None:
            pace = (last.at - first.at) / max(len(values) - 1, 1)
            cause = (
                f"{self._limits.growth:.0%} {'more' if rises else 'less'} than now "
                f"({amount(goal, each.series.unit)}) in about {steps[0]:.0f} runs "
                f"({days(steps[0] * pace)}) at this pace"
            )
        told = TrendFinding(
            id=finding_id(Kind.TREND, self._seen.project, each.series.name, ""),
            kind=Kind.TREND,
            # The machine may be to blame, so nobody is alarmed; nor is anything kept from anybody.
            status=Status.SUSPECTED if self._creeps_like_others(each, one) else Status.CONFIRMED,
            series=(each.series.name,),
            area=each.area,
            since=first.at,
            earliest=first.at,
            latest=last.at,
            size=one.trend.effect,
            size_low=one.trend.effect - one.trend.noise,
            size_high=one.trend.effect + one.trend.noise,
            before=before,
            after=after,
            unit=each.series.unit,
            worse=one.trend.kind is TrendClass.DEGRADING,
            probability=1 - q_value,
            cause=cause,
        )
        return replace(told, text=drift_text(told))

    def odd_values(self) -> list[TrendFinding]:
        """Newest values out of line, where no change explains them."""
        told: list[TrendFinding] = []
        for each, one in self._pairs:
            count = len(each.series)
            shifts = [change.index for change in one.changes]
            if one.newest is not None:
                shifts.append(one.newest.index)
            for odd in one.odd:
                new = odd.index >= count - self._limits.newest
                explained = any(odd.index >= shift - 1 for shift in shifts)
                worse = each.series.is_worse(odd.expected, odd.value)
                if new and worse and not explained and self._notable(each, odd.expected, odd.value):
                    told.append(self._odd(each, odd))
        # A campaign on a bad day has one odd value in every series: that is one finding.
        groups: dict[tuple[str, str], list[TrendFinding]] = {}
        for one_told in told:
            groups.setdefault((one_told.area, one_told.campaign), []).append(one_told)
        return [_together(group) for group in groups.values()]

    def _odd(self, each: Observed, odd: Anomaly) -> TrendFinding:
        moment = self._moments[each.places[odd.index]]
        size = (odd.value - odd.expected) / max(abs(odd.expected), 1e-300)
        told = TrendFinding(
            id=finding_id(Kind.ANOMALY, self._seen.project, each.series.name, moment.campaign),
            kind=Kind.ANOMALY,
            status=Status.SUSPECTED,
            series=(each.series.name,),
            area=each.area,
            since=moment.at,
            earliest=moment.at,
            latest=moment.at,
            commit=moment.commit,
            campaign=moment.campaign,
            size=size,
            size_low=size,
            size_high=size,
            before=odd.expected,
            after=odd.value,
            unit=each.series.unit,
            worse=True,
            # Robust deviations as if Gaussian, for want of a better word for "odd".
            probability=float(1 - 2 * ndtr(-min(odd.score, 30.0))),
        )
        return replace(told, text=odd_text(told))


def _as_change(shift: NewShift, hint: Change | None, count: int) -> Change:
    p_value = float(2 * ndtr(-shift.strength))
    if hint is not None:
        # The newest four say that it moved, but not when: it may have been before them.
        return replace(hint, strength=shift.strength, p_value=p_value)
    return Change(
        index=shift.index,
        low=max(shift.index - 2, 1),
        high=min(shift.index + 2, count - 1),
        before=shift.before,
        after=shift.after,
        effect=shift.effect,
        strength=shift.strength,
        p_value=p_value,
    )


def _explains(told: TrendFinding, hint: TrendFinding) -> bool:
    if hint.lead in told.series:
        return hint.earliest <= told.latest
    return told.area == hint.area and told.earliest <= hint.since <= told.latest


def _relative(change: Change) -> float:
    relative = change.relative
    return relative if np.isfinite(relative) else 0.0


def _size_interval(change: Change, count: int) -> tuple[float, float]:
    """Ninety per cent, from the noise beside it and the points on both sides."""
    if not change.before or not np.isfinite(change.effect) or not change.effect:
        return _relative(change), _relative(change)
    noise = abs((change.after - change.before) / change.effect)
    behind = max(count - change.index, 1)
    error = noise * (1 / max(change.index, 1) + 1 / behind) ** 0.5
    reach = 1.645 * error / abs(change.before)
    return change.relative - reach, change.relative + reach


def _was_undone(changes: Sequence[Change], change: Change) -> bool:
    step = change.after - change.before
    for later in changes:
        if later.index > change.index and step:
            left = (later.after - change.before) / step
            if left < 1 - _UNDONE:
                return True
    return False


def _moved(moments: Sequence[Moment], low: int, high: int) -> dict[str, tuple[str, str]]:
    """What of the environment is different after the range from before it."""
    before = moments[max(low - 1, 0)].environment
    after = moments[min(high, len(moments) - 1)].environment
    return {
        key: (before.get(key, ""), after.get(key, ""))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    }


def _together(group: Sequence[TrendFinding]) -> TrendFinding:
    ordered = sorted(group, key=lambda each: (-each.probability, -each.size))
    lead = ordered[0]
    if len(ordered) == 1:
        return lead
    told = replace(lead, series=tuple(each.lead for each in ordered))
    return replace(told, text=odd_text(told))
