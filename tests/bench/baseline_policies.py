"""What others scale by, as they describe it, over the same facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from proctor.infra.fleet.providers import Phase
from proctor.infra.planning.simulated import PASS_SECONDS
from proctor.infra.scaling.reconciler import Sight

CLASS = "cpu"


def _now(sight: Sight) -> tuple[int, int, float, int]:
    """Cases, running workers, predicted seconds of work, idle workers."""
    cases = sum(each.waiting + each.running for d in sight.demands for each in d.remaining)
    work = sum(d.work_seconds for d in sight.demands)
    running = [each for each in sight.observed if each.phase is Phase.RUNNING]
    idle = sum(not sight.busy.get(each.name, 0) for each in running)
    return cases, len(running), work, idle


@dataclass(slots=True)
class LikeDaskAdaptive:
    """distributed's Adaptive: occupancy over a target duration, no more than tasks.

    Its occupancy is a mean of what ran before, by kind of task: it has no history of a case. It
    closes idle workers only, once that was advised some times in a row.
    """

    target_seconds: float = 5.0
    wait_count: int = 3
    mean_seconds: float = 10.0
    _advised: int = 0

    def sizes(self, sight: Sight) -> Mapping[str, int]:
        most = sight.classes[CLASS].maximum
        assert most is not None
        cases, _, _, idle = _now(sight)
        size = sight.counts.get(CLASS, 0)
        target = min(most, cases, ceil(cases * self.mean_seconds / self.target_seconds))
        if target >= size:
            self._advised = 0
            return {CLASS: target}
        self._advised += 1
        if self._advised < self.wait_count:
            return {CLASS: size}
        return {CLASS: max(target, size - idle)}


@dataclass(slots=True)
class LikeHpa:
    """Kubernetes' HPA over the length of the queue: cases per worker.

    Every 15 s, at most double or four more; it shrinks to the largest size it wanted within the
    stabilisation window, busy or not.
    """

    per_worker: float = 4.0
    window_seconds: float = 300.0
    _wanted: list[tuple[float, int]] = field(default_factory=list)
    _due: float = 0.0

    def sizes(self, sight: Sight) -> Mapping[str, int]:
        most = sight.classes[CLASS].maximum
        assert most is not None
        size = sight.counts.get(CLASS, 0)
        if sight.at < self._due:
            return {CLASS: size}
        self._due = sight.at + 15.0 - PASS_SECONDS / 2
        cases, _, _, _ = _now(sight)
        desired = max(1, min(most, ceil(cases / self.per_worker)))
        self._wanted = [
            each for each in self._wanted if sight.at - each[0] <= self.window_seconds
        ] + [(sight.at, desired)]
        if desired > size:
            return {CLASS: min(desired, max(2 * size, size + 4))}
        return {CLASS: min(size, max(each for _, each in self._wanted))}
