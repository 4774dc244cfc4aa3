"""Holds the invariants of invariants.sql against one campaign.

Each comes out valid, invalid with the rows that break it, or unknown, which is no pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ..infra.errors import LedgerDamaged
from ..infra.faults.verdict import Finding, Limits, Validity, overall
from .frames import Kind, frame_of, registered
from .ledger_tables import Connection, ledger_tables
from .named_sql import load_sql

INVARIANTS = load_sql("invariants.sql")
# These need something that not every campaign has: another one, or faults.
SAME_VERDICTS = "same-verdicts"
DETECTED = "detected-in-time"
# So many rows of one invariant are kept; all are counted.
KEPT_ROWS = 100
_PARAMETER = re.compile(r"\$(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offence:
    """One row that breaks an invariant, or keeps anyone from telling."""

    validity: Validity
    # The case, batch, worker or epoch.
    subject: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One invariant, held against one campaign."""

    invariant: str
    validity: Validity
    # The first of them, and how many there are.
    offences: tuple[Offence, ...] = ()
    count: int = 0

    def finding(self) -> Finding:
        """As experiments report it."""
        return Finding(
            invariant=self.invariant,
            validity=self.validity,
            reasons=tuple(each.reason for each in self.offences),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything that was held against a campaign."""

    campaign: str
    against: str | None
    held: tuple[Held, ...]

    @property
    def validity(self) -> Validity:
        return overall(each.finding() for each in self.held)


def examine_campaign(
    directory: Path,
    *,
    against: Path | None = None,
    recorders: Path | None = None,
    limits: Limits | None = None,
    faults_expected: bool = False,
) -> Examination:
    """Hold all that can be held against a campaign, or only against its like.

    `against` is a campaign of the same suite, `recorders` the folder of what was recorded beside
    it: faults and samples. Without faults nothing is said of their detection, unless expected.
    """
    bounds = limits or Limits()
    given: dict[str, object] = {
        "wait_limit": bounds.wait,
        "most_returns": bounds.returns,
        "dead_limit": bounds.dead,
        "frozen_limit": bounds.frozen,
        "recovery_limit": bounds.recovery,
        "faults_expected": faults_expected,
    }
    other = None if against is None else _verdicts(against)
    with ledger_tables(directory, recorders=recorders) as connection:
        names = [name for name in INVARIANTS if name not in (SAME_VERDICTS, DETECTED)]
        if faults_expected or _has_any(connection, "faults"):
            names.append(DETECTED)
        held = [_hold(connection, name, given) for name in names]
        if other is not None:
            held.append(_compare(connection, other, given))
    return Examination(
        campaign=directory.name, against=against.name if against else None, held=tuple(held)
    )


def _hold(connection: Connection, name: str, given: dict[str, object]) -> Held:
    statement = INVARIANTS[name]
    named = set(_PARAMETER.findall(statement))
    try:
        rows = connection.execute(
            statement, {key: value for key, value in given.items() if key in named} or None
        ).fetchall()
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as problem:
        # Lines that say things in a form nobody can compare: nothing is known then.
        rows = [("unknown", name, f"it cannot be worked out: {' '.join(str(problem).split())}")]
    found = [
        Offence(validity=Validity(row[0]), subject=str(row[1]), reason=str(row[2])) for row in rows
    ]
    # What is wrong comes before what is only unknown.
    found.sort(key=lambda each: each.validity is not Validity.INVALID)
    return Held(
        invariant=name,
        validity=found[0].validity if found else Validity.VALID,
        offences=tuple(found[:KEPT_ROWS]),
        count=len(found),
    )


def _compare(
    connection: Connection, other: Iterable[tuple[str, str]] | str, given: dict[str, object]
) -> Held:
    if isinstance(other, str):
        offence = Offence(validity=Validity.UNKNOWN, subject="the other campaign", reason=other)
        return Held(
            invariant=SAME_VERDICTS, validity=Validity.UNKNOWN, offences=(offence,), count=1
        )
    frame, _ = frame_of(list(other), {"case_id": Kind.TEXT, "judgement": Kind.TEXT})
    with registered(connection, others=frame):
        return _hold(connection, SAME_VERDICTS, given)


def _verdicts(directory: Path) -> list[tuple[str, str]] | str:
    """Those of a whole campaign, or why it has none."""
    try:
        with ledger_tables(directory) as connection:
            if not _has_any(connection, "closing"):
                return f"campaign {directory.name} has no last word: its verdicts may still change"
            return connection.execute("SELECT case_id, judgement FROM verdicts").fetchall()
    except LedgerDamaged as damage:
        return str(damage)


def _has_any(connection: Connection, table: str) -> bool:
    return bool(connection.table(table).limit(1).fetchall())
