"""The kinds of lines in a ledger, as the facts they tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from ..codec import facts_from_json
from ..records import Outcome, OutputRef, WorkerFacts
from .journal import Line

# A campaign that ended before anything ran, for a reason that is not the suite's.
REFUSED = "refused"
# How a writer came to go on with a campaign, where no person asked for it.
BY_ITSELF = "by itself"
# How a campaign notes that it was told to end, before the reason.
CANCELLED = "the campaign is cancelled: "
# How it notes that -x or --maxfail ended it, before the reason.
STOPPED = "the campaign stopped after "
# Or that all was to run, for nothing that failed last time was asked for.
WIDENED = "--lf: what failed last time "
# Or that no worker has what some cases need, which the next one may have.
LACKING = "not run: "
# The kind of line about a case that no worker, here or expected, could run; and what earlier
# versions wrote in place of a batch, in an attempt that never was.
UNMET = "unmet"
_USAGE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a writer said of the campaign and itself in its first line."""

    campaign: str
    epoch: int
    at: float
    name: str = ""
    root: str = ""
    project: str = ""
    command: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    host: str = ""
    pid: int = 0
    # How many bytes of each earlier epoch's journal it accepted.
    predecessors: Mapping[int, int] = field(default_factory=dict[int, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class SentBatch:
    """A batch that was sent to a slot."""

    id: str
    worker: str
    slot: int
    # Indexes of its cases.
    cases: tuple[int, ...]
    why: str
    at: float
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedCases:
    """Cases that went to another slot than the one they had been sent to."""

    # The batch they came to, and whose they were before.
    batch: str
    source: str
    worker: str
    cases: tuple[int, ...]
    why: str
    at: float
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """A case that was left out: no worker had what it needs."""

    case: str
    reason: str
    at: float
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEvent:
    """A worker joined, left, was lost or was suspected."""

    at: float
    worker: str
    incarnation: str
    event: str
    reason: str = ""
    facts: WorkerFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts:
    """What was expected before the first batch."""

    at: float
    slots: int = 0
    predicted_makespan: float | None = None
    lower_bound: float | None = None
    known: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something a person should know."""

    at: float
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """How a writer ended the campaign."""

    at: float
    state: str
    exit_code: int
    counts: Mapping[str, int]
    makespan: float = 0.0
    lower_bound: float = 0.0
    slots: int = 0
    # Why it was refused or failed as a whole, in a sentence, if it was.
    reason: str = ""
    # Where that were several problems: the first of them, and how many there were.
    problems: tuple[str, ...] = ()
    problem_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """An attempt turned out worse than it was written down first."""

    at: float
    attempt: str
    before: Outcome
    outcome: Outcome
    message: str
    output: OutputRef | None = None

    @property
    def told(self) -> tuple[Outcome, str]:
        return self.outcome, self.message


def header_of(line: Line) -> Header:
    return Header(
        campaign=line["campaign"],
        epoch=line["epoch"],
        at=line["t"],
        name=line.get("name", ""),
        root=line.get("root", ""),
        project=line.get("project", ""),
        command=tuple(line.get("command", ())),
        settings=line.get("settings", {}),
        host=line.get("host", ""),
        pid=line.get("pid", 0),
        predecessors=predecessors_of(line),
    )


def predecessors_of(line: Line) -> dict[int, int]:
    """By a writer's first line; raises what misshapen values do."""
    sizes = {int(epoch): size for epoch, size in line.get("predecessors", {}).items()}
    if any(size.__class__ is not int for size in sizes.values()):
        raise TypeError(f"the bytes {sizes}")
    return sizes


def batch_of(line: Line, epoch: int) -> SentBatch:
    return SentBatch(
        id=intern(line["batch"]),
        worker=intern(line["worker"]),
        slot=line.get("slot", 0),
        cases=tuple(line["cases"]),
        why=intern(line.get("why", "")),
        at=line["t"],
        epoch=epoch,
    )


def move_of(line: Line, epoch: int) -> MovedCases:
    return MovedCases(
        batch=line["batch"],
        source=line["source"],
        worker=line["worker"],
        cases=tuple(line["cases"]),
        why=line.get("why", ""),
        at=line["t"],
        epoch=epoch,
    )


def unmet_of(line: Line, epoch: int) -> Unmet:
    # Earlier versions had it in an attempt's message.
    reason = line["message"] if line["k"] == "attempt" else line["reason"]
    return Unmet(case=line["case"], reason=reason, at=line["t"], epoch=epoch)


def is_no_execution(line: Line) -> bool:
    """Whether an attempt is none: earlier versions wrote one where no worker could run a case."""
    return (
        line["outcome"] == Outcome.CANCELLED
        and line.get("batch") == UNMET
        and not line.get("worker")
    )


def worker_event_of(line: Line) -> WorkerEvent:
    facts = line.get("facts")
    return WorkerEvent(
        at=line["t"],
        worker=line["worker"],
        incarnation=line.get("incarnation", ""),
        event=line["event"],
        reason=line.get("reason") or "",
        facts=facts_from_json(facts) if facts else None,
    )


def plan_of(line: Line) -> PlanFacts:
    return PlanFacts(
        at=line["t"],
        slots=line.get("slots", 0),
        predicted_makespan=line.get("predicted_makespan"),
        lower_bound=line.get("lower_bound"),
        known=line.get("known", 0),
        unknown=line.get("unknown", 0),
    )


def close_of(line: Line) -> Close:
    return Close(
        at=line["t"],
        state=closed_state(line),
        exit_code=line["exit_code"],
        counts=line.get("counts", {}),
        makespan=line.get("makespan", 0.0),
        lower_bound=line.get("lower_bound", 0.0),
        slots=line.get("slots", 0),
        reason=line.get("reason", ""),
        problems=tuple(line.get("problems", ())),
        problem_count=line.get("problem_count", 0),
    )


def closed_state(line: Line) -> str:
    """What became of the campaign, by its close line."""
    # Earlier versions had no word of its own for what was refused.
    unused = line.get("exit_code") == _USAGE and set(line.get("counts", ())) <= {"not-run"}
    earlier = line["state"] == "failed" and "reason" not in line
    return REFUSED if earlier and unused else line["state"]
