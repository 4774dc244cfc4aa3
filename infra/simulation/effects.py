"""What each kind of fault does to a simulated fleet.

Kinds that only make a machine slower hold its workers up for a share of the time. What the
simulator has no part for (the Prefect server, a network namespace) leaves a line in its history,
and is no fault that was injected.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..faults.catalogue import choose_kind
from ..faults.experiment import FaultStep
from ..faults.kinds import read_parameters
from ..faults.targets import Part, Selector

if TYPE_CHECKING:
    from .faulty_run import FaultyRun
    from .sessions import SimulatedWorker

# A scheduler is started again by its supervisor, and workers find it.
SCHEDULER_SECONDS = 3.0
# What pressure on the machine takes from each worker's time.
PRESSURE_SHARE = 0.5
# A worker behind a narrow line says everything later by about so much.
NARROW_SECONDS = 0.05


class Blow(NamedTuple):
    """One fault, and the workers it hits."""

    run: FaultyRun
    fault: FaultStep
    workers: list[SimulatedWorker]


Hit = Callable[[Blow], None]


def suffer(run: FaultyRun, fault: FaultStep) -> bool:
    """Let a fault act on what it means now; False when it means nothing that is there."""
    # By the fault alone: what others there are must not change whom it hits.
    chance = random.Random(f"{run.schedule.seed} {fault.name} {fault.trigger}")
    workers = _workers(run, fault.selector, chance)
    if workers is None:
        return False
    names = ",".join(worker.facts.name for worker in workers)
    target = f"{fault.selector.part}:{names}" if names else str(fault.selector.part)
    run.tell(f"fault {fault.kind} on {target} for {fault.seconds:g} s")
    hit = _HITS.get((fault.kind, fault.selector.part)) or _HITS_ANYWHERE.get(fault.kind)
    if hit is None:
        run.leave_out(fault, "the simulator has no such part")
    else:
        run.strike(fault, workers)
        hit(Blow(run, fault, workers))
        run.injected.append(fault)
    return True


def _workers(
    run: FaultyRun, selector: Selector, chance: random.Random
) -> list[SimulatedWorker] | None:
    """Those a selector means, chosen as on a live fleet; None when they are not there now."""
    if selector.part is Part.CAMPAIGN:
        return None if run.away else []
    if selector.part not in {Part.WORKER, Part.RUNNER}:
        return []
    living = [worker for _, worker in sorted(run.workers.items()) if worker.alive]
    busy = {flight.batch.slot.worker for flight in run.flights.values()}
    match selector.which:
        case "all":
            found = living
        case "" | "any":
            found = [chance.choice(living)] if living else []
        case "busy":
            working = [worker for worker in living if worker.facts.name in busy]
            found = [chance.choice(working)] if working else []
        case which if which.startswith("#") and which[1:].isdecimal():
            found = [living[int(which[1:]) % len(living)]] if living else []
        case which:
            found = [worker for worker in living if worker.facts.name == which]
    return found or None


def _kill_workers(blow: Blow) -> None:
    for worker in blow.workers:
        blow.run.kill(worker)


def _disconnect(blow: Blow) -> None:
    # A worker whose connection is gone ends; its nanny's next one finds no way until the end.
    for worker in blow.workers:
        blow.run.kill(worker, back_after=blow.fault.seconds)


def _kill_sessions(blow: Blow) -> None:
    for worker in blow.workers:
        blow.run.kill_session(worker)


def _kill_scheduler(blow: Blow) -> None:
    for worker in blow.run.workers.values():
        blow.run.kill(worker, back_after=SCHEDULER_SECONDS)


def _kill_supervisor(blow: Blow) -> None:
    for worker in blow.run.workers.values():
        blow.run.kill(worker, back_after=blow.fault.seconds + SCHEDULER_SECONDS)


def _kill_campaign(blow: Blow) -> None:
    blow.run.lose_campaign(0.0)


def _stop_campaign(blow: Blow) -> None:
    # It can commit nothing, says so and ends; somebody resumes it when it can again.
    blow.run.lose_campaign(blow.fault.seconds)


def _freeze_workers(blow: Blow) -> None:
    for worker in blow.workers:
        blow.run.hold(worker, blow.fault.seconds)
        blow.run.silence(worker, blow.fault.seconds)


def _freeze_sessions(blow: Blow) -> None:
    # Its worker goes on saying that it is there.
    for worker in blow.workers:
        blow.run.hold(worker, blow.fault.seconds)


def _deafen(blow: Blow) -> None:
    blow.run.deaf_until = max(blow.run.deaf_until, blow.run.now + blow.fault.seconds)


def _slow(blow: Blow) -> None:
    share = _parameters(blow.fault)["share"]
    for worker in blow.workers or blow.run.workers.values():
        worker.lag += blow.fault.seconds * (1 - share)


def _press(blow: Blow) -> None:
    for worker in blow.run.workers.values():
        worker.lag += blow.fault.seconds * PRESSURE_SHARE


def _delay(blow: Blow) -> None:
    for worker in blow.workers:
        worker.delay = _parameters(blow.fault).get("delay", NARROW_SECONDS)
        worker.delayed_until = blow.run.now + blow.fault.seconds


def _partition(blow: Blow) -> None:
    for worker in blow.workers:
        blow.run.silence(worker, blow.fault.seconds)


def _fill(blow: Blow) -> None:
    for worker in blow.workers:
        worker.full_until = blow.run.now + blow.fault.seconds


def _lie(blow: Blow) -> None:
    for worker in blow.workers:
        worker.clock_offset = _parameters(blow.fault)["offset"]
        worker.clock_until = blow.run.now + blow.fault.seconds


def _parameters(fault: FaultStep) -> dict[str, Any]:
    return read_parameters(choose_kind(fault.kind), fault.parameters)


_HITS: Mapping[tuple[str, Part], Hit] = {
    ("kill", Part.WORKER): _kill_workers,
    ("restart", Part.WORKER): _kill_workers,
    ("kill", Part.RUNNER): _kill_sessions,
    ("restart", Part.RUNNER): _kill_sessions,
    ("disk-full", Part.RUNNER): _kill_sessions,
    ("kill", Part.SCHEDULER): _kill_scheduler,
    ("restart", Part.SCHEDULER): _kill_scheduler,
    ("kill", Part.SUPERVISOR): _kill_supervisor,
    ("restart", Part.SUPERVISOR): _kill_supervisor,
    ("kill", Part.CAMPAIGN): _kill_campaign,
    ("restart", Part.CAMPAIGN): _kill_campaign,
    ("disk-full", Part.CAMPAIGN): _stop_campaign,
    ("fill-disk", Part.STATE): _stop_campaign,
    ("freeze", Part.WORKER): _freeze_workers,
    ("freeze", Part.RUNNER): _freeze_sessions,
    ("freeze", Part.SCHEDULER): _deafen,
    ("freeze", Part.CAMPAIGN): _deafen,
    ("disk-full", Part.WORKER): _fill,
    ("slow", Part.WORKER): _slow,
    ("slow", Part.RUNNER): _slow,
}
_HITS_ANYWHERE: Mapping[str, Hit] = {
    "latency": _delay,
    "bandwidth": _delay,
    "disconnect": _disconnect,
    "partition": _partition,
    "cpu": _press,
    "memory": _press,
    "disk": _press,
    "clock": _lie,
}
