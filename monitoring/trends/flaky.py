"""Cases that fail by chance, and what their failures go with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..store import Store
from .findings import Kind, Status, TrendFinding, finding_id
from .flakes import Cause, Circumstances, CommitRuns, flakiness, likely_cause
from .judging import Limits
from .series import SeriesName
from .source import Moment, Observations, circumstances
from .words import flaky_text

# Causes are looked for in so many flaky cases, the flakiest first.
_CAUSES = 50
_WORDS = {
    Cause.ORDER: "what ran before it",
    Cause.TIME: "the time of day",
    Cause.RESOURCE: "how busy the machine is",
    Cause.INFRASTRUCTURE: "the worker it runs on",
    Cause.PRODUCT: "the commit",
}


def flaky_cases(store: Store, seen: Observations, limits: Limits) -> list[TrendFinding]:
    found: list[tuple[int, TrendFinding]] = []
    for number, rows in seen.outcomes.items():
        case, file = seen.cases[number]
        runs = _by_commit(rows, seen.moments)
        told = flakiness(runs)
        if told.probability < limits.flaky or told.broken > 0.5:
            continue
        last = seen.moments[max(place for place, _, failures in rows if failures)]
        first = seen.moments[min(place for place, _, failures in rows if failures)]
        name = SeriesName(case=case, metric="outcome")
        finding = TrendFinding(
            id=finding_id(Kind.FLAKY, seen.project, name, ""),
            kind=Kind.FLAKY,
            status=Status.CONFIRMED,
            series=(name,),
            area=file.rpartition("/")[0],
            since=first.at,
            earliest=first.at,
            latest=last.at,
            campaign=last.campaign,
            size=told.rate,
            size_low=told.low,
            size_high=told.high,
            worse=True,
            probability=told.probability,
        )
        found.append((number, finding))
    found.sort(key=lambda each: -each[1].size)
    happened = circumstances(store, [number for number, _ in found[:_CAUSES]]) if found else {}
    told_all: list[TrendFinding] = []
    for number, finding in found:
        cause, sure = likely_cause(
            [
                Circumstances(
                    failed=bool(failed),
                    commit=commit,
                    predecessor=before,
                    worker=worker,
                    started=started,
                    pressure=min(pressure, 1.0),
                )
                for failed, commit, before, worker, started, pressure in happened.get(number, ())
            ]
        )
        said = _WORDS.get(cause)
        named = replace(finding, cause=f"{said} ({cause}, {sure:.0%})" if said else "")
        told_all.append(replace(named, text=flaky_text(named)))
    return told_all


def _by_commit(rows: Sequence[tuple[int, int, int]], moments: Sequence[Moment]) -> list[CommitRuns]:
    """Runs at one commit belong together; without commits each campaign stands for one."""
    out: list[CommitRuns] = []
    last: str | None = None
    for place, runs, failures in rows:
        mark = moments[place].commit or moments[place].campaign
        if mark == last:
            out[-1] = CommitRuns(runs=out[-1].runs + runs, failures=out[-1].failures + failures)
        else:
            out.append(CommitRuns(runs=runs, failures=failures))
        last = mark
    return out
