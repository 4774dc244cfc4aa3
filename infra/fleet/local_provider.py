"""Workers as processes of this machine."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..codec import facts_to_json
from ..host_process import end_all, how_it_ended, launch_host
from ..records import WorkerFacts
from ..runners.capabilities import Gpu, assign_devices
from ..runners.memory_room import memory_there
from ..worker_classes import WorkerClass
from .machine_room import check_memory, is_here
from .providers import Instance, Phase, ProviderProblem
from .roster import Roster
from .self_test import REFUSED, why_refused

logger = logging.getLogger(__name__)

# After its own deadline for a drain a worker gets so long to close.
CLOSE_SECONDS = 15.0
# One that is not registered for so long, while the scheduler speaks, hangs: it ends by itself
# after half of that where it only does not find its scheduler.
LOST_SECONDS = 120.0
# A roster that is older says nothing: its scheduler is away, or the disk is full.
FRESH_SECONDS = 5.0


@dataclass(slots=True)
class _Life:
    """One process under a worker's name."""

    facts: WorkerFacts
    process: subprocess.Popen[bytes]
    since: float
    # By the steady clock: when nobody could say that it should have been registered.
    excused: float = field(default_factory=time.monotonic)
    # By the steady clock, when the drain must be over; None while nobody asked for one.
    drain_ends: float | None = None

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None


class LocalProvider:
    """Launches worker processes that end with this one."""

    def __init__(
        self,
        *,
        scheduler: Callable[[], str],
        directory: Path,
        scratch: Path,
        roster: Callable[[], Roster],
        gpus: Sequence[Gpu] = (),
        drain_seconds: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`scheduler` says where it listens; logs and refusals go to the directory."""
        self._scheduler = scheduler
        self._directory = directory
        self._scratch = scratch
        self._roster = roster
        self._gpus = gpus
        self._drain_seconds = drain_seconds
        self._environment = {**os.environ, **(environment or {})}
        self._lives: dict[str, _Life] = {}

    def observe(self) -> Sequence[Instance]:
        roster = self._roster()
        return [self._instance(life, roster) for life in self._lives.values()]

    def launch(self, facts: WorkerFacts, worker_class: WorkerClass) -> None:
        former = self._lives.get(facts.name)
        if former is not None and not former.ended:
            return
        if is_here(worker_class):
            check_memory(facts, there=memory_there())
        facts = assign_devices(facts, self._gpus, self._taken())
        refusal = self._refusal(facts.name)
        refusal.unlink(missing_ok=True)
        command = worker_class.command or (sys.executable, "-m")
        try:
            process = launch_host(
                (
                    *command,
                    f"{__package__}.worker_host",
                    *("--scheduler", self._scheduler()),
                    *("--facts", json.dumps(facts_to_json(facts))),
                    *("--scratch", str(self._scratch)),
                    *("--drain", f"{self._drain_seconds:g}"),
                    *("--launched", f"{time.time():.3f}"),
                    *("--refusal", str(refusal)),
                    "--self-test",
                ),
                log=self._directory / f"{facts.name}.log",
                environment=self._environment,
            )
        except OSError as problem:
            raise ProviderProblem(
                f"worker {facts.name} could not be started ({problem.strerror})",
                remedy="look for a limit on processes or memory, and at the class's command",
            ) from problem
        self._lives[facts.name] = _Life(facts=facts, process=process, since=time.time())

    def drain(self, name: str) -> None:
        life = self._lives.get(name)
        if life is not None and not life.ended and life.drain_ends is None:
            life.drain_ends = time.monotonic() + self._drain_seconds + CLOSE_SECONDS
            life.process.terminate()

    def stop(self, name: str) -> None:
        life = self._lives.get(name)
        if life is None:
            return
        if life.ended:
            del self._lives[name]
        else:
            # Its runners die with it; nothing it holds is worth a wait.
            life.process.kill()

    def close(self, *, grace: float) -> None:
        """End all of them, and wait until they are gone."""
        end_all([life.process for life in self._lives.values()], grace=grace)

    def _instance(self, life: _Life, roster: Roster) -> Instance:
        code = life.process.poll()
        pid = life.process.pid
        reason = ""
        if code == REFUSED:
            phase = Phase.REFUSED
            reason = why_refused(self._refusal(life.facts.name))
        elif code is not None:
            phase = Phase.ENDED
            reason = how_it_ended(code)
        elif life.drain_ends is not None:
            phase = Phase.DRAINING
            if time.monotonic() > life.drain_ends:
                life.process.kill()
        else:
            seen = roster.workers.get(life.facts.name)
            # Incarnations begin with the process that bears them.
            here = seen is not None and seen.facts.incarnation.startswith(f"{pid}-")
            phase = Phase.RUNNING if here else Phase.STARTING
            # A class's command may start it as a process of another number.
            if seen is not None or time.time() - roster.at > FRESH_SECONDS:
                life.excused = time.monotonic()
            elif time.monotonic() - life.excused > LOST_SECONDS:
                logger.warning("worker %s has not been heard of for long: killed", life.facts.name)
                life.process.kill()
        return Instance(
            name=life.facts.name,
            worker_class=life.facts.worker_class,
            phase=phase,
            since=life.since,
            place=f"pid {pid}",
            reason=reason,
        )

    def _taken(self) -> list[str]:
        lives = self._lives.values()
        return [device for life in lives if not life.ended for device in life.facts.devices]

    def _refusal(self, name: str) -> Path:
        return self._directory / f"{name}.refused"
