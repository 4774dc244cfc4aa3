"""Workers as long flow runs in Prefect's work pools: processes, containers, or a cluster's.

The verbs only write down what is asked, so that a supervisor's step never waits for a server. A
thread brings Prefect's runs to it (`PoolRuns`). Who is registered with the scheduler says the
roster; a worker is known again by the incarnation that its run was given.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import uuid4

from ...flows.server.host_worker import REFUSAL
from ...infra.fleet.providers import Instance, Phase
from ...infra.fleet.roster import Roster
from ...infra.records import WorkerFacts
from ...infra.runners.capabilities import Gpu, assign_devices
from ...infra.worker_classes import WorkerClass
from .pool_lives import Life, PoolPlace
from .pool_runs import PoolRuns
from .pool_workers import PoolWorkers
from .pools import PROCESS, check_class_pool, pool_type

# After its own deadline for a drain, and its time to close, a worker is stopped.
OVERTIME_SECONDS = 20.0


class PoolProvider:
    """Launches workers by asking Prefect for runs of `host-worker`."""

    def __init__(
        self,
        place: PoolPlace,
        *,
        workers: PoolWorkers,
        roster: Callable[[], Roster],
        gpus: Sequence[Gpu] = (),
    ) -> None:
        self._roster = roster
        self._gpus = gpus
        self._drain_seconds = place.drain_seconds
        self._lock = threading.Lock()
        self._lives: dict[str, Life] = {}
        self._runs = PoolRuns(place, workers=workers, lives=self._copy)
        self._runs.start()

    def observe(self) -> Sequence[Instance]:
        roster, now = self._roster(), time.monotonic()
        with self._lock:
            return [self._instance(life, roster, now) for life in self._lives.values()]

    def launch(self, facts: WorkerFacts, worker_class: WorkerClass) -> None:
        check_class_pool(worker_class)
        problem = self._runs.refused(worker_class.name)
        with self._lock:
            former = self._lives.get(facts.name)
            if former is not None and not former.ended:
                return
            if problem is not None:
                raise problem
            if pool_type(worker_class) == PROCESS:
                # On this machine; elsewhere a worker takes what it finds.
                facts = assign_devices(facts, self._gpus, self._taken())
            key = uuid4().hex[:12]
            self._lives[facts.name] = Life(
                facts=replace(facts, incarnation=key),
                worker_class=worker_class,
                key=key,
                since=time.time(),
            )
        self._runs.wake()

    def drain(self, name: str) -> None:
        with self._lock:
            life = self._lives.get(name)
            if life is None or life.ended or life.drain_asked is not None:
                return
            life.drain_asked = time.monotonic()
        self._runs.wake()

    def stop(self, name: str) -> None:
        with self._lock:
            life = self._lives.get(name)
            if life is None:
                return
            if life.ended:
                del self._lives[name]
            elif life.stop_asked is None:
                life.stop_asked = time.monotonic()
        self._runs.wake()

    def close(self, *, grace: float) -> None:
        """End all of them, and leave nothing that Prefect would start later."""
        for each in self.observe():
            if each.phase.is_there:
                self.stop(each.name)
        self._runs.close(grace=grace)

    def _copy(self) -> list[Life]:
        """All lives; the thread changes what stands in them."""
        with self._lock:
            return list(self._lives.values())

    def _taken(self) -> list[str]:
        lives = self._lives.values()
        return [device for life in lives if not life.ended for device in life.facts.devices]

    def _instance(self, life: Life, roster: Roster, now: float) -> Instance:
        seen = roster.workers.get(life.facts.name)
        here = seen is not None and seen.facts.incarnation.endswith(f"-{life.key}")
        if here:
            life.joined, life.missed = True, None
        elif life.joined and life.missed is None:
            life.missed = now
        if life.ended:
            refused = life.reason.startswith(REFUSAL)
            phase = Phase.REFUSED if refused else Phase.ENDED
        elif life.drain_asked is not None or life.stop_asked is not None:
            phase = Phase.DRAINING
            over = self._drain_seconds + OVERTIME_SECONDS
            asked = life.drain_asked
            if asked is not None and life.stop_asked is None and now > asked + over:
                life.stop_asked = now
        else:
            # One that is missed for a moment keeps its place; the reaper judges.
            phase = Phase.RUNNING if life.joined else Phase.STARTING
        return Instance(
            name=life.facts.name,
            worker_class=life.facts.worker_class,
            phase=phase,
            since=life.since,
            place=f"run {life.run or life.key} in {pool_type(life.worker_class)} pool",
            reason=life.stalled if phase is Phase.STARTING else life.reason.removeprefix(REFUSAL),
        )
