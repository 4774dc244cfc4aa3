"""What was read, as columns: what one transaction writes, fit to be sent to another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from . import ingest_columns as columns
from .frames import Columns, Frame, Row, frame_of
from .ingest_lines import CampaignLines, Names
from .ingest_reading import Account, Reading
from .ingest_recorders import TABLES

_CAMPAIGN_AND_ATTEMPT = itemgetter(0, 4)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one table as columns, and those that cannot stand in them, each with the reason."""

    frame: Frame
    misfits: tuple[tuple[Row, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was read; cases and workers by the numbers that the names explain."""

    lines: int
    account: Account
    names: Names
    blocks: Mapping[str, Block]
    # Attempts that an earlier line told: campaign, epoch, byte, attempt, and both outcomes.
    repeated: tuple[Row, ...]


def gather(reading: Reading) -> Gathered:
    """The rows that were read as columns."""
    lines = reading.lines
    blocks = {table: block_of(rows, shape) for table, (rows, shape) in _tables(lines).items()}
    for table, rows in reading.recorded.rows.items():
        blocks[table] = block_of(rows, TABLES[table])
    return Gathered(
        lines=lines.count + reading.recorded.count,
        account=reading.account,
        names=lines.names,
        blocks=blocks,
        repeated=tuple(_repeated(lines.attempts)),
    )


def block_of(rows: Sequence[Row], shape: Columns) -> Block:
    frame, bad = frame_of(rows, shape)
    return Block(frame, tuple((rows[number], why) for number, why in bad.items()))


def _tables(lines: CampaignLines) -> Mapping[str, tuple[Sequence[Row], Columns]]:
    return {
        "openings": (lines.openings, columns.OPENINGS),
        "phases": (lines.phases, columns.PHASES),
        "plans": (lines.plans, columns.PLANS),
        "closes": (lines.closes, columns.CLOSES),
        "notes": (lines.notes, columns.NOTES),
        "batches": (lines.batches, columns.BATCHES),
        "worker_events": (lines.worker_events, columns.WORKER_EVENTS),
        "attempts": (lines.attempts, columns.ATTEMPTS),
        "campaign_cases": (lines.campaign_cases, columns.CAMPAIGN_CASES),
        "case_events": (lines.case_events, columns.CASE_EVENTS),
        "amendments": (lines.amendments, columns.AMENDMENTS),
        "attempt_notes": (lines.attempt_notes, columns.ATTEMPT_NOTES),
        "metrics": (lines.metrics, columns.METRICS),
    }


def _repeated(rows: Sequence[Row]) -> list[Row]:
    """Attempts that stand here twice: the first record counts."""
    if len(set(map(_CAMPAIGN_AND_ATTEMPT, rows))) == len(rows):
        return []
    again: list[Row] = []
    told: dict[tuple[int, str], str] = {}
    for row in rows:
        key = (row[0], row[4])
        if key in told:
            again.append((row[0], row[2], row[3], row[4], told[key], row[5]))
        told.setdefault(key, row[5])
    return again
