"""The workers that a campaign takes for sick: who is drained, and a file of them for people.

A sick worker is better than none: only those that others can stand in for are drained, and one
that is the last of its kind is used again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from ..records import WorkerFacts
from ..whole_file import replace_file
from .sick_workers import Diagnosis, Life, SickWorkers

FILE = "sick.json"


class Sickbay:
    """Who is sick now; `evidence` takes in what happens."""

    def __init__(self, directory: Path) -> None:
        self.evidence = SickWorkers()
        self._path = directory / FILE
        self._patients: dict[str, dict[str, str | float]] = {}
        # Where sessions could do nothing, one after the other with none between that could.
        self._troubles: list[Life | None] = []
        self._accused: list[Diagnosis] = []

    def found(
        self, workers: Mapping[str, WorkerFacts], draining: Container[str]
    ) -> list[tuple[WorkerFacts, Diagnosis]]:
        """Those to drain now."""
        told: list[tuple[WorkerFacts, Diagnosis]] = []
        accused, self._accused = self._accused, []
        for each in (*accused, *self.evidence.diagnose()):
            facts = workers.get(each.life.worker)
            is_it = facts is not None and facts.incarnation == each.life.incarnation
            if facts is None or not is_it or facts.name in draining:
                continue
            if self._others_do(facts, workers, draining):
                self._admit(facts, each.reason)
                told.append((facts, each))
            else:
                self.evidence.forget(each.life)
        return told

    def trouble(self, batch: str) -> None:
        """A session could do nothing."""
        self._troubles.append(self.evidence.life_of(batch))

    def calm(self) -> None:
        """One could."""
        self._troubles.clear()

    def accuse(self, workers: Mapping[str, WorkerFacts], draining: Container[str]) -> bool:
        """Whether all trouble came from one worker that others stand in for; then it is sick."""
        life = self._troubles[0]
        facts = workers.get(life.worker) if life is not None else None
        alone = life is not None and all(each == life for each in self._troubles)
        if not alone or life is None or facts is None:
            return False
        if facts.name not in draining:
            if not self._others_do(facts, workers, draining):
                return False
            reason = f"{len(self._troubles)} sessions in a row could do nothing on it"
            self._accused.append(Diagnosis(life=life, reason=reason, chance=0.0))
        self.calm()
        return True

    def needed(
        self, workers: Mapping[str, WorkerFacts], draining: Container[str]
    ) -> list[WorkerFacts]:
        """Those that are sick, and that nobody stands in for any more."""
        return [
            workers[name]
            for name in self._patients
            if not self._others_do(workers[name], workers, draining)
        ]

    def discharge(self, name: str) -> None:
        """It is gone, or used again."""
        patient = self._patients.pop(name, None)
        if patient is not None:
            # What it does from now on may tell again.
            self.evidence.forget(Life(name, str(patient["incarnation"])))
            replace_file(self._path, json.dumps(self._patients))

    def _admit(self, facts: WorkerFacts, reason: str) -> None:
        self._patients[facts.name] = {
            "incarnation": facts.incarnation,
            "reason": reason,
            "t": time.time(),
        }
        replace_file(self._path, json.dumps(self._patients))

    def _others_do(
        self, facts: WorkerFacts, workers: Mapping[str, WorkerFacts], draining: Container[str]
    ) -> bool:
        """Whether one that stays offers all that it does."""
        return any(
            each.cpu >= facts.cpu
            and each.memory_bytes >= facts.memory_bytes
            and each.gpu >= facts.gpu
            and each.tags >= facts.tags
            for each in workers.values()
            if each.name != facts.name and each.name not in draining
        )


def sick_lives(directories: Iterable[Path]) -> dict[str, str]:
    """By incarnation, why a campaign drained it."""
    found: dict[str, str] = {}
    for directory in directories:
        try:
            told = json.loads((directory / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        for each in told.values():
            found[each["incarnation"]] = f"{each['reason']} (campaign {directory.name})"
    return found
