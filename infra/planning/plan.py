"""What to do so that a fleet becomes what is wanted: pure, and right from any state it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..fleet.providers import Instance, Phase
from ..records import WorkerFacts
from ..worker_classes import WorkerClass
from .restarts import LONGEST_PAUSE_SECONDS, Restarts

# A worker that dies is started again after this, at first.
FIRST_PAUSE_SECONDS = 0.2
# One that had joined can join: whatever killed it, its work waits no longer than this.
LONGEST_JOINED_PAUSE_SECONDS = 4.0
# One whose self-test failed: its machine does not heal in a second.
REFUSED_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    facts: WorkerFacts
    worker_class: WorkerClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """A worker that has ended and is not wanted again."""

    name: str


Step = Launch | Drain | Forget


@dataclass(slots=True)
class _Trouble(Restarts):
    """Deaths in a row under one name."""

    # The life whose end was counted.
    counted: float = -1.0
    # The latest life that was seen to have joined.
    joined: float = -1.0


@dataclass(slots=True)
class FleetPlan:
    """Remembers only who died lately; all else comes with each call."""

    troubles: dict[str, _Trouble] = field(default_factory=dict[str, _Trouble])

    def steps(
        self,
        *,
        classes: Mapping[str, WorkerClass],
        counts: Mapping[str, int],
        observed: Sequence[Instance],
        busy: Mapping[str, int],
        now: float,
    ) -> list[Step]:
        """Launch what is missing, drain what is too many, forget what is over.

        `busy` says how many batches each worker runs: idle ones go first.
        """
        here = {each.name: each for each in observed}
        for each in observed:
            if each.phase is Phase.RUNNING:
                self.troubles.setdefault(each.name, _Trouble()).joined = each.since
        steps: list[Step] = []
        for name in sorted(classes.keys() | {each.worker_class for each in observed}):
            mine = [each for each in observed if each.worker_class == name]
            count = counts.get(name, 0)
            there = [each for each in mine if each.phase in {Phase.STARTING, Phase.RUNNING}]
            waiting: set[str] = set()
            if len(there) > count:
                # One that runs can be idle for a moment: one that still starts is worth less.
                there.sort(
                    key=lambda each: (
                        each.phase is Phase.RUNNING,
                        busy.get(each.name, 0),
                        -_number(each.name),
                    )
                )
                steps.extend(Drain(name=each.name) for each in there[: len(there) - count])
            elif name in classes:
                for facts in _missing(classes[name], count - len(there), here):
                    waiting.add(facts.name)
                    if self._may_start(facts.name, here.get(facts.name), now):
                        steps.append(Launch(facts=facts, worker_class=classes[name]))
            steps.extend(
                Forget(name=each.name)
                for each in mine
                if not each.phase.is_there and each.name not in waiting
            )
        return steps

    def restarts(self, name: str) -> int:
        """How often in a row it has died."""
        trouble = self.troubles.get(name)
        return trouble.deaths if trouble else 0

    def excuse(self, worker: Instance) -> None:
        """Say that its life is ended on purpose: the end is nobody's fault and needs no pause."""
        self.troubles.setdefault(worker.name, _Trouble()).counted = worker.since

    def failed(self, name: str, now: float) -> None:
        """It could not even be launched."""
        self.troubles.setdefault(name, _Trouble()).ended(now, first=FIRST_PAUSE_SECONDS * 5)

    def _may_start(self, name: str, former: Instance | None, now: float) -> bool:
        trouble = self.troubles.setdefault(name, _Trouble())
        if former is not None and trouble.counted != former.since:
            trouble.counted = former.since
            refused = former.phase is Phase.REFUSED
            first = REFUSED_PAUSE_SECONDS if refused else FIRST_PAUSE_SECONDS
            had_joined = trouble.joined == former.since
            longest = LONGEST_JOINED_PAUSE_SECONDS if had_joined else LONGEST_PAUSE_SECONDS
            trouble.ended(now, first=first, lived=now - former.since, longest=longest)
        # One that is due in an age was told the time by a clock that has been put back since.
        return now >= trouble.due or trouble.due - now > LONGEST_PAUSE_SECONDS


def _missing(
    worker_class: WorkerClass, missing: int, here: Mapping[str, Instance]
) -> list[WorkerFacts]:
    """The lowest numbers that nobody lives under."""
    found: list[WorkerFacts] = []
    number = 0
    while len(found) < missing:
        number += 1
        facts = worker_class.facts(number)
        if facts.name not in here or not here[facts.name].phase.is_there:
            found.append(facts)
    return found


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
