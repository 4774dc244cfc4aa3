"""Makes the store anew from the journals, and carries over what they can no longer tell.

Nobody sees a half-made store: the fresh file takes the old one's place in one step at the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..infra.ledgers.campaigns import campaigns_directory
from . import ingest_columns as columns
from .frames import frame_of, registered
from .ingest import Ingest, Ingested
from .ingest_ahead import ReadAhead
from .named_sql import load_sql
from .store import Connection, Store, StoreDamaged
from .store_schema import transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild did."""

    ingested: Ingested
    # Campaigns whose journals are gone, or whose attempts were dropped.
    carried_over: int
    # Where a store that could not be read was left.
    kept_aside: Path | None = None


def rebuild(
    store: Store, *, clock: Callable[[], float] = time.time, from_scratch: bool = False
) -> Rebuilt:
    """Read every journal again; from scratch, keep nothing that is not in a journal."""
    began = time.monotonic()
    before = set(store.damaged_ones())
    try:
        done, carried = _made_anew(store, clock=clock, from_scratch=from_scratch)
    except StoreDamaged:
        # It could be opened, and what was to be carried over could not be read.
        store.set_aside()
        done, carried = _made_anew(store, clock=clock, from_scratch=True)
    done.seconds = time.monotonic() - began
    aside = next((path for path in store.damaged_ones() if path not in before), None)
    return Rebuilt(ingested=done, carried_over=carried, kept_aside=aside)


def _made_anew(
    store: Store, *, clock: Callable[[], float], from_scratch: bool
) -> tuple[Ingested, int]:
    done = Ingested()
    carried = 0
    fresh = store.path.with_name(f"{store.path.name}.rebuild-{os.getpid()}")
    with store.replacing(fresh) as (connection, has_old):
        if has_old and not from_scratch:
            carried = _carry_over(connection, store)
        with ReadAhead() as ahead:
            Ingest(connection, store.state, done=done, clock=clock, ahead=ahead).run()
    return done, carried


def _carry_over(connection: Connection, store: Store) -> int:
    statements = load_sql("rebuild.sql")
    there = campaigns_directory(store.state)
    kept = [
        (number,)
        for number, name, pruned in connection.execute(statements["old-campaigns"]).fetchall()
        if pruned or not (there / name).is_dir()
    ]
    files = [
        (None, None, file, 0, 0)
        for (file,) in connection.execute(statements["old-recorders"]).fetchall()
        if not (store.state / file).exists()
    ]
    frames = {
        "kept": frame_of(kept, columns.NUMBERS)[0],
        "kept_files": frame_of(files, columns.JOURNALS)[0],
    }
    with registered(connection, **frames), transaction(connection):
        for name in ("carry-campaigns", "carry-rest", "carry-names"):
            connection.execute(statements[name]).fetchall()
    return len(kept)
