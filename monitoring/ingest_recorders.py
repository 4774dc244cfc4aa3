"""Lines of the journals under `<state>/recorders/`: usage, decisions, grades, faults, findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..infra.errors import LedgerDamaged
from ..infra.ledgers.journal import Line
from . import ingest_columns as columns
from .frames import Columns, Row
from .ingest_lines import MISSHAPEN, json_text, text_of


def _usage(line: Line) -> Row:
    get = line.get
    return (
        line["worker"], get("incarnation", ""), get("class", ""), get("host", ""), get("slots"),
        get("busy"), get("cpu"), get("cpu_used"), get("memory"), get("memory_used"), get("gpu"),
        get("gpu_used"), get("gpu_memory"), get("gpu_memory_used"),
    )  # fmt: skip


def _decision(line: Line) -> Row:
    get = line.get
    return (
        line["id"], line["class"], line["from"], line["to"], line["reason"], get("policy", ""),
        json_text(get("inputs", {})),
    )  # fmt: skip


def _grade(line: Line) -> Row:
    get = line.get
    return (
        line["decision"], line["grade"], get("effect_seconds"), get("cost_seconds"),
        get("text", ""),
    )  # fmt: skip


def _fault(line: Line) -> Row:
    get = line.get
    return (
        line["id"], get("experiment", ""), line["fault"], line["target"], line["event"],
        get("until"), json_text(get("detail", {})),
    )  # fmt: skip


def _finding(line: Line) -> Row:
    get = line.get
    return (
        line["id"], line["kind"], line["status"], get("project", ""), get("case", ""),
        get("metric", ""), get("class", ""), get("since"), get("commit", ""), get("size"),
        get("size_low"), get("size_high"), get("probability"), line["text"],
        json_text(get("detail", {})),
    )  # fmt: skip


# Kind of line to how it is read, and the table it belongs to.
_TAKERS: Mapping[str, tuple[Callable[[Line], Row], str]] = {
    "usage": (_usage, "usage_samples"),
    "decision": (_decision, "decisions"),
    "grade": (_grade, "grades"),
    "fault": (_fault, "faults"),
    "finding": (_finding, "findings"),
}
TABLES: Mapping[str, Columns] = {
    "usage_samples": columns.USAGE_SAMPLES,
    "decisions": columns.DECISIONS,
    "grades": columns.GRADES,
    "faults": columns.FAULTS,
    "findings": columns.FINDINGS,
}


class RecorderLines:
    """Rows of recorders' journals, by table."""

    def __init__(self) -> None:
        self.count = 0
        self.rows: dict[str, list[Row]] = {table: [] for table in TABLES}

    def take(self, line: Line, file: str, place: int) -> None:
        """One line; raises LedgerDamaged for one that cannot be used."""
        try:
            taker = _TAKERS.get(text_of(line["k"]))
            if taker is None:
                return
            take, table = taker
            self.rows[table].append((file, place, line["t"], *take(line)))
        except MISSHAPEN as problem:
            raise LedgerDamaged(
                f"a line of kind {line['k']!r} lacks or misstates {problem}"
            ) from problem
        self.count += 1
