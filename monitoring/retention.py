"""Lets go of old attempts: what remains of them is one row a case, day and class of worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from . import ingest_columns as columns
from .frames import frame_of, registered
from .named_sql import load_sql
from .store import Store
from .store_schema import transaction

# Of usage samples nothing remains: they are many, and of interest for weeks.
CAMPAIGNS_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was dropped, or would be."""

    campaigns: tuple[str, ...]


def prune(
    store: Store,
    *,
    keep_seconds: float,
    clock: Callable[[], float] = time.time,
    pretend: bool = False,
) -> Pruned:
    """Drop the attempts of campaigns that ended longer ago; their figures and metrics stay."""
    statements = load_sql("retention.sql")
    now = clock()
    before = _moment(now - keep_seconds)
    with store.writing() as connection:
        found = connection.execute(statements["old-campaigns"], [before]).fetchall()
        if pretend:
            return Pruned(campaigns=tuple(name for _, name in found))
        for start in range(0, len(found), CAMPAIGNS_AT_ONCE):
            some = [(number, now) for number, _ in found[start : start + CAMPAIGNS_AT_ONCE]]
            frame, _ = frame_of(some, columns.DROPPED)
            with registered(connection, dropped=frame), transaction(connection):
                connection.execute(statements["roll-up"]).fetchall()
                connection.execute(statements["drop-attempts"]).fetchall()
        with transaction(connection):
            connection.execute(statements["drop-samples"], [before]).fetchall()
        connection.execute("CHECKPOINT").fetchall()
    return Pruned(campaigns=tuple(name for _, name in found))


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
