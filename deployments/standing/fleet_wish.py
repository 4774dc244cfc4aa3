"""What somebody wants of the resident fleet, and how it changes what was wanted before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...flows.campaigns.fleet_choice import with_devices
from ...infra.cores import core_count
from ...infra.errors import UsageProblem
from ...infra.fleet.files import FleetFiles, FleetRecord, Wanted
from ...infra.fleet.machine_room import is_here
from ...infra.fleet.mixed_provider import LOCAL
from ...infra.fleet.reach import Reach
from ...infra.scaling.policy import ScalingRules
from ...infra.worker_classes import WorkerClass, shared
from ..pools.pools import check_class_pool, check_machine
from .fleet_checks import unbounded_line

# All together: a fresh Prefect database on a loaded machine is the slowest.
UP_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpRequest:
    """A fleet somebody wants."""

    state: Path
    classes: Mapping[str, WorkerClass]
    # Empty: leave what is up as it is, or start one worker of class cpu.
    counts: Mapping[str, int]
    cores: int
    # Says which Prefect server is meant; asked only when a fleet starts, for it takes a second.
    prefect: Callable[[], str]
    # 0 takes the port of last time, or a free one.
    port: int = 0
    # Who can reach it; None leaves it as it is, a fleet that starts on loopback.
    reach: Reach | None = None
    drain_seconds: float = 60.0
    deadline_seconds: float = UP_SECONDS
    # None: leave it as it is; a fleet that starts is then sized by people.
    auto: bool | None = None
    horizon_seconds: float | None = None
    idle_seconds: float | None = None
    # The policy's rules; None leaves them as they are.
    rules: ScalingRules | None = None
    # Whether faults may be injected into it.
    chaos_target: bool = False
    # Where the workers come from whose class does not say: "local", "work-pool", or empty for
    # what the fleet has.
    provider: str = ""


def steered(
    files: FleetFiles,
    wanted: Wanted,
    record: FleetRecord,
    counts: Mapping[str, int],
    auto: bool | None,
    say: Callable[[str], None],
) -> Wanted:
    """Who chooses the sizes: people or the policy, which goes on from what there is."""
    if auto if auto is not None else wanted.auto:
        if counts:
            raise UsageProblem(
                "the fleet chooses its sizes itself",
                remedy="leave the numbers out, or take over with `proctor scale --manual`",
            )
        if not wanted.auto:
            files.auto.unlink(missing_ok=True)
            say("the fleet chooses its sizes itself from now on")
            say_open_ended(replace(wanted, auto=True), say)
        return replace(wanted, auto=True)
    if wanted.auto:
        say("the fleet keeps the sizes it has until they are changed")
        return replace(wanted, auto=False, counts=dict(record.counts))
    return wanted


def say_open_ended(wanted: Wanted, say: Callable[[str], None]) -> None:
    line = unbounded_line(wanted.classes, cores=core_count()) if wanted.auto else ""
    if line:
        say(line)


def check_tuning(*, auto: bool, horizon: float | None, idle: float | None) -> None:
    """Refuse what only a fleet that sizes itself could heed."""
    given = [
        f"--{name}" for name, text in (("horizon", horizon), ("idle", idle)) if text is not None
    ]
    if given and not auto:
        raise UsageProblem(
            f"{' and '.join(given)} tell a fleet that chooses its sizes itself what to aim at",
            remedy="this one keeps the sizes it is given: add --auto, or leave that out",
        )


def tuned(wanted: Wanted, horizon: float | None, idle: float | None) -> Wanted:
    check_tuning(auto=wanted.auto, horizon=horizon, idle=idle)
    return replace(
        wanted,
        horizon_seconds=wanted.horizon_seconds if horizon is None else horizon,
        idle_seconds=wanted.idle_seconds if idle is None else idle,
    )


def small(classes: Mapping[str, WorkerClass]) -> dict[str, WorkerClass]:
    """Workers that come and go have one slot where their class states none."""
    return {name: each if each.slots else replace(each, slots=1) for name, each in classes.items()}


def provided(classes: Mapping[str, WorkerClass], provider: str) -> dict[str, WorkerClass]:
    """Say of each class where its workers come from."""
    return {
        name: replace(each, provider=each.provider or provider) for name, each in classes.items()
    }


def check_places(
    classes: Mapping[str, WorkerClass], counts: Mapping[str, int], prefect: str
) -> None:
    """Refuse pools that cannot be and workers too large, before anything is started."""
    here = [name for name in counts if name in classes and is_here(classes[name])]
    with_devices([classes[name].facts(n) for name in here for n in range(1, counts[name] + 1)])
    for name in counts:
        if name in classes and classes[name].provider != LOCAL:
            if prefect == "off":
                raise UsageProblem(
                    f"workers of class {name} come from a work pool, and Prefect is switched off",
                    remedy="leave out --prefect off, or take --provider local",
                )
            check_class_pool(classes[name])
            if counts[name]:
                check_machine(classes[name])


def joined(wanted: Wanted, request: UpRequest) -> dict[str, WorkerClass]:
    new = {name: each for name, each in request.classes.items() if name not in wanted.classes}
    counts = {**wanted.counts, **request.counts}
    asked = {name: counts.get(name, 0) for name in new}
    if wanted.auto or request.auto:
        new = small(new)
    new = provided(new, request.provider or LOCAL)
    check_places(new, asked, wanted.prefect)
    return {**wanted.classes, **shared(new, asked, cores=request.cores)}


def counts_text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={count}" for name, count in counts.items())
