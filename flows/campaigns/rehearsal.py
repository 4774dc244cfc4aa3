"""What would run where, and how long it would take: the real dispatcher on a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from ...infra import inventory as inventories
from ...infra import timings as timing_files
from ...infra.engine.collect import Collection
from ...infra.errors import CollectionProblem, UsageProblem
from ...infra.fleet.local_fleet import START_SECONDS
from ...infra.predictions import UNGRADED, Calibration
from ...infra.records import Case, WorkerFacts
from ...infra.requirements import needs_of
from ...infra.resources import servable
from ...infra.runners.runner import SessionRunner
from ...infra.runners.session_problem import PYTEST_USAGE_ERROR, SessionProblem
from ...infra.runners.spec import RunnerSpec
from ...infra.simulation.campaign import Placement, lower_bound, simulate
from ...infra.tasks.callables import check_callables
from ...infra.tasks.programs import missing_programs
from ...monitoring.reports.nothing_there import nothing_there
from .closing import inventory_path, keep_inventory
from .fleet_choice import reached
from .interpreter_told import tell_interpreter
from .job_of import rules_of
from .last_failed import last_failed
from .learned import Learned
from .preparation import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A plan: placements and what to expect of them."""

    cases: tuple[Case, ...]
    workers: tuple[WorkerFacts, ...]
    # In the order of their start.
    placements: tuple[Placement, ...]
    makespan: float
    lower_bound: float
    # Cases with a duration from history; the others are guessed by their kin.
    known: int
    slots: int
    # Cases that ask for more than they say, for what they used before: a line each.
    learned: tuple[str, ...] = ()
    # By case why no worker could run it; these are not among `cases`.
    not_run: Mapping[str, str] = field(default_factory=dict[str, str])
    # By case what its command lacks where it would run, which would make it an error.
    not_found: Mapping[str, str] = field(default_factory=dict[str, str])
    # That all is planned though --lf was asked for, and why.
    widened: str = ""
    # Why there is nothing to plan, in a sentence, where there is not.
    nothing: str = ""
    # How well predictions did so far.
    calibration: Calibration = UNGRADED


def rehearse(prepared: Prepared) -> Rehearsal:
    """Play the campaign through with what is known of it; nothing runs."""
    timings = timing_files.load(prepared.project)
    workers = _workers(prepared)
    learned = Learned(
        needs=timings.predicted.needs,
        workers=workers,
        limited=bool(prepared.settings.memory_limit),
    )
    found = _found(prepared)
    cases, not_run = servable([learned(case) for case in found.cases], workers)
    durations = timings.durations()
    seconds = {case.id: durations.estimate(case) for case in cases}
    run = simulate(
        cases,
        workers,
        seconds=lambda case: seconds[case.id],
        durations=durations,
        rules=replace(rules_of(prepared), hedge=False),
        warm_up=durations.warm_up,
    )
    slots = sum(worker.slots for worker in workers)
    return Rehearsal(
        cases=tuple(cases),
        workers=tuple(workers),
        placements=tuple(sorted(run.placements, key=lambda placed: placed.started)),
        makespan=run.makespan,
        lower_bound=lower_bound(seconds.values(), slots),
        known=sum(durations.known(case) is not None for case in cases),
        slots=slots,
        learned=tuple(learned.texts()),
        not_run=not_run,
        # Of a fleet that is up it is known here neither where it is nor what its PATH is.
        not_found=missing_programs(cases, workers, root=prepared.root)
        if not prepared.fleet.address
        else {},
        widened=found.widened,
        nothing=""
        if found.cases
        else nothing_there(
            root=str(prepared.root),
            command=prepared.request.pytest_arguments(),
            tasks=prepared.request.tasks or "",
            aside=found.aside,
        ),
        calibration=timings.predicted.calibration,
    )


def cases_of(prepared: Prepared) -> Sequence[Case]:
    """What the campaign would run: a task list's, the inventory's, or collected here and now."""
    return _found(prepared).cases


class _Found(NamedTuple):
    """What there is to plan."""

    cases: Sequence[Case]
    # How many more are there that were not asked for.
    aside: int = 0
    widened: str = ""


def _found(prepared: Prepared) -> _Found:
    if prepared.tasks is not None:
        wanted = _last_failed(prepared)
        tasks = prepared.tasks.cases
        cases = tasks if wanted is None else [case for case in tasks if case.id in wanted]
        check_callables(
            cases, python=prepared.python, root=prepared.root, source=str(prepared.request.tasks)
        )
        return _Found(cases)
    known = inventories.load(inventory_path(prepared))
    collection = Collection(
        needs_of=partial(needs_of, rules=prepared.settings.requirements),
        only=_last_failed(prepared),
    )
    if known is not None and not known.why_stale():
        collection.restore(list(known.cases))
        collection.deselected = known.deselected
    else:
        _collect_here(prepared, collection)
    widened = collection.widen()
    return _Found(collection.wanted(), len(collection.unselected() or ()), widened)


def _collect_here(prepared: Prepared, collection: Collection) -> None:
    """Without a fleet: a plan must not start one."""
    session = SessionRunner(
        RunnerSpec(
            python=prepared.python,
            arguments=prepared.request.pytest_arguments(),
            directory=str(prepared.root),
            hang_timeout_seconds=prepared.settings.hang_timeout,
            import_cache=prepared.import_cache(),
        )
    )
    try:
        found = session.collect(collection.hear)
        hello = session.hello
    except SessionProblem as problem:
        told = problem.kind(problem.message, remedy=problem.remedy)
        tell_interpreter(told, prepared)
        raise told from problem
    finally:
        session.close()
    collection.check_needs(found["ids"])
    if collection.errors or found["exit"] not in (0, 5):
        kind = UsageProblem if found["exit"] == PYTEST_USAGE_ERROR else CollectionProblem
        told = kind(collection.why_not(found), remedy="`pytest --collect-only` shows the same")
        tell_interpreter(told, prepared)
        raise told
    # Told of as they are found; -k, -m and plugins deselect at the end.
    for case_id in set(collection.cases) - set(found["ids"]):
        collection.drop(case_id)
    collection.deselect(found["deselected"])
    keep_inventory(prepared, collection, hello=hello, order=[*dict.fromkeys(found["ids"])])


def _last_failed(prepared: Prepared) -> frozenset[str] | None:
    if not prepared.request.last_failed:
        return None
    return last_failed(prepared, timing_files.load(prepared.project)) or None


def _workers(prepared: Prepared) -> Sequence[WorkerFacts]:
    if not prepared.fleet.address:
        return prepared.fleet.workers
    from ...infra.engine.cluster import Cluster

    cluster = Cluster(
        reached(prepared.fleet),
        campaign=prepared.campaign_id,
        deadline_seconds=START_SECONDS,
        certificates=prepared.fleet.certificates,
    )
    try:
        cluster.wait_for_workers(START_SECONDS)
        return cluster.roster()
    finally:
        cluster.close()
