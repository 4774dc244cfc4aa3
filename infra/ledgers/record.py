"""Everything a campaign's ledger says, read back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from ..codec import MISSHAPEN, attempt_from_json, case_from_json, output_from_json
from ..errors import LedgerDamaged, UnknownCampaign
from ..records import Attempt, Case, Outcome
from .epochs import accepted_bytes, ledger_path
from .journal import JournalReader, Line, located
from .lease import lease_path, newest_holder
from .lines import (
    STOPPED,
    Amendment,
    Close,
    Header,
    MovedCases,
    Note,
    PlanFacts,
    SentBatch,
    Unmet,
    WorkerEvent,
    batch_of,
    close_of,
    header_of,
    is_no_execution,
    move_of,
    plan_of,
    unmet_of,
    worker_event_of,
)
from .output_text import Sections, read_output

__all__ = [
    "CampaignRecord",
    "MovedCases",
    "SentBatch",
    "Unmet",
    "WorkerEvent",
    "read_campaign",
    "seconds_worked",
    "state_of",
]

# The year 9999: later moments cannot be shown.
_LATEST = 253_402_300_799.0


@dataclass(slots=True, kw_only=True)
class CampaignRecord:
    """A campaign as its ledger tells it; grows line by line, and is then only read."""

    directory: Path
    # One a writer, oldest first.
    headers: list[Header] = field(default_factory=list[Header])
    # running, interrupted, completed, cancelled or failed.
    state: str = "interrupted"
    cases: dict[str, Case] = field(default_factory=dict[str, Case])
    # By case; each execution once, amendments applied, in the order they were recorded.
    attempts: dict[str, list[Attempt]] = field(default_factory=dict[str, list[Attempt]])
    amendments: dict[str, list[Amendment]] = field(default_factory=dict[str, list[Amendment]])
    # Cases that were announced and then were not there, with the reason.
    vanished: dict[str, str] = field(default_factory=dict[str, str])
    # What is there and was not asked for; None until all was found, of very many, and of earlier
    # versions.
    unselected: frozenset[str] | None = None
    muted: dict[str, str] = field(default_factory=dict[str, str])
    # By case, each time that no worker had what it needs; and with the reason those of which
    # nothing was heard since.
    unmet: dict[str, list[Unmet]] = field(default_factory=dict[str, list[Unmet]])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    # Files that the newest writer could not collect and gave up for: no cases, and yet errors.
    broken: dict[str, Attempt] = field(default_factory=dict[str, Attempt])
    workers: list[WorkerEvent] = field(default_factory=list[WorkerEvent])
    batches: list[SentBatch] = field(default_factory=list[SentBatch])
    moves: list[MovedCases] = field(default_factory=list[MovedCases])
    notes: list[Note] = field(default_factory=list[Note])
    phases: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    plan: PlanFacts | None = None
    close: Close | None = None
    # Lines that could not be used, each with its file and offset.
    problems: list[LedgerDamaged] = field(default_factory=list[LedgerDamaged])
    # Sentences about attempts that arrived twice and did not say the same.
    contradictions: list[str] = field(default_factory=list[str])
    # How much of each epoch's journal was read, and how much of it counts.
    bytes_read: dict[int, int] = field(default_factory=dict[int, int])
    # When its last line was written, and that of each epoch.
    last: float = 0.0
    lasts: dict[int, float] = field(default_factory=dict[int, float])
    _outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome], repr=False)

    @property
    def header(self) -> Header:
        """The newest writer's first line."""
        return self.headers[-1]

    @property
    def campaign(self) -> str:
        return self.header.campaign

    @property
    def started(self) -> float:
        """When its first writer began."""
        return self.headers[0].at

    @property
    def exit_code(self) -> int | None:
        return self.close.exit_code if self.close else None

    @property
    def stopped(self) -> str:
        """That its newest writer had as many failures as -x or --maxfail allow, if it had."""
        notes = (note for note in self.notes if note.text.startswith(STOPPED))
        return next((note.text for note in notes if note.at >= self.header.at), "")

    def text_of(self, attempt: Attempt) -> Sections:
        """Everything an attempt wrote, and what its amendments added."""
        refs = [attempt.output, *(each.output for each in self.amendments.get(attempt.id, ()))]
        sections: Sections = []
        for ref in refs:
            try:
                sections.extend(read_output(self.directory, ref) if ref else ())
            except LedgerDamaged as damage:
                # One lost text must not cost anyone the whole report.
                sections.append(("damaged", str(damage)))
        return sections

    # Growing --------------------------------------------------------------------------------

    def take_in(self, line: Line, *, epoch: int) -> None:
        """One accepted line, in order; raises LedgerDamaged for one it cannot use."""
        try:
            self._take_in(line, epoch)
        except MISSHAPEN as problem:
            raise LedgerDamaged(
                f"a line of kind {line['k']!r} lacks or misstates {problem}"
            ) from problem

    def settle(self) -> None:
        """After the last line: cases in collection order, and none that is not there."""
        for case in self.vanished:
            # One that ran is there, whatever a later look at its file said.
            if case not in self.attempts:
                self.cases.pop(case, None)
                self.left_out.pop(case, None)
        indexes = [case.index for case in self.cases.values()]
        if any(later < earlier for earlier, later in pairwise(indexes)):
            ordered = sorted(self.cases.values(), key=lambda case: case.index)
            self.cases = {case.id: case for case in ordered}
        self._outcomes.clear()

    def _take_in(self, line: Line, epoch: int) -> None:
        at: float = line["t"]
        if not 0 <= at <= _LATEST:
            raise ValueError(f"its time {at}")
        self.last = max(self.last, at)
        self.lasts[epoch] = at
        match line["k"]:
            case "attempt":
                if is_no_execution(line):
                    self._leave_out(unmet_of(line, epoch))
                else:
                    self._add_attempt(attempt_from_json(line))
            case "case":
                case = case_from_json(line)
                self.cases[case.id] = case
                self.vanished.pop(case.id, None)
            case "batch":
                self.batches.append(batch_of(line, epoch))
            case "move":
                self.moves.append(move_of(line, epoch))
            case "amend":
                self._amend(line)
            case "vanished":
                self.vanished[line["case"]] = line.get("reason", "")
            case "unselected":
                self.unselected = frozenset(line["cases"])
            case "broken":
                attempt = attempt_from_json(line)
                self.broken[attempt.case] = attempt
            case "muted":
                self.muted[line["case"]] = line.get("reason", "")
            case "unmet":
                self._leave_out(unmet_of(line, epoch))
            case "worker":
                self.workers.append(worker_event_of(line))
            case "note":
                self.notes.append(Note(at=at, level=line["level"], text=line["text"]))
            case "phase":
                self.phases.append((line["phase"], at))
            case "plan":
                self.plan = plan_of(line)
            case "open":
                self._open(header_of(line), epoch)
            case "close":
                self.close = close_of(line)
            case _:
                # A later version's.
                pass

    def _open(self, header: Header, epoch: int) -> None:
        if header.epoch != epoch:
            raise LedgerDamaged(f"it is of epoch {header.epoch} in the file of epoch {epoch}")
        self.headers.append(header)
        self.close = None
        # It looks for itself.
        self.broken.clear()

    def _leave_out(self, unmet: Unmet) -> None:
        self.unmet.setdefault(unmet.case, []).append(unmet)
        self.left_out[unmet.case] = unmet.reason

    def _add_attempt(self, attempt: Attempt) -> None:
        known = self._outcomes.get(attempt.id)
        if known is None:
            self._outcomes[attempt.id] = attempt.outcome
            self.left_out.pop(attempt.case, None)
            self.attempts.setdefault(attempt.case, []).append(attempt)
        elif known is not attempt.outcome:
            self.contradictions.append(
                f"attempt {attempt.id} is recorded as {known} and again as {attempt.outcome}"
            )

    def _amend(self, line: Line) -> None:
        attempts = self.attempts.get(line["case"], [])
        wanted, outcome = line.get("attempt", ""), Outcome(line["outcome"])
        output = line.get("output")
        for place in range(len(attempts) - 1, -1, -1):
            attempt = attempts[place]
            if attempt.id == wanted if wanted else attempt.outcome.is_result:
                break
        else:
            raise LedgerDamaged(f"it amends an attempt of {line['case']!r} that is not recorded")
        amendments = self.amendments.setdefault(attempt.id, [])
        if any(each.told == (outcome, line["message"]) for each in amendments):
            # A resumed campaign may hear it again from a worker.
            return
        amendments.append(
            Amendment(
                at=line["t"],
                attempt=attempt.id,
                before=attempt.outcome,
                outcome=outcome,
                message=line["message"],
                output=output_from_json(output) if output else None,
            )
        )
        # A failed call says more than the failed teardown after it.
        if not attempt.outcome.is_failure:
            attempts[place] = replace(attempt, outcome=outcome, message=line["message"])


def read_campaign(
    directory: Path, *, clock: Callable[[], float] = time.time, rereads: int = 5
) -> CampaignRecord:
    """All that counts of what the campaign's writers wrote, up to now."""
    accepted = accepted_bytes(directory)
    record = _read(directory, accepted)
    # A writer that came meanwhile may not have accepted all that was just read.
    while rereads and accepted_bytes(directory) != accepted:
        accepted = accepted_bytes(directory)
        record = _read(directory, accepted)
        rereads -= 1
    if not record.headers and record.problems:
        raise LedgerDamaged(
            record.problems[0].message,
            remedy="what was asked is lost with it: run it anew",
        )
    if not record.headers:
        raise UnknownCampaign(
            f"{directory} holds no campaign",
            remedy="`proctor list` shows those there are",
        )
    record.state = state_of(directory, record.close.state if record.close else None, clock())
    return record


def state_of(directory: Path, closed: str | None, now: float) -> str:
    """A campaign without a last word is running or was interrupted: its lease tells."""
    if closed is not None:
        return closed
    holder = newest_holder(directory)
    return "running" if holder is not None and holder.is_holding(now) else "interrupted"


def seconds_worked(record: CampaignRecord) -> float:
    """How long its writers have worked on it, without the time in which nobody did."""
    nexts = [header.at for header in record.headers[1:]] + [float("inf")]
    return sum(
        max(0.0, min(_worked_until(record, header.epoch), following) - header.at)
        for header, following in zip(record.headers, nexts, strict=True)
    )


def _worked_until(record: CampaignRecord, epoch: int) -> float:
    # While a long case runs nothing is written, and the lease is touched all the same.
    try:
        touched = lease_path(record.directory, epoch).stat().st_mtime
    except FileNotFoundError:
        touched = 0.0
    return max(touched, record.lasts[epoch])


def _read(directory: Path, accepted: Mapping[int, int | None]) -> CampaignRecord:
    record = CampaignRecord(directory=directory)
    for epoch, stop in accepted.items():
        path = ledger_path(directory, epoch)
        reader = JournalReader(path, stop=stop)
        for line in reader:
            try:
                record.take_in(line, epoch=epoch)
            except LedgerDamaged as damage:
                record.problems.append(located(damage, path, reader.begin))
        record.problems.extend(reader.problems)
        record.bytes_read[epoch] = reader.offset
    if record.headers:
        record.problems.extend(_cut_short(directory, record.header))
    record.settle()
    return record


def _cut_short(directory: Path, header: Header) -> Iterator[LedgerDamaged]:
    """Journals that are shorter than when their successor read them: a power loss may do that."""
    for epoch, size in header.predecessors.items():
        path = ledger_path(directory, epoch)
        left = path.stat().st_size if path.exists() else 0
        if left < size:
            yield LedgerDamaged(
                f"{path} has {left} bytes left of {size}",
                remedy="the other lines stand; `proctor check` tells what that changes",
            )
