"""Writes what was read into the store, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..infra.errors import LedgerDamaged
from ..infra.ledgers.epochs import ledger_path
from ..infra.ledgers.journal import located
from . import ingest_columns as columns
from .frames import Columns, Frame, Row, frame_of, registered
from .ingest_blocks import Block, Gathered
from .ingest_knowledge import Knowledge
from .ingest_lines import Names, case_row, worker_row
from .ingest_reading import Problem, Written
from .ingest_recorders import TABLES
from .named_sql import load_sql
from .store import Connection
from .store_schema import transaction

# Tables whose rows go in as they are.
_PLAIN = ("openings", "phases", "plans", "closes", "notes", "batches")
# Where a line stands: campaign, epoch and byte.
Place = tuple[int, int, int]
_NOWHERE: frozenset[Place] = frozenset()

Numbers = NDArray[np.int64] | NDArray[np.float64]


class Writer:
    """Writes what was gathered; lives as long as its connection."""

    def __init__(self, connection: Connection, knowledge: Knowledge) -> None:
        self._connection = connection
        self._sql = load_sql("ingest.sql")
        self._last_case, self._last_worker = self._ask("highest-numbers")[0]
        # Numbers that were looked up or given already.
        self._cases: dict[int, dict[str, int]] = {}
        self._workers: dict[int, dict[tuple[str, str], int]] = {}
        # Campaign to its name and project's number.
        self._campaigns: dict[int, tuple[str, int]] = {}
        # Campaigns that have rows already.
        self._begun: set[int] = set()
        for each in knowledge.campaigns.values():
            self._campaigns[each.number] = (each.name, knowledge.projects[each.project])
            self._begun.add(each.number)

    def write(self, read: Gathered) -> Written:
        """All of it, or nothing."""
        with transaction(self._connection):
            return self._write(read)

    def sort(self, at_least: int) -> None:
        """Copy attempts of finished campaigns in the order of cases, when there are enough."""
        if self._ask("unsorted-attempts")[0][0] >= at_least:
            with transaction(self._connection):
                self._run("sort-history")

    # One transaction ------------------------------------------------------------------------

    def _write(self, read: Gathered) -> Written:
        account = read.account
        problems = list(account.problems)
        self._campaigns.update(account.campaigns)
        if account.forgotten:
            rows = [(number,) for number in account.forgotten]
            self._run("forget-campaigns", forgotten=_sound(rows, columns.NUMBERS))
            for number in account.forgotten:
                self._begun.discard(number)
                self._workers.pop(number, None)
        if account.forgotten_files:
            files = [(None, None, file, 0, 0) for file in account.forgotten_files]
            self._run("forget-files", forgotten=_sound(files, columns.JOURNALS))
        self._add("add-projects", "new_projects", account.projects, columns.PROJECTS)
        cases = self._resolve_cases(read.names)
        workers = self._resolve_workers(read.names)
        for table in _PLAIN:
            self._insert(table, self._fitting(read.blocks[table], problems))
        frame = self._fitting(read.blocks["worker_events"], problems)
        self._insert("worker_events", {**frame, "worker_no": workers[frame["worker_no"]]})
        attempts = self._write_cases(read, cases, workers, problems)
        for table in TABLES:
            block = read.blocks[table]
            for (file, place, *_), why in block.misfits:
                problems.append(_misfit(None, str(file), place, why))
            self._insert(table, block.frame)
        self._refresh(account.standing)
        self._add(
            "add-problems",
            "new_problems",
            [(each.campaign, each.file, each.place, each.kind, each.text) for each in problems],
            columns.PROBLEMS,
        )
        self._add(
            "replace-journals",
            "new_journals",
            [
                (campaign, epoch, file, offset, seen)
                for file, (campaign, epoch, offset, seen) in account.offsets.items()
            ],
            columns.JOURNALS,
        )
        self._begun.update(account.standing)
        return Written(lines=read.lines, attempts=attempts, problems=tuple(problems))

    def _write_cases(
        self, read: Gathered, cases: Numbers, workers: Numbers, problems: list[Problem]
    ) -> int:
        """Attempts and what belongs to them, and the verdicts they change."""
        blocks = read.blocks
        dropped = self._repeated(read, problems)
        attempts = self._fitting(blocks["attempts"], problems, dropped)
        dropped |= {_place(blocks["attempts"], row) for row, _ in blocks["attempts"].misfits}
        frames: dict[str, Frame] = {
            "new_attempts": {**attempts, "worker_no": workers[attempts["worker_no"]]},
            "new_campaign_cases": self._fitting(blocks["campaign_cases"], problems),
            "new_case_events": self._fitting(blocks["case_events"], problems),
            "new_amendments": self._fitting(blocks["amendments"], problems),
            "new_attempt_notes": self._fitting(blocks["attempt_notes"], problems, dropped),
            "new_metrics": self._fitting(blocks["metrics"], problems, dropped),
        }
        for frame in frames.values():
            frame["case_no"] = cases[frame["case_no"]]
        again = self._are_repeated(frames["new_campaign_cases"])
        with registered(self._connection, **frames):
            for name, statement in (
                ("new_campaign_cases", "replace-campaign-cases" if again else "add-campaign-cases"),
                ("new_case_events", "add-case-events"),
                ("new_attempts", "add-attempts"),
                ("new_attempt_notes", "add-attempt-notes"),
                ("new_metrics", "add-metrics"),
            ):
                if len(frames[name]["place"]):
                    self._run(statement)
            if len(frames["new_amendments"]["place"]):
                self._run("resolve-amendments")
                for campaign, epoch, place in self._ask("orphaned-amendments"):
                    text = "it amends an attempt that is not recorded"
                    problems.append(self._problem(campaign, epoch, place, "orphan", text))
                self._run("apply-amendments")
            if any(len(frame["place"]) for frame in frames.values()):
                self._run("judge")
        return len(attempts["place"])

    def _are_repeated(self, cases: Frame) -> bool:
        """Whether a campaign announces what it may have announced before."""
        campaigns = cases["campaign_no"]
        if not self._begun.isdisjoint(np.unique(campaigns).tolist()):
            return True
        numbers = cases["case_no"]
        told = campaigns * (numbers.max(initial=0) + 1) + numbers
        return len(np.unique(told)) < len(told)

    def _repeated(self, read: Gathered, problems: list[Problem]) -> set[Place]:
        """Where attempts stand that were recorded before: the first record counts."""
        again = [*read.repeated]
        for arrived in self._arrived(read.blocks["attempts"]):
            if len(arrived["place"]):
                again += self._ask("repeated-attempts", arrived=arrived)
        for campaign, epoch, place, attempt, known, outcome in again:
            if known != outcome:
                text = f"attempt {attempt} is recorded as {known} and again as {outcome}"
                problems.append(self._problem(campaign, epoch, place, "contradiction", text))
        return {(campaign, epoch, place) for campaign, epoch, place, *_ in again}

    def _arrived(self, attempts: Block) -> tuple[Frame, Frame]:
        """Those of campaigns that have some already, and that do not fit among them."""
        campaigns = attempts.frame["campaign_no"]
        begun = [each for each in np.unique(campaigns).tolist() if each in self._begun]
        chosen = np.isin(campaigns, begun)
        odd = [
            (row[0], row[2], row[3], row[4], row[5])
            for row, _ in attempts.misfits
            if row[0] in self._begun
        ]
        fitting = {name: attempts.frame[name][chosen] for name in columns.ARRIVED}
        return fitting, _sound(odd, columns.ARRIVED)

    def _refresh(self, standing: dict[int, str]) -> None:
        """Figures of the campaigns with news."""
        rows = [(number, *self._campaigns[number], state) for number, state in standing.items()]
        if not rows:
            return
        with registered(self._connection, refreshed=_sound(rows, columns.STANDINGS)):
            self._run("refresh-campaigns")
            self._run("refresh-workers")
            if not self._begun.isdisjoint(standing):
                self._run("unsort")

    # Numbers --------------------------------------------------------------------------------

    def _resolve_cases(self, names: Names) -> Numbers:
        """The store's numbers of the cases with these names; new ones get theirs."""
        numbers = np.empty(names.case_count, dtype=np.int64)
        rows: list[Row] = []
        for project, cases in names.cases.items():
            known = self._cases.setdefault(project, {})
            unknown = [(project, case) for case in cases if case not in known]
            if unknown:
                wanted, _ = frame_of(unknown, columns.WANTED)
                known.update(self._ask("find-cases", wanted=wanted))
            for case, local in cases.items():
                number = known.get(case)
                if number is None:
                    self._last_case = number = known[case] = self._last_case + 1
                    rows.append(case_row(number, project, case, names.kinds.get(local)))
                numbers[local] = number
        self._add("add-cases", "new_cases", rows, columns.CASES)
        return numbers

    def _resolve_workers(self, names: Names) -> Numbers:
        """The store's numbers of these workers, and none for -1."""
        rows: list[Row] = []
        numbers: list[float] = []
        for life, local in names.workers.items():
            campaign, name, incarnation = life
            known = self._workers_of(campaign)
            number = known.get((name, incarnation))
            facts = names.facts.get(local)
            if number is None:
                self._last_worker += 1
                number = known[name, incarnation] = self._last_worker
                rows.append(worker_row(number, life, facts))
            elif facts is not None:
                rows.append(worker_row(number, life, facts))
            numbers.append(number)
        self._add("replace-workers", "new_workers", rows, columns.WORKERS)
        return np.array([*numbers, np.nan])

    def _workers_of(self, campaign: int) -> dict[tuple[str, str], int]:
        if campaign not in self._workers:
            told = self._ask("workers-of", [campaign]) if campaign in self._begun else []
            self._workers[campaign] = {(name, life): number for name, life, number in told}
        return self._workers[campaign]

    # Statements -----------------------------------------------------------------------------

    def _ask(self, name: str, parameters: Sequence[Any] = (), **frames: Frame) -> list[Row]:
        with registered(self._connection, **frames):
            # Always all of it: an unread result would hold up the next statement.
            return self._connection.execute(self._sql[name], parameters).fetchall()

    def _run(self, name: str, **frames: Frame) -> None:
        self._ask(name, (), **frames)

    def _add(self, name: str, frame: str, rows: Sequence[Row], shape: Columns) -> None:
        if rows:
            with registered(self._connection, **{frame: _sound(rows, shape)}):
                self._run(name)

    def _insert(self, table: str, frame: Frame) -> None:
        if len(frame["place"]):
            with registered(self._connection, **{f"new_{table}": frame}):
                self._run(f"add-{table.replace('_', '-')}")

    def _fitting(
        self, block: Block, problems: list[Problem], dropped: Collection[Place] = _NOWHERE
    ) -> Frame:
        """The columns but for what is dropped; what could not stand in them is a problem."""
        for row, why in block.misfits:
            place = _place(block, row)
            if place not in dropped:
                problems.append(self._problem(*place, "damaged", why))
        if not dropped:
            return dict(block.frame)
        columns_of = (block.frame[name].tolist() for name in ("campaign_no", "epoch", "place"))
        places = zip(*columns_of, strict=True)
        chosen = np.array([place not in dropped for place in places], dtype=bool)
        return {name: column[chosen] for name, column in block.frame.items()}

    def _problem(self, campaign: int, epoch: int, place: int, kind: str, why: str) -> Problem:
        path = ledger_path(Path("campaigns") / self._campaigns[campaign][0], epoch)
        told = _misfit(campaign, path.as_posix(), place, why)
        return Problem(campaign, told.file, place, kind, told.text)


def _misfit(campaign: int | None, file: str, place: int, why: str) -> Problem:
    told = located(LedgerDamaged(why), Path(file), place)
    return Problem(campaign, file, place, "damaged", str(told))


def _place(block: Block, row: Row) -> Place:
    """Where the line of a row stands."""
    at_epoch = list(block.frame).index("epoch")
    return (row[0], row[at_epoch], row[at_epoch + 1])


def _sound(rows: Sequence[Row], shape: Columns) -> Frame:
    """Rows of our own making."""
    return frame_of(rows, shape)[0]
