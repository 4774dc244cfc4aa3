"""What cases need beyond what they say, as far as this campaign's workers can give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...infra.predictions import LearnedNeed
from ...infra.records import Case, WorkerFacts
from ...infra.resources import fits
from ...infra.runners.usage import in_words

# So many are named; the others are counted.
NAMED = 3


@dataclass(slots=True, kw_only=True)
class Learned:
    """Adds to a case what its earlier runs showed that it needs.

    What the case itself says always stands, and nothing is added that no worker could give: a
    campaign is never refused for what was only inferred.
    """

    needs: Mapping[str, LearnedNeed]
    # Those that are there or coming; where none is known, nothing is added.
    workers: Sequence[WorkerFacts]
    # Whether memory is limited by somebody's decision: then it is no news that cases meet it.
    limited: bool = False
    # What was added, for people.
    told: dict[str, str] = field(default_factory=dict[str, str])

    def __call__(self, case: Case) -> Case:
        need = self.needs.get(case.id)
        if need is None or not self.workers:
            return case
        changed = self._with_memory(self._with_gpu(case, need), need)
        if changed is not case:
            self.told[case.id] = f"{case.id} asks for {_added(case, changed)}: {need.why}"
        return changed

    def texts(self) -> list[str]:
        """A line for each of the first few, and how many more."""
        lines = list(self.told.values())
        if len(lines) > NAMED:
            lines[NAMED:] = [f"and {len(lines) - NAMED} more cases ask for what they used before"]
        return lines

    def _with_gpu(self, case: Case, need: LearnedNeed) -> Case:
        if case.needs.gpu or not need.gpu:
            return case
        wanted = replace(case, needs=replace(case.needs, gpu=need.gpu))
        real = [worker for worker in self.workers if not worker.simulated_gpu]
        return wanted if any(fits(wanted.needs, worker) for worker in real) else case

    def _with_memory(self, case: Case, need: LearnedNeed) -> Case:
        if case.needs.memory_bytes or not need.memory_bytes or self.limited:
            return case
        able = [worker for worker in self.workers if fits(case.needs, worker)]
        if not able:
            return case
        asked = min(need.memory_bytes, max(worker.memory_bytes for worker in able))
        # Any slot gives as much, and one that asks for memory is held to what it asked for.
        if asked <= min(worker.memory_bytes // worker.slots for worker in able):
            return case
        return replace(case, needs=replace(case.needs, memory_bytes=asked))


def _added(before: Case, after: Case) -> str:
    parts: list[str] = []
    if after.needs.gpu != before.needs.gpu:
        parts.append("a GPU")
    if after.needs.memory_bytes != before.needs.memory_bytes:
        parts.append(f"{in_words(after.needs.memory_bytes)} of memory")
    return " and ".join(parts)
