"""Writes what was read into the store, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..infra.errors import LedgerDamaged
from ..infra.ledgers.epochs import ledger_path
from ..infra.ledgers.journal import located
from . import ingest_columns as columns
from .frames import Columns, Frame, Row, frame_of, registered
from .ingest_knowledge import Knowledge
from .ingest_lines import CampaignLines, case_row, worker_row
from .ingest_reading import Problem, Reading, Written
from .ingest_recorders import TABLES
from .named_sql import load_sql
from .store import Connection
from .store_schema import transaction

# Of a row of attempts or of a campaign's cases.
_CAMPAIGN = itemgetter(0)
_CAMPAIGN_AND_CASE = itemgetter(0, 1)
_CAMPAIGN_AND_ATTEMPT = itemgetter(0, 4)

Numbers = NDArray[np.int64] | NDArray[np.float64]


class Writer:
    """Gives numbers and writes rows; lives as long as its connection.

    `campaign` belongs to whoever reads, `write` to whoever writes: one thread each.
    """

    def __init__(self, connection: Connection, knowledge: Knowledge) -> None:
        self._connection = connection
        self._sql = load_sql("ingest.sql")
        numbers = self._ask("highest-numbers")[0]
        self._last_campaign, self._last_project, self._last_case, self._last_worker = numbers
        self._projects: dict[str, int] = dict(self._ask("known-projects"))
        # Campaign to its name and project's number.
        self._campaigns: dict[int, tuple[str, int]] = {}
        self._numbers: dict[str, int] = {}
        # Numbers that were looked up or given already.
        self._cases: dict[int, dict[str, int]] = {}
        self._workers: dict[int, dict[tuple[str, str], int]] = {}
        # Campaigns that have rows already.
        self._begun: set[int] = set()
        for known in knowledge.campaigns.values():
            self._campaigns[known.number] = (known.name, self._projects[known.project])
            self._numbers[known.name] = known.number
            self._begun.add(known.number)

    def campaign(self, reading: Reading, name: str, project: str) -> int:
        """The number of a campaign, given at first sight."""
        number = self._numbers.get(name)
        if number is None:
            self._last_campaign = number = self._last_campaign + 1
        project_number = self._projects.get(project)
        if project_number is None:
            self._last_project = project_number = self._last_project + 1
            self._projects[project] = project_number
            reading.projects.append((project_number, project))
        self._campaigns[number] = (name, project_number)
        self._numbers[name] = number
        return number

    def project_of(self, campaign: int) -> int:
        """The number of a campaign's project."""
        return self._campaigns[campaign][1]

    def write(self, reading: Reading) -> Written:
        """All of it, or nothing."""
        with transaction(self._connection):
            return self._write(reading)

    def sort(self, at_least: int) -> None:
        """Copy attempts of finished campaigns in the order of cases, when there are enough."""
        if self._ask("unsorted-attempts")[0][0] >= at_least:
            with transaction(self._connection):
                self._run("sort-history")

    # One transaction ------------------------------------------------------------------------

    def _write(self, reading: Reading) -> Written:
        lines = reading.lines
        problems = list(reading.problems)
        if reading.forgotten:
            rows = [(number,) for number in reading.forgotten]
            self._run("forget-campaigns", forgotten=_sound(rows, columns.NUMBERS))
            for number in reading.forgotten:
                self._begun.discard(number)
                self._workers.pop(number, None)
        if reading.forgotten_files:
            files = [(None, None, file, 0, 0) for file in reading.forgotten_files]
            self._run("forget-files", forgotten=_sound(files, columns.JOURNALS))
        self._add("add-projects", "new_projects", reading.projects, columns.PROJECTS)
        cases = self._resolve_cases(lines)
        workers = self._resolve_workers(lines)
        for table, rows, shape in (
            ("openings", lines.openings, columns.OPENINGS),
            ("phases", lines.phases, columns.PHASES),
            ("plans", lines.plans, columns.PLANS),
            ("closes", lines.closes, columns.CLOSES),
            ("notes", lines.notes, columns.NOTES),
            ("batches", lines.batches, columns.BATCHES),
        ):
            self._insert(table, self._frame(rows, shape, problems))
        frame = self._frame(lines.worker_events, columns.WORKER_EVENTS, problems)
        frame["worker_no"] = workers[frame["worker_no"]]
        self._insert("worker_events", frame)
        attempts = self._write_cases(lines, cases, workers, problems)
        for table, rows in reading.recorded.rows.items():
            frame, bad = frame_of(rows, TABLES[table])
            for number, why in bad.items():
                file, place = rows[number][0], rows[number][1]
                problems.append(_misfit(None, str(file), place, why))
            self._insert(table, frame)
        self._refresh(reading.standing)
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
                for file, (campaign, epoch, offset, seen) in reading.offsets.items()
            ],
            columns.JOURNALS,
        )
        self._begun.update(reading.standing)
        return Written(attempts=attempts, problems=tuple(problems))

    def _write_cases(
        self, lines: CampaignLines, cases: Numbers, workers: Numbers, problems: list[Problem]
    ) -> int:
        """Attempts and what belongs to them, and the verdicts they change."""
        dropped = self._repeated(lines.attempts, problems)
        executed = _without(lines.attempts, dropped)
        attempts = self._frame(executed, columns.ATTEMPTS, problems, dropped)
        attempts["worker_no"] = workers[attempts["worker_no"]]
        metrics = _without(lines.metrics, dropped)
        notes = _without(lines.attempt_notes, dropped)
        frames = {
            "new_attempts": attempts,
            "new_campaign_cases": self._frame(
                lines.campaign_cases, columns.CAMPAIGN_CASES, problems
            ),
            "new_case_events": self._frame(lines.case_events, columns.CASE_EVENTS, problems),
            "new_amendments": self._frame(lines.amendments, columns.AMENDMENTS, problems),
            "new_attempt_notes": self._frame(notes, columns.ATTEMPT_NOTES, problems),
            "new_metrics": self._frame(metrics, columns.METRICS, problems),
        }
        for frame in frames.values():
            frame["case_no"] = cases[frame["case_no"]]
        again = self._are_repeated(lines.campaign_cases)
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
            if lines.amendments:
                self._run("resolve-amendments")
                for campaign, epoch, place in self._ask("orphaned-amendments"):
                    text = "it amends an attempt that is not recorded"
                    problems.append(self._problem(campaign, epoch, place, "orphan", text))
                self._run("apply-amendments")
            if any(len(frame["place"]) for frame in frames.values()):
                self._run("judge")
        return len(attempts["place"])

    def _are_repeated(self, cases: Sequence[Row]) -> bool:
        """Whether a campaign announces what it may have announced before."""
        return len(set(map(_CAMPAIGN_AND_CASE, cases))) < len(cases) or (
            not self._begun.isdisjoint(map(_CAMPAIGN, cases))
        )

    def _repeated(self, rows: Sequence[Row], problems: list[Problem]) -> set[tuple[int, int, int]]:
        """Where attempts stand that were recorded before: the first record counts."""
        again: list[Row] = []
        if len(set(map(_CAMPAIGN_AND_ATTEMPT, rows))) < len(rows):
            told: dict[tuple[int, str], str] = {}
            for row in rows:
                key = (row[0], row[4])
                if key in told:
                    again.append((row[0], row[2], row[3], row[4], told[key], row[5]))
                told.setdefault(key, row[5])
        if not self._begun.isdisjoint(map(_CAMPAIGN, rows)):
            arrived = [
                (row[0], row[2], row[3], row[4], row[5]) for row in rows if row[0] in self._begun
            ]
            again += self._ask("repeated-attempts", arrived=self._frame(arrived, columns.ARRIVED))
        for campaign, epoch, place, attempt, known, outcome in again:
            if known != outcome:
                text = f"attempt {attempt} is recorded as {known} and again as {outcome}"
                problems.append(self._problem(campaign, epoch, place, "contradiction", text))
        return {(campaign, epoch, place) for campaign, epoch, place, *_ in again}

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

    def _resolve_cases(self, lines: CampaignLines) -> Numbers:
        """The store's numbers of the cases in these lines; new ones get theirs."""
        numbers = np.empty(lines.case_count, dtype=np.int64)
        rows: list[Row] = []
        for project, cases in lines.cases.items():
            known = self._cases.setdefault(project, {})
            unknown = [(project, case) for case in cases if case not in known]
            if unknown:
                wanted, _ = frame_of(unknown, columns.WANTED)
                known.update(self._ask("find-cases", wanted=wanted))
            for case, local in cases.items():
                number = known.get(case)
                if number is None:
                    self._last_case = number = known[case] = self._last_case + 1
                    rows.append(case_row(number, project, case, lines.kinds.get(local)))
                numbers[local] = number
        self._add("add-cases", "new_cases", rows, columns.CASES)
        return numbers

    def _resolve_workers(self, lines: CampaignLines) -> Numbers:
        """The store's numbers of the workers in these lines, and none for -1."""
        rows: list[Row] = []
        numbers: list[float] = []
        for life, local in lines.workers.items():
            campaign, name, incarnation = life
            known = self._workers_of(campaign)
            number = known.get((name, incarnation))
            facts = lines.facts.get(local)
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

    def _frame(
        self,
        rows: Sequence[Row],
        shape: Columns,
        problems: list[Problem] | None = None,
        dropped: set[tuple[int, int, int]] | None = None,
    ) -> Frame:
        """The rows as columns; what cannot stand in them is a problem, and noted as dropped."""
        frame, bad = frame_of(rows, shape)
        at_epoch = list(shape).index("epoch")
        for number, why in bad.items():
            campaign, (epoch, place) = rows[number][0], rows[number][at_epoch : at_epoch + 2]
            if problems is not None:
                problems.append(self._problem(campaign, epoch, place, "damaged", why))
            if dropped is not None:
                dropped.add((campaign, epoch, place))
        return frame

    def _problem(self, campaign: int, epoch: int, place: int, kind: str, why: str) -> Problem:
        path = ledger_path(Path("campaigns") / self._campaigns[campaign][0], epoch)
        told = _misfit(campaign, path.as_posix(), place, why)
        return Problem(campaign, told.file, place, kind, told.text)


def _misfit(campaign: int | None, file: str, place: int, why: str) -> Problem:
    told = located(LedgerDamaged(why), Path(file), place)
    return Problem(campaign, file, place, "damaged", str(told))


def _without(rows: list[Row], places: Collection[tuple[int, int, int]]) -> list[Row]:
    """The rows that do not stand at these places."""
    if not places:
        return rows
    return [row for row in rows if (row[0], row[2], row[3]) not in places]


def _sound(rows: Sequence[Row], shape: Columns) -> Frame:
    """Rows of our own making."""
    return frame_of(rows, shape)[0]
