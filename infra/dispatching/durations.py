"""How long a case will take: from its history, from its kin, or from the campaign so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..predictions import NOTHING, Predictions
from ..records import Case, WorkerFacts
from .pace import Pace

# The newest run counts for three tenths: on 79,095 predictions of real CI test times this had the
# smallest error of last value, mean of seven, median of seven and this.
NEWEST_WEIGHT = 0.3
# What an unknown case costs before anything has run: most unit tests take less.
FIRST_GUESS_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseHistory:
    """What earlier campaigns measured of one case."""

    seconds: float
    peak_memory_bytes: int = 0
    # Without its failures; 0 where it never did anything else.
    runs: int = 1

    def with_run(self, *, seconds: float, peak_memory_bytes: int) -> CaseHistory:
        newest = NEWEST_WEIGHT if self.runs else 1.0
        return CaseHistory(
            seconds=(1 - newest) * self.seconds + newest * seconds,
            peak_memory_bytes=self._peak(peak_memory_bytes),
            runs=self.runs + 1,
        )

    def with_failure(self, *, seconds: float, peak_memory_bytes: int) -> CaseHistory:
        return CaseHistory(
            seconds=self.seconds if self.runs else seconds,
            peak_memory_bytes=self._peak(peak_memory_bytes),
            runs=self.runs,
        )

    def _peak(self, newest: int) -> int:
        # Memory is predicted to be safe, not to be close: forget peaks slowly.
        return max(newest, int(self.peak_memory_bytes * 0.9))


NEVER_PASSED = CaseHistory(seconds=0.0, runs=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupHistory:
    """What it costs to make a group (a test file) ready in a fresh process."""

    # Importing and collecting the file.
    collect_seconds: float = 0.0
    # Fixtures wider than a function.
    shared_seconds: float = 0.0


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        return self.total / self.count


@dataclass(slots=True)
class Durations:
    """Predictions that start from history and learn from what finishes."""

    cases: Mapping[str, CaseHistory] = field(default_factory=dict[str, CaseHistory])
    groups: Mapping[str, GroupHistory] = field(default_factory=dict[str, GroupHistory])
    # Where somebody took the time to make predictions of all that was measured.
    predicted: Predictions = NOTHING
    # How slow this campaign and its workers are; what stands above is as if they were usual.
    pace: Pace = field(default_factory=Pace)
    _by_function: dict[str, _Mean] = field(default_factory=dict[str, _Mean])
    _by_group: dict[str, _Mean] = field(default_factory=dict[str, _Mean])
    _overall: _Mean = field(default_factory=_Mean)
    _warm_up: dict[str, float] = field(default_factory=dict[str, float])
    # Of all files of which that is known; None until somebody asks.
    _warm_ups: _Mean | None = None

    def known(self, case: Case) -> float | None:
        """Seconds by the case's own history, if it has one."""
        predicted = self.predicted.cases.get(case.id)
        if predicted is not None:
            return predicted.seconds
        history = self.cases.get(case.id)
        return None if history is None else history.seconds

    def estimate(self, case: Case) -> float:
        """Seconds by the best evidence there is: own history, kin, file, campaign."""
        known = self.known(case)
        if known is not None:
            return known
        kin = self._by_function.get(function_of(case.id)) or self._by_group.get(case.group)
        if kin is not None:
            return kin.value
        predicted = self.predicted.of_kin(case)
        return self.typical() if predicted is None else predicted.seconds

    def typical(self) -> float:
        """Seconds of a case nothing is known about."""
        return self._overall.value if self._overall.count else FIRST_GUESS_SECONDS

    def warm_up(self, group: str) -> float:
        """Seconds to make the group ready on a slot that has not seen it."""
        history = self.groups.get(group)
        shared = history.shared_seconds if history is not None else 0.0
        load = self.load_seconds(group)
        # Earlier versions did not say of a suite that was collected whole what each file took.
        return shared + (self._typical_warm_up() if load is None else load)

    def load_seconds(self, group: str) -> float | None:
        """Seconds to import and collect a file, if anybody has measured that."""
        measured = self._warm_up.get(group)
        if measured is not None:
            return measured
        history = self.groups.get(group)
        return history.collect_seconds or None if history is not None else None

    def _typical_warm_up(self) -> float:
        if self._warm_ups is None:
            self._warm_ups = _Mean()
            for history in self.groups.values():
                if history.collect_seconds:
                    self._warm_ups.add(history.collect_seconds)
            for seconds in self._warm_up.values():
                self._warm_ups.add(seconds)
        return self._warm_ups.value if self._warm_ups.count else 0.0

    def on(self, worker: str, case: Case) -> float:
        """Seconds on that worker, as slow as it turned out to be."""
        return self.estimate(case) * self.pace.of(worker)

    def meet(self, facts: WorkerFacts) -> None:
        """A worker joined: what earlier campaigns know of its kind."""
        self.pace.meet(facts.name, self.predicted.speed(machine_of(facts)))

    def learn(self, case: Case, seconds: float, *, worker: str = "") -> None:
        """Take in what one execution took, shared fixtures left out."""
        self.pace.learn(worker, self.known(case) or 0.0, seconds)
        # Of use for kin that run elsewhere, and at another hour.
        seconds /= self.pace.of(worker)
        self._overall.add(seconds)
        self._by_group.setdefault(case.group, _Mean()).add(seconds)
        self._by_function.setdefault(function_of(case.id), _Mean()).add(seconds)

    def learn_warm_up(self, group: str, seconds: float) -> None:
        self._warm_up[group] = max(self._warm_up.get(group, 0.0), seconds)
        if self._warm_ups is not None:
            self._warm_ups.add(seconds)


def machine_of(facts: WorkerFacts) -> str:
    """Of what a worker's speed is a property: its machine, and its class there.

    By the machine's name, which stays when it is started anew.
    """
    return f"{facts.host}/{facts.worker_class}"


def function_of(case_id: str) -> str:
    """The id without its parameters: cases of one function are alike."""
    return case_id.partition("[")[0]
