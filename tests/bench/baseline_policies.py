"""What others scale by, over the same facts; Dask's Adaptive itself stands in dask_adaptive.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from proctor.infra.fleet.providers import Phase
from proctor.infra.scaling.reconciler import Sight

CLASS = "cpu"
# Passes come at whole seconds: one that is due within this is due now.
ALMOST_SECONDS = 0.5


def _now(sight: Sight) -> tuple[int, int]:
    """Cases that are not done, and idle workers."""
    cases = sum(each.waiting + each.running for d in sight.demands for each in d.remaining)
    idle = sum(
        each.phase is Phase.RUNNING and not sight.busy.get(each.name, 0) for each in sight.observed
    )
    return cases, idle


@dataclass(slots=True)
class IdealisedAdaptive:
    """Adaptive as one would wish it to be: it knows the true mean duration before anything ran.

    No user gets this: the mean is that of all cases of the day, it never wavers, nobody who starts
    is stopped, and idle workers are closed only after some passes in a row that wanted fewer.
    """

    mean_seconds: float
    target_seconds: float = 5.0
    wait_count: int = 3
    _advised: int = 0

    def sizes(self, sight: Sight) -> Mapping[str, int]:
        most = sight.classes[CLASS].maximum
        assert most is not None
        cases, idle = _now(sight)
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
    """Kubernetes' HPA over the length of the queue, with KEDA for the way from and to nothing.

    As documented, with the defaults: a look every 15 s; cases over the average value per worker;
    no change within a tolerance of a tenth; up by at most double or four more each look; down to
    the largest size wanted within the last five minutes. KEDA looks every 30 s whether there is
    anything to do, starts the first worker, and takes the last away when there was nothing for
    five minutes. Kinder than life: whoever must go finishes its case, and the clock looks at the
    queue in the instant it decides.
    """

    per_worker: float = 4.0
    window_seconds: float = 300.0
    cooldown_seconds: float = 300.0
    tolerance: float = 0.1
    sync_seconds: float = 15.0
    poll_seconds: float = 30.0
    _wanted: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    _sync_due: float = 0.0
    _poll_due: float = 0.0
    _active_at: float = 0.0

    def sizes(self, sight: Sight) -> Mapping[str, int]:
        most = sight.classes[CLASS].maximum
        assert most is not None
        size, now = sight.counts.get(CLASS, 0), sight.at
        cases, _ = _now(sight)
        if now >= self._poll_due - ALMOST_SECONDS:
            self._poll_due = now + self.poll_seconds
            if cases:
                self._active_at = now
                size = max(size, 1)
            elif now - self._active_at >= self.cooldown_seconds:
                self._wanted.clear()
                size = 0
        if size and now >= self._sync_due - ALMOST_SECONDS:
            self._sync_due = now + self.sync_seconds
            size = self._synced(size, cases, most, now)
        return {CLASS: size}

    def _synced(self, size: int, cases: int, most: int, now: float) -> int:
        ratio = cases / (self.per_worker * size)
        desired = size if abs(ratio - 1) <= self.tolerance else ceil(cases / self.per_worker)
        desired = max(1, min(most, desired))
        self._wanted = [each for each in self._wanted if now - each[0] <= self.window_seconds] + [
            (now, desired)
        ]
        if desired > size:
            return min(desired, max(2 * size, size + 4))
        return min(size, max(each for _, each in self._wanted))
