"""What all cases creep together, for a look at one of them: the others are looked at for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..store import Store
from .common_creep import CommonCreep, common_creeps, creeps
from .heading import classify
from .journal import known_findings
from .judging import Judged, Limits, judge_all
from .reruns import past_of
from .source import Observations


def moves(seen: Observations, judged: Sequence[Judged]) -> bool:
    """Whether any duration does what others may have done at once."""
    return any(
        each.series.name.metric == "seconds"
        and (one.changes or one.newest or creeps(one.trend, one.changes))
        for each, one in zip(seen.series, judged, strict=True)
    )


def creeps_beside(
    store: Store,
    seen: Observations,
    judged: Sequence[Judged],
    *,
    whole: Observations,
    limits: Limits,
    processes: int,
) -> Mapping[str, CommonCreep]:
    """By worker class, as a look at all cases tells; of classes where the one case creeps.

    Shifts are looked for only where so many others head one way that it matters: that is nearly
    all of the work.
    """
    pairs = zip(seen.series, judged, strict=True)
    classes = {
        each.series.name.worker_class
        for each, one in pairs
        if each.series.name.metric == "seconds" and creeps(one.trend, one.changes)
    }
    if not classes:
        return {}
    series = [
        each
        for each in whole.series
        if each.series.name.metric == "seconds" and each.series.name.worker_class in classes
    ]
    headings = [(each, classify(each.series.values, each.series.direction)) for each in series]
    heading = common_creeps((each, trend, ()) for each, trend in headings)
    series = [each for each in series if each.series.name.worker_class in heading]
    past = past_of(whole, known_findings(store, seen.project))
    found = judge_all(series, limits, processes, past)
    return common_creeps(
        (each, one.trend, one.changes) for each, one in zip(series, found, strict=True)
    )
