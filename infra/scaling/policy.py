"""How many workers a class should have: pure, from what is to be done and what there is.

Growing follows the demand, as predicted seconds of work and not as the length of a queue: so many
workers that all of it has begun within a horizon after a worker that is started now has booted.
A case that has begun waits no more, so that what each worker does last may end after that: long
cases take fewer workers than as much work in short ones. Those that are there work meanwhile, and
those that start begin sooner: for what they will have done by then nobody is launched. Shrinking
follows idleness: only workers that have idled for their class's time go. A size that turns from
growing to shrinking, or back, keeps its direction for a while; but work is never kept waiting for
that where nobody is there to do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor, inf

from ..worker_classes import WorkerClass
from .demand import ClassDemand

NAME = "horizon"
# Without a horizon of its own a class gets so many times its boot: then a boot costs no more than
# a fifth of what its worker does before the work is over.
BOOTS = 5.0
SHORTEST_HORIZON_SECONDS = 10.0
# Less than this share of a worker is no reason to start one: predictions are not that good.
ROUNDING = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRules:
    """What an operator may turn."""

    # Within how long, once those have booted that it takes, every case should have begun; None
    # goes by the boot time.
    horizon_seconds: float | None = None
    # On top of what is predicted, as a share of it.
    headroom: float = 0.1
    # No turn of direction is closer to the one before, but for that from nobody to somebody.
    stabilisation_seconds: float = 15.0
    # A class that has just changed does not shrink for so long.
    cooldown_seconds: float = 5.0
    # Overrides the idle time of every class; None leaves it to them.
    idle_seconds: float | None = None
    # Whether expected work counts before it is there. On three kinds of simulated days that took 1,
    # 8 and 0 % more worker-seconds for the same p95 wait: it is for whose work comes by the clock.
    ahead: bool = False

    def horizon(self, boot_seconds: float) -> float:
        if self.horizon_seconds is not None:
            return self.horizon_seconds
        return max(SHORTEST_HORIZON_SECONDS, BOOTS * boot_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """What there is of a class."""

    # How many were asked for before.
    wanted: int
    running: int = 0
    busy: int = 0
    # How long each of the starting ones has been starting.
    starting: tuple[float, ...] = ()
    # How long each of the idle ones has idled.
    idle: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Which way a class went last, and since when."""

    # 1 grew, -1 shrank, 0 never changed.
    direction: int = 0
    # When it last turned from one to the other, and when it last changed.
    turned_at: float | None = None
    changed_at: float | None = None

    def keeps(self, direction: int, now: float, seconds: float) -> float | None:
        """For how long it has gone the other way, if that is too short to turn to this one."""
        if self.direction != -direction or self.turned_at is None:
            return None
        since = now - self.turned_at
        # Less than nothing has passed where the clock was put back: that must not hold it for ages.
        return since if 0 <= since < seconds else None

    def after(self, step: int, now: float) -> Course:
        """The course once the size has changed by so much."""
        if step == 0:
            return self
        direction = 1 if step > 0 else -1
        turned = self.direction == -direction
        return Course(
            direction=direction,
            turned_at=now if turned else self.turned_at,
            changed_at=now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The size a class should have, and why."""

    size: int
    reason: str
    course: Course
    inputs: Mapping[str, float] = field(default_factory=dict[str, float])


def size_of(
    worker_class: WorkerClass,
    demand: ClassDemand,
    crew: Crew,
    course: Course,
    *,
    rules: ScalingRules,
    boot_seconds: float,
    now: float,
    expected_workers: float = 0.0,
) -> Verdict:
    """The size a class should have from now on.

    `expected_workers` is how many are as good as sure to be busy, by a forecast, when a worker that
    is started now has booted.
    """
    within = rules.horizon(boot_seconds)
    # The last case of each worker need only have begun by then.
    case_seconds = demand.worker_seconds / demand.useful if demand.useful > 0 else 0.0
    horizon = within + case_seconds
    # What a long case still has to do after that nobody can do for it.
    alone = max(0.0, demand.longest_seconds - horizon - boot_seconds)
    work = max(0.0, demand.worker_seconds * (1 + rules.headroom) - alone)
    ahead = expected_workers if rules.ahead else 0.0
    needed = _needed(demand, crew, work=work, horizon=horizon, boot_seconds=boot_seconds)
    # Who would be busy for a part of the time only is not worth a boot ahead of any work.
    expected = floor(max(0.0, ahead - demand.joined) + ROUNDING)
    most = inf if worker_class.maximum is None else worker_class.maximum
    goal = int(min(most, max(worker_class.minimum, needed, expected, crew.busy)))
    inputs: dict[str, float] = {
        "worker_seconds": round(demand.worker_seconds, 3),
        "cases": demand.cases,
        "useful_workers": round(demand.useful, 2),
        "longest_seconds": round(demand.longest_seconds, 3),
        "case_seconds": round(case_seconds, 3),
        "horizon_seconds": within,
        "boot_seconds": round(boot_seconds, 3),
        "running": crew.running,
        "starting": len(crew.starting),
        "busy": crew.busy,
        "idle": len(crew.idle),
        "joined": round(demand.joined, 2),
        "expected_workers": round(ahead, 2),
        "needed": needed,
    }
    if goal > crew.wanted:
        size, reason = _grow(demand, crew, course, rules, goal, now, work, within + boot_seconds)
        if size > crew.wanted and goal == worker_class.minimum > max(needed, expected):
            reason = f"at least {goal} of class {worker_class.name} are to be there"
        elif size > crew.wanted and goal == expected > needed:
            reason = f"a forecast has {ahead:.1f} of them busy once they have started"
        elif size == worker_class.maximum and max(needed, expected) > size:
            reason += f"; {max(needed, expected)} would be, and {size} is the most there may be"
    else:
        ttl = worker_class.idle_seconds if rules.idle_seconds is None else rules.idle_seconds
        size, reason = _shrink(worker_class, crew, course, rules, goal, now, ttl)
    return Verdict(
        size=size, reason=reason, course=course.after(size - crew.wanted, now), inputs=inputs
    )


def _needed(
    demand: ClassDemand, crew: Crew, *, work: float, horizon: float, boot_seconds: float
) -> int:
    """How many workers do the work within the horizon, counting when each of them begins."""
    end = boot_seconds + horizon
    # What joined from elsewhere is there already.
    useful, work = demand.useful - demand.joined, work - demand.joined * end
    if not demand.cases or (demand.joined and min(useful, work) <= 0):
        return 0
    useful = max(1, ceil(useful - ROUNDING))
    # What was asked for and has not been seen yet starts now.
    unseen = max(0, crew.wanted - crew.running - len(crew.starting))
    ages = (*crew.starting, *([0.0] * unseen))
    coming = sum(end - max(0.0, boot_seconds - age) for age in ages)
    promised = crew.running + len(ages)
    can_do = crew.running * end + coming
    if work <= can_do:
        needed = ceil(work / end - ROUNDING)
    else:
        needed = promised + ceil((work - can_do) / horizon - ROUNDING)
    return max(1, min(needed, useful))


def _grow(
    demand: ClassDemand,
    crew: Crew,
    course: Course,
    rules: ScalingRules,
    goal: int,
    now: float,
    work: float,
    within: float,
) -> tuple[int, str]:
    since = course.keeps(1, now, rules.stabilisation_seconds)
    # With nobody there the work would stand still. It is no flapping either: who comes now stays
    # for as long as any direction is kept.
    if since is not None and (crew.wanted or not demand.cases):
        return crew.wanted, (
            f"{goal} are needed; held, for it began to shrink {since:.0f} s ago and keeps its"
            f" direction for {rules.stabilisation_seconds:g} s"
        )
    there = crew.running + len(crew.starting)
    have = "has" if goal == 1 else "have"
    others = f" beside {demand.joined:g} that joined" if demand.joined else ""
    return goal, (
        f"{_count(demand.cases, 'case')} with {work:.0f} s of work left for"
        f" {_count(there, 'worker')}{others}: {goal} {have} begun it all within"
        f" {within:.0f} s"
    )


def _shrink(
    worker_class: WorkerClass,
    crew: Crew,
    course: Course,
    rules: ScalingRules,
    goal: int,
    now: float,
    ttl: float,
) -> tuple[int, str]:
    size = crew.wanted
    if goal == size:
        return size, "as many as are needed"
    # Those that still start are as good as busy: something asked for them.
    floor = max(goal, crew.busy + len(crew.starting))
    over = idle = sum(age >= ttl for age in crew.idle)
    if worker_class.maximum is not None and size > worker_class.maximum:
        # More than there may be: any idle one goes at once.
        over = max(over, min(len(crew.idle), size - worker_class.maximum))
    # Asked for and never come: nothing runs there. Just asked for, they are about to start.
    unseen = max(0, size - crew.running - len(crew.starting))
    if course.changed_at is None or now - course.changed_at < ttl:
        unseen = 0
    lower = max(floor, size - over - unseen)
    if lower >= size:
        return size, f"{goal} are needed; the others are busy or have not idled for {ttl:g} s"
    since = course.keeps(-1, now, rules.stabilisation_seconds)
    if since is not None:
        return size, (
            f"{lower} would do; held, for it began to grow {since:.0f} s ago and keeps its"
            f" direction for {rules.stabilisation_seconds:g} s"
        )
    since = inf if course.changed_at is None else now - course.changed_at
    if 0 <= since < rules.cooldown_seconds:
        return size, f"{lower} would do; held, for it changed {since:.0f} s ago"
    if idle >= size - lower:
        return lower, f"{_count(size - lower, 'worker')} idled for {ttl:g} s; {goal} are needed"
    return lower, f"{goal} are needed, and {_count(size - lower, 'worker')} had nothing to do"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
