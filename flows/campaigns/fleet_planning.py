"""Which fleet a suite should get: its cases, what is known of them, and the search for fleets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ...infra import timings as timing_files
from ...infra.errors import Unsatisfiable
from ...infra.planning.mixes import Market, needed
from ...infra.planning.options import FleetPlanning, Wish, Work
from ...infra.planning.search import find_fleets
from ...infra.records import Requirements
from ...infra.resources import servable
from ...infra.wanted_workers import classes_for
from .job_of import splits_files
from .learned import Learned
from .preparation import Prepared
from .rehearsal import cases_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFleet:
    """The answer, and what it rests on."""

    # None where there is nothing to run.
    planning: FleetPlanning | None
    cases: int
    # Those with a duration from history; the others are guessed.
    known: int
    work_seconds: float
    # Cases that ask for more than they say, for what they used before: a line each.
    learned: tuple[str, ...] = ()
    # By case why no class of these could run it; these are not planned for.
    not_run: Mapping[str, str] = field(default_factory=dict[str, str])
    # What to add for them.
    advice: str = ""


def plan_fleet(prepared: Prepared, market: Market, wish: Wish) -> PlannedFleet:
    """Find the fleets for what a campaign would run; nothing runs."""
    timings = timing_files.load(prepared.project)
    offered = [each.facts(1) for each in market.classes]
    learned = Learned(
        needs=timings.predicted.needs,
        workers=offered,
        limited=bool(prepared.settings.memory_limit),
    )
    wanted = [learned(case) for case in cases_of(prepared)]
    try:
        cases, not_run = servable(wanted, offered)
    except Unsatisfiable as refused:
        raise Unsatisfiable(
            refused.message, remedy=_advice((case.needs for case in wanted), market)
        ) from refused
    unmet = [case.needs for case in wanted if case.id in not_run]
    advice = _advice(unmet, market) if unmet else ""
    market = needed(market, (case.needs for case in cases))
    durations = timings.durations()
    work = Work(
        cases=cases,
        seconds={case.id: durations.estimate(case) for case in cases},
        warm_ups={group: durations.warm_up(group) for group in {case.group for case in cases}},
    )
    if not splits_files(prepared):
        work = work.by_file()
    return PlannedFleet(
        planning=find_fleets(work, market, wish) if cases else None,
        cases=len(cases),
        known=sum(durations.known(case) is not None for case in cases),
        work_seconds=sum(work.seconds.values()),
        learned=tuple(learned.texts()),
        not_run=not_run,
        advice=advice,
    )


def _advice(unmet: Iterable[Requirements], market: Market) -> str:
    """Beside the classes that there are, which a class that is written out would replace."""
    there = [each.name for each in market.classes]
    flags = " ".join(f"--class {each}" for each in (*there, *classes_for(unmet, taken=there)))
    return (
        f"add `{flags}` to have workers that do (and their names to --fleet, where that is given),"
        " or lower what the cases ask for"
    )
