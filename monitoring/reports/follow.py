"""A running campaign, followed from outside: its journal told to a view as it grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...infra.codec import attempt_from_json, case_from_json
from ...infra.ledgers.epochs import CampaignFollower
from ...infra.records import Case
from .live import LiveView


class Follower:
    """Reads what is new in a campaign's directory and tells it to a view."""

    def __init__(self, directory: Path, view: LiveView) -> None:
        self._journals = CampaignFollower(directory)
        self._view = view
        self._cases: dict[int, Case] = {}
        self._indices: dict[str, int] = {}
        # Cases of each batch that have no attempt yet, the running one first.
        self._batches: dict[tuple[int, str], list[int]] = {}
        self.closed = False

    def poll(self) -> bool:
        """Take in what is new; whether there was anything."""
        total = len(self._cases)
        lines = self._journals.poll()
        for epoch, line in lines:
            # A campaign that was resumed goes on in a new file: it has not ended after all.
            self.closed = line["k"] == "close"
            self._tell(epoch, line)
        if len(self._cases) != total:
            self._view.cases(len(self._cases))
        return bool(lines)

    def _tell(self, epoch: int, line: Mapping[str, Any]) -> None:
        match line["k"]:
            case "case":
                case = case_from_json(line)
                self._cases[case.index] = case
                self._indices[case.id] = case.index
            case "vanished":
                self._cases.pop(self._indices.get(line["case"], -1), None)
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
