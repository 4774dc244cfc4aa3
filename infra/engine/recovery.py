"""What was measured for an interrupted campaign and never reached its ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ledgers.ledger import Ledger
from ..ledgers.record import CampaignRecord
from ..records import Attempt
from ..runners.outbox import read_outbox
from .attempts import Excuses, attempt_id, attempt_of, surplus

if TYPE_CHECKING:
    from .cluster import Cluster

# Batches of the interrupted writer are killed first; this long for them to end.
FENCE_SECONDS = 15.0


def recover(
    record: CampaignRecord, *, ledger: Ledger, cluster: Cluster, scratch: Path, excuses: Excuses
) -> dict[str, list[Attempt]]:
    """All attempts of the campaign so far; those its workers kept are written to the ledger."""
    cluster.fence(ledger.epoch, FENCE_SECONDS)
    past = {case: list(attempts) for case, attempts in record.attempts.items()}
    excuses.remember(chain.from_iterable(past.values()))
    heard = {attempt.id for attempts in past.values() for attempt in attempts}
    # On this disk lie also the outboxes of workers that are gone.
    kept: Iterable[Mapping[str, Any]] = chain(
        read_outbox(scratch, record.campaign), cluster.outboxes()
    )
    for message in kept:
        if message["id"] not in record.cases:
            continue
        if message["k"] == "late":
            if any(each.outcome.is_result for each in past.get(message["id"], ())):
                # Who reads the ledger knows an amendment that it has already.
                ledger.amend(
                    case=message["id"], outcome=message["outcome"], message=message["message"]
                )
            continue
        if attempt_id(message) in heard:
            continue
        heard.add(attempt_id(message))
        attempt, text = attempt_of(message)
        # What killed the campaign may have killed the case: it is blamed no sooner than there.
        attempt = excuses.judge(attempt)
        if any(each.outcome.is_good for each in past.get(attempt.case, ())):
            attempt = surplus(attempt)
        past.setdefault(attempt.case, []).append(ledger.attempt(attempt, text))
    ledger.commit()
    return past
