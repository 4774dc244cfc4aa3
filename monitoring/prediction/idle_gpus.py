"""Cases that asked for a GPU and never touched it: they keep the scarcest machines busy."""

from __future__ import annotations

from collections.abc import Iterable

from ...infra.ledgers.record import CampaignRecord
from ...infra.records import Attempt, WorkerFacts
from ..reports.wording import cases as of_cases
from ..reports.wording import printable

# Shorter ones may be over before anybody looks at the GPU.
SEEN_SECONDS = 0.5
NAMED = 3


def untouched(record: CampaignRecord) -> list[str]:
    """Ids of cases that asked for a GPU, and whose runs were watched and touched none."""
    measuring = {
        (event.worker, event.incarnation)
        for event in record.workers
        if event.facts is not None and _measures(event.facts)
    }
    found: list[str] = []
    for case in record.cases.values():
        if not case.needs.gpu:
            continue
        watched = list(_watched(record.attempts.get(case.id, ()), measuring))
        if watched and not any(each.usage.gpu_memory_bytes for each in watched):
            found.append(case.id)
    return found


def remark(record: CampaignRecord) -> str:
    """One line for the summary; empty when there is nothing to say."""
    cases = untouched(record)
    if not cases:
        return ""
    named = ", ".join(printable(case) for case in cases[:NAMED])
    more = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
    return f"{of_cases(len(cases))} asked for a GPU and never touched it: {named}{more}"


def _measures(facts: WorkerFacts) -> bool:
    # Its model is known where NVML answers; there the use of each case is measured as well.
    return bool(facts.gpu_model) and not facts.simulated_gpu


def _watched(attempts: Iterable[Attempt], measuring: set[tuple[str, str]]) -> Iterable[Attempt]:
    return (
        each
        for each in attempts
        if (each.worker, each.incarnation) in measuring
        and each.outcome.is_good
        and each.usage.wall_seconds >= SEEN_SECONDS
    )
