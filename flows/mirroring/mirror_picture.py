"""The picture of a campaign that grows from the lines of its journal; small, and never behind.

It holds what a viewer of a running campaign wants: how far it is, what failed, which phase it is
in. The verdicts proper are judged from the whole record, once the campaign is over.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...infra.records import Outcome
from .mirror_facts import LineFacts

# A person reads the log of a run; more lines than this are in the campaign's own journal.
MOST_LINES = 300
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Who the campaign is: its latest writer's first line."""

    campaign: str
    epoch: int
    name: str
    root: str
    project: str
    command: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """How the campaign ended: its last line."""

    state: str
    exit_code: int
    counts: Mapping[str, int]
    makespan: float
    lower_bound: float
    at: float
    # The last problem that was noted, where the ending needs one.
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class Writer:
    """One process that ran the campaign, and how that ended, if it did."""

    opened: Opened
    closed: Closed | None = None
    # When it was last heard of, if it ended without a last word.
    lost: float | None = None


@dataclass(slots=True, kw_only=True)
class Phase:
    """One phase of one writer."""

    name: str
    epoch: int
    started: float
    ended: float | None = None

    @property
    def key(self) -> str:
        return f"{self.epoch}.{self.name}"


@dataclass(slots=True, kw_only=True)
class Failing:
    """A case whose last result was a failure."""

    outcome: Outcome
    message: str
    worker: str
    attempts: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class Picture:
    """What the journal says so far."""

    writers: list[Writer] = field(default_factory=list[Writer])
    phases: list[Phase] = field(default_factory=list[Phase])
    cases: set[str] = field(default_factory=set[str])
    settled: set[str] = field(default_factory=set[str])
    attempts: int = 0
    failing: dict[str, Failing] = field(default_factory=dict[str, Failing])
    flaky: set[str] = field(default_factory=set[str])
    muted: set[str] = field(default_factory=set[str])
    workers: dict[str, int] = field(default_factory=dict[str, int])
    predicted_seconds: float | None = None
    problem: str = ""
    lines: list[LineFacts] = field(default_factory=list[LineFacts])
    last: float = 0.0

    def take_in(self, line: Mapping[str, Any]) -> None:
        """One line of the journal, in order."""
        before, self.last = self.last, max(self.last, line["t"])
        if self.writers and line["k"] != "open":
            # Given up too early: it was frozen, and nobody took over.
            self.writers[-1].lost = None
        match line["k"]:
            case "open":
                self._open(line, before)
            case "phase":
                self._enter(line["phase"], line["t"])
            case "case":
                self.cases.add(line["id"])
            case "vanished":
                self.cases.discard(line["case"])
            case "plan":
                self.predicted_seconds = line.get("predicted_makespan")
            case "attempt":
                self._attempt(line)
            case "amend":
                self._settle(line["case"], Outcome(line["outcome"]), line.get("message", ""), line)
            case "worker":
                self._worker(line)
            case "muted":
                self.muted.add(line["case"])
            case "note":
                self.say(line["t"], _LEVELS.get(line["level"], logging.INFO), line["text"])
                self.problem = line["text"] if line["level"] == "error" else self.problem
            case "close":
                self._close(line)
            case _:
                # Batches, and what later versions add.
                pass

    def give_up(self) -> None:
        """Its writer is gone without a last word."""
        if self.writers and not self.is_over:
            self.writers[-1].lost = self.last
            self._end_phase(self.last)

    @property
    def opened(self) -> Opened | None:
        return self.writers[-1].opened if self.writers else None

    @property
    def closed(self) -> Closed | None:
        return self.writers[-1].closed if self.writers else None

    @property
    def is_over(self) -> bool:
        last = self.writers[-1] if self.writers else None
        return last is not None and (last.closed is not None or last.lost is not None)

    @property
    def blamed(self) -> dict[str, Failing]:
        """What fails now and counts."""
        return {case: each for case, each in self.failing.items() if case not in self.muted}

    def _open(self, line: Mapping[str, Any], before: float) -> None:
        self._end_phase(before)
        if self.writers and not self.is_over:
            self.writers[-1].lost = before
        opened = Opened(
            campaign=line["campaign"],
            epoch=line["epoch"],
            name=line.get("name") or "",
            root=line.get("root") or "",
            project=line.get("project") or "",
            command=tuple(line.get("command") or ()),
            at=line["t"],
        )
        self.writers.append(Writer(opened=opened))
        self.problem = ""
        self.workers.clear()
        if line["epoch"] > 1:
            self.say(line["t"], logging.INFO, f"resumed by writer {line['epoch']}")

    def _enter(self, phase: str, at: float) -> None:
        self._end_phase(at)
        epoch = self.opened.epoch if self.opened else 0
        # "done" is the end of the others; a phase entered twice goes on.
        if phase == "done":
            return
        for known in self.phases:
            if known.name == phase and known.epoch == epoch:
                known.ended = None
                return
        self.phases.append(Phase(name=phase, epoch=epoch, started=at))
        self.say(at, logging.INFO, f"phase {phase}")

    def _end_phase(self, at: float) -> None:
        for phase in self.phases:
            if phase.ended is None:
                phase.ended = at

    def _attempt(self, line: Mapping[str, Any]) -> None:
        self.attempts += 1
        outcome = Outcome(line["outcome"])
        if outcome.is_result:
            self.settled.add(line["case"])
            self._settle(line["case"], outcome, line.get("message", ""), line)

    def _settle(self, case: str, outcome: Outcome, message: str, line: Mapping[str, Any]) -> None:
        before = self.failing.pop(case, None)
        if outcome.is_failure:
            self.flaky.discard(case)
            self.failing[case] = Failing(
                outcome=outcome,
                message=message,
                worker=line.get("worker", ""),
                attempts=before.attempts + 1 if before else 1,
                seconds=line.get("finished", 0.0) - line.get("started", 0.0),
            )
        elif before:
            self.flaky.add(case)

    def _worker(self, line: Mapping[str, Any]) -> None:
        name, event = line["worker"], line["event"]
        if event == "joined":
            self.workers[name] = (line.get("facts") or {}).get("slots", 1)
        elif event in {"lost", "left"}:
            self.workers.pop(name, None)
        if event in {"lost", "suspected"}:
            reason = line.get("reason") or "no reason given"
            self.say(line["t"], logging.WARNING, f"worker {name} {event}: {reason}")

    def _close(self, line: Mapping[str, Any]) -> None:
        self._end_phase(line["t"])
        self.writers[-1].closed = Closed(
            state=line["state"],
            exit_code=line["exit_code"],
            counts=line.get("counts") or {},
            makespan=line.get("makespan") or 0.0,
            lower_bound=line.get("lower_bound") or 0.0,
            at=line["t"],
            reason=self.problem,
        )

    def say(self, at: float, level: int, text: str) -> None:
        """A line for the log of the run, unless it has too many."""
        if len(self.lines) < MOST_LINES:
            self.lines.append(LineFacts(at=at, level=level, text=text))
        elif len(self.lines) == MOST_LINES:
            text = "more than this is in the campaign's own journal: see `proctor show`"
            self.lines.append(LineFacts(at=at, level=logging.INFO, text=text))
