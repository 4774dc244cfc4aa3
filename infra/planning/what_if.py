"""What a campaign would have come to on another fleet: its own measurements, played again.

The dispatcher and the scaling policy as they are, on a virtual clock; every case takes what it
took then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import Any

from ..dispatching.batches import Rules
from ..dispatching.durations import CaseHistory, Durations
from ..errors import BadSetting, UsageProblem
from ..ledgers.record import CampaignRecord
from ..records import Attempt, Case
from ..resources import by_needs, check_satisfiable
from ..scaling.policy import ScalingRules
from ..worker_classes import WorkerClass
from .simulated import Arrival, ByPolicy, Fixed, simulate_fleet

FIXED, AUTO = "fixed", "auto"
EQUAL: Mapping[str, float] = MappingProxyType({})
POLICIES = (FIXED, AUTO)
HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a campaign ran, and how long each part took."""

    cases: tuple[Case, ...]
    # By case id, shared fixtures left out; by group, what they cost.
    seconds: Mapping[str, float]
    warm_ups: Mapping[str, float]
    makespan: float
    # Whether its files were spread over slots, or had one each.
    split_files: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """How it would have gone."""

    policy: str
    cases: int
    makespan: float
    lower_bound: float
    real_makespan: float
    # By class, from launch to end; and what that costs where classes say what an hour does.
    worker_seconds: Mapping[str, float]
    cost: float
    wait_p50: float
    wait_p95: float
    # The most workers of each class at a time.
    most: Mapping[str, int] = field(default_factory=dict[str, int])
    launches: int = 0


def measured(record: CampaignRecord) -> Measured:
    """The cases of a campaign that have a result, each with the last one's duration."""
    results: dict[str, Attempt] = {}
    warm_ups: dict[str, float] = {}
    for case_id, attempts in record.attempts.items():
        telling = [each for each in attempts if each.outcome.is_result]
        if telling and case_id in record.cases:
            results[case_id] = telling[-1]
            group = record.cases[case_id].group
            shared = telling[-1].usage.shared_setup_seconds
            warm_ups[group] = max(warm_ups.get(group, 0.0), shared)
    if not results:
        raise UsageProblem(
            f"campaign {record.campaign} has no result to replay",
            remedy="choose one that ran; `proctor list` shows them",
        )
    cases = tuple(record.cases[case_id] for case_id in results)
    ran = [each for each in results.values() if each.finished > each.started]
    return Measured(
        cases=tuple(sorted(cases, key=lambda case: case.index)),
        seconds={
            case_id: max(0.0, each.usage.wall_seconds - each.usage.shared_setup_seconds)
            for case_id, each in results.items()
        },
        warm_ups=warm_ups,
        split_files=_split_files(record),
        makespan=(
            max(each.finished for each in ran) - min(each.started for each in ran) if ran else 0.0
        ),
    )


def _split_files(record: CampaignRecord) -> bool:
    """By its own rules; campaigns of earlier versions did not say."""
    rules: Any = record.header.settings.get("rules")
    return not isinstance(rules, dict) or rules.get("split_files") is not False


def own_fleet(record: CampaignRecord) -> dict[str, tuple[WorkerClass, int]]:
    """The workers that the campaign had, as classes with how many of each."""
    facts = {each.facts.name: each.facts for each in record.workers if each.facts is not None}
    found: dict[str, tuple[WorkerClass, int]] = {}
    for each in facts.values():
        known = found.get(each.worker_class)
        worker_class = WorkerClass(
            name=each.worker_class,
            slots=each.slots,
            cpu=each.cpu,
            memory_bytes=each.memory_bytes,
            gpu=each.gpu,
            tags=each.tags,
            simulated_gpu=each.simulated_gpu,
        )
        found[each.worker_class] = (worker_class, known[1] + 1 if known else 1)
    return dict(sorted(found.items()))


def speeds_asked(text: str, counts: Mapping[str, int]) -> dict[str, float]:
    """How fast workers are to be, such as "cpu=0.5,gpu-2=3": by class, or by worker."""
    workers = [f"{name}-{n + 1}" for name, count in counts.items() for n in range(count)]
    speeds: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, factor = part.partition("=")
        if name not in counts and name not in workers:
            raise BadSetting(
                f"the fleet has neither a class nor a worker {name!r} to be of another speed",
                remedy=f"it has {', '.join(counts)}, and {', '.join(workers[:4])}, ...",
            )
        try:
            speeds[name] = float(factor)
        except ValueError:
            speeds[name] = 0.0
        if not 0 < speeds[name] < inf:
            raise BadSetting(
                f"{part!r} says no speed",
                remedy=f"write {name}=0.5 for half as fast as the workers that the campaign had",
            )
    return speeds


def replay(
    told: Measured,
    classes: Mapping[str, WorkerClass],
    counts: Mapping[str, int],
    *,
    policy: str = FIXED,
    rules: ScalingRules | None = None,
    speeds: Mapping[str, float] = EQUAL,
) -> WhatIf:
    """Play it on `counts` workers; with the policy "auto" they are the most there may be.

    `speeds` has those that are slower or faster than the campaign's own; dispatching is not told
    and has to find out.
    """
    classes = {name: classes[name] for name, count in counts.items() if count > 0}
    check_satisfiable(by_needs(told.cases), [each.facts(1) for each in classes.values()])
    if not classes:
        raise UsageProblem("a fleet without workers runs nothing", remedy="write --fleet cpu=4")
    auto = policy == AUTO
    if auto:
        classes = {name: replace(each, maximum=counts[name]) for name, each in classes.items()}

    def speed(worker: str) -> float:
        return speeds.get(worker, speeds.get(worker.rpartition("-")[0], 1.0))

    done = simulate_fleet(
        [Arrival(at=0.0, cases=told.cases)],
        classes,
        ByPolicy(rules or ScalingRules()) if auto else Fixed(),
        seconds=lambda case: told.seconds[case.id],
        durations=Durations(
            cases={case: CaseHistory(seconds=seconds) for case, seconds in told.seconds.items()}
        ),
        warm_up=lambda group: told.warm_ups.get(group, 0.0),
        counts={name: each.minimum for name, each in classes.items()} if auto else counts,
        pass_seconds=1.0,
        speed=speed,
        rules=Rules(split_files=told.split_files),
    )
    most: dict[str, int] = {}
    for _, name, there in done.sizes:
        most[name] = max(most.get(name, 0), there)
    waits = sorted(done.waits.values())
    return WhatIf(
        policy=policy,
        cases=len(told.cases),
        makespan=done.makespan,
        lower_bound=_lower_bound(told.seconds.values(), classes, counts, speed),
        real_makespan=told.makespan,
        worker_seconds=done.worker_seconds,
        cost=sum(
            seconds / HOUR_SECONDS * classes[name].cost_per_hour
            for name, seconds in done.worker_seconds.items()
        ),
        wait_p50=waits[len(waits) // 2],
        wait_p95=waits[min(len(waits) - 1, int(0.95 * len(waits)))],
        most=most,
        launches=done.launches,
    )


def _lower_bound(
    seconds: Iterable[float],
    classes: Mapping[str, WorkerClass],
    counts: Mapping[str, int],
    speed: Callable[[str], float],
) -> float:
    """No schedule is shorter: the longest case on the fastest worker, or all work spread evenly."""
    each = list(seconds)
    speeds = [
        (speed(f"{name}-{number + 1}"), worker_class.slots)
        for name, worker_class in classes.items()
        for number in range(counts[name])
    ]
    fastest = max(pace for pace, _ in speeds)
    return max(max(each) / fastest, sum(each) / sum(pace * slots for pace, slots in speeds))
