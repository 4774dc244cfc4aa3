"""Lines of journals as rows: what each says, with the campaign, epoch and byte it stands at.

Campaign journals are what infra/ledgers/ledger.py writes. Any other process that records
something has journals of its own under `<state>/recorders/`, one file a process, with lines of the
kinds `usage`, `decision`, `grade`, `fault` and `finding`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

from ..infra import codec
from ..infra.dispatching.durations import function_of
from ..infra.errors import LedgerDamaged
from ..infra.ledgers.journal import Line, decode
from ..infra.ledgers.lines import UNMET, closed_state, is_no_execution, predecessors_of
from ..infra.records import Outcome
from . import ingest_columns as columns
from .frames import Row, as_stored, frame_of

_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
_CANCELLED = Outcome.CANCELLED.value
_NO_OUTPUT = (None, None, None)
_EMPTY: Mapping[str, Any] = {}
_NO_NEEDS = (1.0, 0, 0.0, "[]")
# What a line that lacks something, or says it in another form, raises.
MISSHAPEN = (*codec.MISSHAPEN, IndexError, RecursionError)


@dataclass(slots=True)
class Names:
    """The cases and workers of a few campaigns, by numbers that hold only there."""

    # Project to its cases, and (campaign, worker, incarnation), to the numbers in rows.
    cases: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])
    case_count: int = 0
    workers: dict[tuple[int, str, str], int] = field(
        default_factory=dict[tuple[int, str, str], int]
    )
    # What lines say of them, by those numbers: file and kind, and the worker's facts.
    kinds: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])
    facts: dict[int, Line] = field(default_factory=dict[int, Line])


class CampaignLines:
    """Rows of a few campaigns, by table."""

    def __init__(self) -> None:
        # Of which campaign and epoch the next lines are, and the numbers of its project's cases.
        self._campaign = self._epoch = -1
        self._numbers: dict[str, int] = {}
        self.names = Names()
        self.count = 0
        self.openings: list[Row] = []
        self.phases: list[Row] = []
        self.plans: list[Row] = []
        self.closes: list[Row] = []
        self.notes: list[Row] = []
        self.batches: list[Row] = []
        self.worker_events: list[Row] = []
        self.campaign_cases: list[Row] = []
        self.case_events: list[Row] = []
        self.attempts: list[Row] = []
        self.amendments: list[Row] = []
        self.attempt_notes: list[Row] = []
        self.metrics: list[Row] = []

    def begin(self, *, campaign: int, project: int, epoch: int) -> None:
        """The next lines are of this."""
        self._campaign, self._epoch = campaign, epoch
        self._numbers = self.names.cases.setdefault(project, {})

    def take(self, raw: bytes, place: int) -> None:
        """One line; raises LedgerDamaged for one that cannot be used."""
        line = decode(raw)
        try:
            take = self._TAKERS.get(line["k"])
            if take is None:
                # A later version's.
                text_of(line["k"])
                return
            take(self, line, (self._campaign, self._epoch, place, line["t"]))
        except MISSHAPEN as problem:
            raise LedgerDamaged(
                f"a line of kind {line['k']!r} lacks or misstates {problem}"
            ) from problem
        self.count += 1

    def _case_number(self, case: str) -> int:
        number = self._numbers.get(case)
        if number is None:
            # By the name that the store gives back: under its own, the next ingest would find none.
            case = as_stored(text_of(case))
            number = self._numbers.get(case)
        if number is None:
            number = self._numbers[case] = self.names.case_count
            self.names.case_count += 1
        return number

    def _worker_number(self, campaign: int, worker: str, incarnation: str) -> int:
        workers = self.names.workers
        number = workers.get((campaign, worker, incarnation))
        if number is None:
            life = (campaign, as_stored(text_of(worker)), as_stored(text_of(incarnation)))
            number = workers.setdefault(life, len(workers))
        return number

    def _attempt(self, line: Line, at: Row) -> None:
        # The hot path: a million of these are nothing unusual, so no calls that can be spared.
        get = line.get
        campaign, epoch, place, _ = at
        case, outcome, name = line["case"], line["outcome"], line["id"]
        started, finished = line["started"], line["finished"]
        if outcome not in _OUTCOMES or name.__class__ is not str:
            raise ValueError(outcome, name)
        if outcome == _CANCELLED and is_no_execution(line):
            self._left_out(case, line["message"], at)
            return
        use = (get("usage") or _EMPTY).get
        output_epoch, output_offset, output_length = get("output") or _NO_OUTPUT
        number = self._numbers.get(case)
        of = (campaign, self._case_number(case) if number is None else number, epoch, place, name)
        worker = get("worker")
        life = self._worker_number(campaign, worker, get("incarnation", "")) if worker else -1
        row = (
            *of, outcome, started, finished, use("wall") or max(0.0, finished - started),
            use("cpu", 0.0), use("peak", 0), use("read", 0), use("write", 0), use("gpu"),
            use("gpu_memory"), use("setup", 0.0), use("call", 0.0), use("teardown", 0.0),
            use("shared", 0.0), life, get("slot", 0), get("batch", ""), get("message", ""),
            output_epoch, output_offset, output_length,
        )  # fmt: skip
        if "properties" in line or "notes" in line:
            # Together or not at all: a line is taken whole.
            properties = [(*of, finished, *metric_of(*each)) for each in get("properties") or ()]
            notes = [(*of, text) for text in get("notes") or ()]
            self.metrics.extend(properties)
            self.attempt_notes.extend(notes)
        self.attempts.append(row)

    def _case(self, line: Line, at: Row) -> None:
        campaign, epoch, place, _ = at
        needs, tags = line.get("needs"), line.get("tags")
        # They stand in the case's own row, which belongs to all its campaigns.
        kind = text_of(line["group"]), text_of(line.get("kind", "pytest"))
        case = self._case_number(line["id"])
        self.names.kinds[case] = kind
        self.campaign_cases.append((
            campaign, case, epoch, place, line["index"], *(_needs(needs) if needs else _NO_NEEDS),
            line.get("timeout"), json_text(tags) if tags else "[]",
        ))  # fmt: skip

    def _amend(self, line: Line, at: Row) -> None:
        campaign, epoch, place, when = at
        if line["outcome"] not in _OUTCOMES:
            raise ValueError(line["outcome"])
        output_epoch, output_offset, output_length = line.get("output") or _NO_OUTPUT
        self.amendments.append((
            campaign, self._case_number(line["case"]), epoch, place, when,
            line.get("attempt", ""), line["outcome"], line["message"], output_epoch,
            output_offset, output_length,
        ))  # fmt: skip

    def _case_event(self, line: Line, at: Row) -> None:
        campaign, epoch, place, _ = at
        case = self._case_number(line["case"])
        self.case_events.append((campaign, case, epoch, place, line["k"], line.get("reason", "")))

    def _unmet(self, line: Line, at: Row) -> None:
        self._left_out(line["case"], line["reason"], at)

    def _left_out(self, case: str, reason: str, at: Row) -> None:
        campaign, epoch, place, _ = at
        number = self._case_number(case)
        self.case_events.append((campaign, number, epoch, place, UNMET, reason))

    def _batch(self, line: Line, at: Row) -> None:
        cases = len(line["cases"])
        self.batches.append((
            *at, line["batch"], line["worker"], line.get("slot", 0), cases, line.get("why", ""),
        ))  # fmt: skip

    def _worker(self, line: Line, at: Row) -> None:
        name, incarnation = line["worker"], line.get("incarnation", "")
        facts = line.get("facts")
        if facts:
            # Its row belongs to all its attempts: what cannot stand there is found here.
            row = worker_row(0, (at[0], name, incarnation), facts)
            for why in frame_of([row], columns.WORKERS)[1].values():
                raise ValueError(why)
        life = self._worker_number(at[0], name, incarnation)
        if facts:
            self.names.facts[life] = facts
        self.worker_events.append((*at, life, line["event"], line.get("reason") or ""))

    def _note(self, line: Line, at: Row) -> None:
        self.notes.append((*at, line["level"], line["text"]))

    def _phase(self, line: Line, at: Row) -> None:
        self.phases.append((*at, line["phase"]))

    def _plan(self, line: Line, at: Row) -> None:
        get = line.get
        self.plans.append((
            *at, get("slots", 0), get("predicted_makespan"), get("lower_bound"), get("known", 0),
            get("unknown", 0),
        ))  # fmt: skip

    def _open(self, line: Line, at: Row) -> None:
        if line["epoch"] != at[1]:
            raise ValueError(f"its epoch {line['epoch']}")
        predecessors_of(line)
        get = line.get
        self.openings.append((
            *at, line["campaign"], get("name", ""), get("root", ""), get("project", ""),
            json_text(get("command", ())), json_text(get("settings", {})), get("host", ""),
            get("pid"), get("commit") or "", json_text(get("environment") or {}),
            get("branch") or "",
        ))  # fmt: skip

    def _close(self, line: Line, at: Row) -> None:
        get = line.get
        self.closes.append((
            *at, closed_state(line), line["exit_code"], get("makespan", 0.0),
            get("lower_bound", 0.0), get("slots", 0), json_text(get("counts", {})),
        ))  # fmt: skip

    # Of the class, not of each instance: that would be a cycle, and ingest collects none.
    _TAKERS: ClassVar[Mapping[str, Callable[[Any, Line, Row], None]]] = {
        "attempt": _attempt,
        "case": _case,
        "batch": _batch,
        "amend": _amend,
        "vanished": _case_event,
        "muted": _case_event,
        "unmet": _unmet,
        "worker": _worker,
        "note": _note,
        "phase": _phase,
        "plan": _plan,
        "open": _open,
        "close": _close,
    }


def text_of(value: object) -> str:
    """What has to be a text, in rows that nobody looks at again."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} in place of a text")
    return value


def worker_row(number: int, life: tuple[int, str, str], facts: Line | None) -> Row:
    """A worker as it described itself, or as little as is known of it."""
    campaign, name, incarnation = life
    get = (facts or _EMPTY).get
    return (
        number, campaign, name, incarnation, get("worker_class", ""), get("slots"), get("cpu"),
        get("memory_bytes"), get("gpu", 0.0), json_text(get("tags", ())), get("host", ""),
        bool(get("simulated_gpu", False)),
    )  # fmt: skip


def case_row(number: int, project: int, case: str, kind: tuple[str, str] | None) -> Row:
    """A case by its own line, or by what its id lets guess."""
    file, what = kind or (case.partition("::")[0], "pytest")
    return (number, project, case, file, function_of(case), what)


def metric_of(name: str, value: object) -> Row:
    """A recorded value: a number, a text, or a JSON object that says its unit and direction."""
    unit = better = ""
    if isinstance(value, str) and value.startswith("{"):
        told = _object(value)
        if "value" in told:
            value, unit, better = told["value"], told.get("unit") or "", told.get("better") or ""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return (name, float(value), "", str(unit), str(better))
    return (name, None, str(value), str(unit), str(better))


def _object(text: str) -> dict[str, Any]:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        # It knows NaN and Infinity, which JSON has no word for.
        return json.loads(text)
    except (ValueError, RecursionError):
        return {}


def _needs(told: Mapping[str, Any]) -> Row:
    get = told.get
    tags = get("tags")
    return (
        get("cpu", 1.0), get("memory_bytes", 0), get("gpu", 0.0), json_text(tags) if tags else "[]",
    )  # fmt: skip


def json_text(value: object) -> str:
    """As JSON, in one spelling."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # A lone surrogate, such as of a file's name, which the standard library writes as escape.
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
