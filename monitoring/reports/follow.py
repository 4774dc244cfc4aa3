"""A running campaign, followed from outside: its journal told to a view as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console

from ...infra.codec import MISSHAPEN, attempt_from_json, case_from_json
from ...infra.dispatching.batches import Rules
from ...infra.errors import LedgerDamaged
from ...infra.ledgers.epochs import CampaignFollower, accepted_bytes, read_open
from ...infra.records import Case
from ...infra.scaling.demand import DEMAND_FILE, read_demand
from .live import LiveView
from .wording import printable

# What a line that was damaged, or written by another version, may make of whoever takes it in.
_MISSHAPEN = (LedgerDamaged, *MISSHAPEN)


def view_of(
    directory: Path,
    console: Console | None = None,
    *,
    wall_clock: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> LiveView:
    """A view of a campaign that began before anybody looked: its times and retries are its own."""
    opened = _open_line(directory)
    return LiveView(
        console,
        rules=_rules(_mapping(_mapping(opened.get("settings")).get("rules"))),
        began=clock() - _seconds_since(opened, wall_clock()),
        clock=clock,
    )


def seconds_since_open(directory: Path, now: float) -> float:
    """How long whoever runs the campaign now has done so."""
    return _seconds_since(_open_line(directory), now)


def _seconds_since(opened: Mapping[str, Any], now: float) -> float:
    at = opened.get("t")
    return max(0.0, now - at) if isinstance(at, int | float) else 0.0


def _open_line(directory: Path) -> Mapping[str, Any]:
    epochs = accepted_bytes(directory)
    return (read_open(directory, max(epochs)) if epochs else None) or {}


def _mapping(given: Any) -> Mapping[str, Any]:
    """Of a line that is damaged, what should be an object may be anything."""
    return given if isinstance(given, dict) else {}


def _rules(given: Mapping[str, Any]) -> Rules:
    """Those that are there; another version may have others, and a damaged line anything."""
    names = [each.name for each in fields(Rules)]
    return Rules(**{name: given[name] for name in names if isinstance(given.get(name), int)})


class Follower:
    """Reads what is new in a campaign's directory and tells it to a view."""

    def __init__(self, directory: Path, view: LiveView) -> None:
        self._directory = directory
        self._journals = CampaignFollower(directory)
        self._view = view
        self._cases: dict[int, Case] = {}
        self._indices: dict[str, int] = {}
        self._ran: set[int] = set()
        # Cases of each batch that have no attempt yet, the running one first.
        self._batches: dict[tuple[int, str], list[int]] = {}
        self._epoch = 0
        # When the campaign last said how much work it has left, and how much that was.
        self._told: tuple[float, float] = (0.0, 0.0)
        self._has_caught_up = False
        self._is_damage_told = False
        self.closed = False

    @property
    def bytes_read(self) -> int:
        return sum(self._journals.offsets.values())

    def poll(self) -> bool:
        """Take in what is new; whether there was anything."""
        total = len(self._cases)
        lines = self._journals.poll()
        for epoch, line in lines:
            # A campaign that was resumed goes on in a new file: it has not ended after all.
            self.closed = line["k"] == "close"
            try:
                self._tell(epoch, line)
            except _MISSHAPEN as problem:
                self._tell_damage(f"a line of kind {line['k']!r}: {problem}")
        if self._journals.problems:
            self._tell_damage(str(self._journals.problems[0]))
        left = self._work_left()
        # What ran long before the campaign said how much is left is no part of that: whoever
        # joins late has taken in all of it by the first poll that brings nothing.
        first_quiet = not lines and not self._has_caught_up
        self._has_caught_up |= first_quiet
        if len(self._cases) != total or left != self._told or first_quiet:
            self._told = left
            self._view.cases(len(self._cases), left[1])
        return bool(lines)

    def _tell_damage(self, what: str) -> None:
        """Once: a look at the rest goes on, and who reads the whole record tells of each."""
        if not self._is_damage_told:
            self._is_damage_told = True
            told = "the journal is damaged, what is shown may lack something"
            self._view.note(f"{told}: {printable(what)}")

    def _work_left(self) -> tuple[float, float]:
        """What its process predicts; what another one had said before it counts no more."""
        demand = read_demand(self._directory / DEMAND_FILE)
        if demand is None or demand.epoch != self._epoch:
            return 0.0, 0.0
        return demand.at, demand.work_seconds

    def _tell(self, epoch: int, line: Mapping[str, Any]) -> None:
        match line["k"]:
            case "open":
                if self._epoch:
                    self._view.taken_over()
                self._epoch = epoch
            case "case":
                case = case_from_json(line)
                self._cases[case.index] = case
                self._indices[case.id] = case.index
            case "vanished":
                index = self._indices.get(line["case"], -1)
                # One that ran is there, whatever a later look at its file said.
                if index not in self._ran:
                    self._cases.pop(index, None)
            case "phase":
                self._view.phase(line["phase"])
            case "batch":
                self._batches[epoch, line["batch"]] = list(line["cases"])
                self._begin((epoch, line["batch"]), (line["worker"], line["slot"]))
            case "attempt":
                self._attempt(line)
            case "amend":
                self._view.note(f"{line['case']}: {line['outcome']} afterwards: {line['message']}")
            case "worker" if line["event"] in {"lost", "suspected"}:
                self._view.note(f"worker {line['worker']} {line['event']}: {line['reason']}")
            case "note":
                self._view.note(line["text"])
            case _:
                pass

    def _attempt(self, line: Mapping[str, Any]) -> None:
        attempt = attempt_from_json(line)
        index = self._indices.get(attempt.case)
        case = None if index is None else self._cases.get(index)
        if case is None:
            return
        self._ran.add(case.index)
        self._view.attempt(case, attempt)
        batch = (attempt.epoch, attempt.batch)
        waiting = self._batches.get(batch, [])
        if case.index in waiting:
            waiting.remove(case.index)
        self._begin(batch, (attempt.worker, attempt.slot))

    def _begin(self, batch: tuple[int, str], slot: tuple[str, int]) -> None:
        # The journal does not say what runs. A batch runs in order, so its first open case does.
        waiting = self._batches.get(batch)
        case = self._cases.get(waiting[0]) if waiting else None
        if case is not None:
            self._view.running(case, slot)
