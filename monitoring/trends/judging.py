"""What each series says by itself; many of them over several processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

from .anomalies import Anomaly, anomalies
from .changes import Change, find_ranged_changes
from .forecast import Expected, expected_duration
from .heading import Trend, TrendClass, classify
from .online import NewShift, confirmed_shift, newest_shift
from .ranks import Floats
from .reruns import NOTHING, Past, with_proven
from .screening import NEWEST, suspicion
from .series import Direction, SeriesName
from .source import Observed

# Fewer points say nothing about change.
FEWEST = 8
# Below so many series, starting processes costs more than they save.
_WORTH_PROCESSES = 2000
_CHUNK = 200
_Work = tuple[Floats, Direction, "Limits", Past]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is worth a word."""

    # Share of false ones among everything told.
    false_share: float = 0.05
    # Of the level before; and in units of the metric.
    smallest: float = 0.03
    smallest_seconds: float = 0.005
    smallest_bytes: float = 2e6
    # Points behind a change before it can be confirmed without a second run.
    points_behind: int = 5
    # In usual deviations, and how new an odd value must be to be told.
    odd: float = 8.0
    newest: int = 5
    flaky: float = 0.9
    # How far a drift may go before it is reached: of today's level.
    growth: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one series says by itself."""

    trend: Trend
    changes: tuple[Change, ...]
    newest: NewShift | None
    odd: tuple[Anomaly, ...]
    expected: Expected | None
    # What the newest points hint at; and whether it is new enough to be run again.
    hint: Change | None = None
    is_new: bool = False


def judge(values: Floats, direction: Direction, limits: Limits, past: Past = NOTHING) -> Judged:
    """One series, by itself."""
    return _judge_some([(values, direction, limits, past)])[0]


def judge_all(
    series: Sequence[Observed],
    limits: Limits,
    processes: int,
    past: Mapping[SeriesName, Past] | None = None,
) -> list[Judged]:
    known = past or {}
    work = [
        (
            each.series.values,
            each.series.direction,
            limits,
            known.get(each.series.name, NOTHING),
        )
        for each in series
    ]
    if processes == 1 or len(work) < _WORTH_PROCESSES:
        return _judge_some(work)
    # Series of one length are looked at together.
    order = sorted(range(len(work)), key=lambda i: len(work[i][0]))
    chunks = [order[at : at + _CHUNK] for at in range(0, len(order), _CHUNK)]
    # Not forked: this process may hold threads of Prefect's or of DuckDB's.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        judged = [*pool.map(_judge_some, [[work[i] for i in chunk] for chunk in chunks])]
    found = dict(zip(order, (each for chunk in judged for each in chunk), strict=True))
    return [found[i] for i in range(len(work))]


def _judge_some(work: Sequence[_Work]) -> list[Judged]:
    known = [values if len(values) >= FEWEST else values[:0] for values, *_ in work]
    changes = find_ranged_changes(known)
    return [_judge(*each, found) for each, found in zip(work, changes, strict=True)]


def _judge(
    values: Floats,
    direction: Direction,
    limits: Limits,
    past: Past,
    changes: tuple[Change, ...],
) -> Judged:
    if len(values) < FEWEST:
        return Judged(
            trend=Trend(kind=TrendClass.UNKNOWN),
            changes=(),
            newest=None,
            odd=(),
            expected=expected_duration(values) if len(values) else None,
        )
    changes = with_proven(values, changes, past.proven)
    hint = new = None
    if direction is Direction.LOWER_IS_BETTER:
        hint = _hint(values, changes, past, cleared=0)
        new = _hint(values, changes, past, cleared=past.cleared) if past.cleared else hint
    last = changes[-1].index if changes else 0
    edge = confirmed_shift(values, since=last)
    if edge is not None and edge.index > last:
        changes = (*changes, edge)
        last = edge.index
    newest = newest_shift(values[last:])
    if newest is not None:
        newest = replace(newest, index=newest.index + last)
    return Judged(
        trend=classify(values, direction),
        changes=changes,
        newest=newest,
        odd=anomalies(values, limit=limits.odd),
        expected=expected_duration(values),
        hint=new or hint,
        is_new=new is not None,
    )


def _hint(values: Floats, changes: Sequence[Change], past: Past, *, cleared: int) -> Change | None:
    """Of the level that stands; the newest shift, unless runs confirmed it, may be no shift."""
    settled = len(values) - NEWEST
    start = max(
        (
            change.index
            for change in changes
            if change.index <= settled or any(each.covers(change) for each in past.proven)
        ),
        default=0,
    )
    found = suspicion(values[start:], since=max(cleared - start, 0))
    if found is None:
        return None
    return found.later(start)
