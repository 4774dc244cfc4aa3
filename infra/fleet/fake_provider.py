"""A provider that starts nothing: for tests, and for the simulator. It fails when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..records import WorkerFacts
from ..worker_classes import WorkerClass
from .providers import Instance, Phase, ProviderProblem


@dataclass(slots=True, kw_only=True)
class Weather:
    """What goes wrong, and how slow everything is; may be changed at any time."""

    # No more workers than this at a time; None for as many as anybody likes.
    quota: int | None = None
    boot_seconds: float = 0.0
    drain_seconds: float = 0.0
    # Names whose self-test fails, with the reason.
    refusals: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class _Life:
    facts: WorkerFacts
    since: float
    drained_at: float | None = None
    ended: str = ""


class FakeProvider:
    """Keeps workers as entries in a table, by a clock that is given."""

    def __init__(self, *, clock: Callable[[], float], weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self.launches: list[str] = []
        self._clock = clock
        self._lives: dict[str, _Life] = {}

    def observe(self) -> Sequence[Instance]:
        return [self._instance(life) for life in self._lives.values()]

    def launch(self, facts: WorkerFacts, worker_class: WorkerClass) -> None:
        there = {each.name for each in self.observe() if each.phase.is_there}
        if facts.name in there:
            return
        if self.weather.quota is not None and len(there) >= self.weather.quota:
            raise ProviderProblem(
                f"worker {facts.name} of class {worker_class.name} cannot be launched: the quota"
                f" of {self.weather.quota} workers is used up",
                remedy="raise the quota or lower the class's max",
            )
        self.launches.append(facts.name)
        self._lives[facts.name] = _Life(facts=facts, since=self._clock())

    def drain(self, name: str) -> None:
        life = self._lives.get(name)
        if life is not None and life.drained_at is None:
            life.drained_at = self._clock()

    def stop(self, name: str) -> None:
        life = self._lives.get(name)
        if life is None:
            return
        if self._instance(life).phase.is_there:
            life.ended = "it was stopped"
        else:
            del self._lives[name]

    def preempt(self, name: str, *, reason: str = "it was pre-empted") -> None:
        """Take a worker away, as spot markets and power cuts do."""
        self._lives[name].ended = reason

    def _instance(self, life: _Life) -> Instance:
        now = self._clock()
        seen = Instance(
            name=life.facts.name,
            worker_class=life.facts.worker_class,
            phase=Phase.RUNNING,
            since=life.since,
            place="nowhere",
        )
        if life.ended:
            return replace(seen, phase=Phase.ENDED, reason=life.ended)
        if life.drained_at is not None:
            over = now >= life.drained_at + self.weather.drain_seconds
            phase = Phase.ENDED if over else Phase.DRAINING
            return replace(seen, phase=phase, reason="it was drained" if over else "")
        if now < life.since + self.weather.boot_seconds:
            return replace(seen, phase=Phase.STARTING)
        if life.facts.name in self.weather.refusals:
            reason = self.weather.refusals[life.facts.name]
            return replace(seen, phase=Phase.REFUSED, reason=reason)
        return seen
