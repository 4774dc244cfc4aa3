"""A campaign's ledger: the one writer, and the doors to everything that reads it.

What a campaign found out counts once `commit` returned without `LeaseLost`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..codec import attempt_to_json, case_to_json, facts_to_json, output_to_json
from ..errors import StateUnwritable
from ..provenance import UNKNOWN, Revision
from ..records import Attempt, Case, Outcome, OutputRef, WorkerFacts
from .append_file import AppendFile, unwritable
from .campaigns import CampaignSummary, find_campaign, list_campaigns
from .epochs import CampaignFollower, accepted_bytes, complete_bytes, ledger_path, output_path
from .journal import Journal, JournalFollower, JournalReader
from .lease import TTL_SECONDS, Lease
from .lines import UNMET
from .output_text import encode_text, read_output
from .record import CampaignRecord, read_campaign

__all__ = [
    "CampaignFollower",
    "CampaignRecord",
    "CampaignSummary",
    "JournalFollower",
    "JournalReader",
    "Ledger",
    "find_campaign",
    "list_campaigns",
    "read_campaign",
    "read_output",
]

SCHEMA = 1

Text = Sequence[tuple[str, str]]


class Ledger:
    """The writer of one campaign, for as long as it holds the lease. Used from one thread."""

    def __init__(
        self, lease: Lease, *, journal: Journal, output: AppendFile, predecessors: dict[int, int]
    ) -> None:
        self._lease = lease
        self._journal = journal
        self._output = output
        self.predecessors = predecessors
        self._closed = False

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        campaign: str,
        name: str = "",
        root: str = "",
        project: str = "",
        command: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        revision: Revision = UNKNOWN,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        ttl: float = TTL_SECONDS,
    ) -> Ledger:
        """Take the campaign over from whoever wrote it before, and say so in the first line."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise unwritable(directory, problem) from problem
        lease = Lease.acquire(directory, clock=clock, ttl=ttl)
        try:
            # In this order: what the predecessor writes after this lease exists need not count.
            predecessors = _accept(directory)
            ledger = cls(
                lease,
                journal=Journal(ledger_path(directory, lease.epoch), clock=clock),
                output=AppendFile(output_path(directory, lease.epoch), keeps_lines=False),
                predecessors=predecessors,
            )
            ledger.write(
                "open",
                schema=SCHEMA,
                campaign=campaign,
                epoch=lease.epoch,
                name=name,
                root=root,
                project=project,
                command=list(command),
                settings=dict(settings or {}),
                commit=revision.commit,
                branch=revision.branch,
                environment=dict(environment or {}),
                predecessors={str(epoch): size for epoch, size in predecessors.items()},
                pid=os.getpid(),
                host=socket.gethostname(),
            )
            ledger.commit()
        except BaseException:
            lease.release()
            raise
        lease.keep()
        return ledger

    @property
    def epoch(self) -> int:
        return self._lease.epoch

    @property
    def directory(self) -> Path:
        return self._lease.directory

    # Writing --------------------------------------------------------------------------------

    def write(self, kind: str, **fields: Any) -> None:
        """Buffer one line; it counts with the next commit."""
        self._journal.append(kind, fields)

    def case(self, case: Case) -> None:
        self._journal.append("case", case_to_json(case))

    def vanished(self, case: Case, *, reason: str) -> None:
        """The case was announced, but is not there after all."""
        self.write("vanished", case=case.id, reason=reason)

    def unselected(self, cases: Sequence[str] | None) -> None:
        """All is found; these cases are there and were not asked for. None: too many to say."""
        if cases is not None:
            self.write("unselected", cases=list(cases))

    def unmet(self, case: Case, *, reason: str) -> None:
        """No worker, here or expected, has what the case needs: this writer leaves it out."""
        self.write(UNMET, case=case.id, reason=reason)

    def attempt(self, attempt: Attempt, text: Text = ()) -> Attempt:
        """Buffer an attempt with its text; the attempt that comes back says where that stands."""
        if text:
            attempt = replace(attempt, output=self._keep_text(text))
        self._journal.append("attempt", attempt_to_json(attempt))
        return attempt

    def broken(self, attempt: Attempt, text: Text) -> None:
        """A file that could not be collected, for which the whole campaign ends."""
        attempt = replace(attempt, output=self._keep_text(text))
        self._journal.append("broken", attempt_to_json(attempt))

    def amend(
        self,
        *,
        case: str,
        outcome: Outcome | str,
        message: str,
        attempt: str = "",
        text: Text = (),
    ) -> None:
        """A worse outcome of an attempt that is written already, by default the case's last."""
        fields: dict[str, Any] = {
            "case": case,
            "attempt": attempt,
            "outcome": str(outcome),
            "message": message,
        }
        if text:
            fields["output"] = output_to_json(self._keep_text(text))
        self._journal.append("amend", fields)

    def worker(self, facts: WorkerFacts, *, event: str, reason: str = "") -> None:
        self.write(
            "worker",
            worker=facts.name,
            incarnation=facts.incarnation,
            event=event,
            facts=facts_to_json(facts) if event == "joined" else None,
            reason=reason,
        )

    def muted(self, case: str, *, reason: str) -> None:
        self.write("muted", case=case, reason=reason)

    # Making it count ------------------------------------------------------------------------

    def commit_if_due(self) -> None:
        """Commit if the last one is long enough ago."""
        if self._journal.is_due:
            self.commit()

    def commit(self) -> None:
        """Return once everything so far counts; raise `LeaseLost` if it cannot any more."""
        self._check()
        try:
            # Text first: no line may name text that is not there.
            self._output.sync()
            self._journal.commit()
        except StateUnwritable as problem:
            # Another place would not hold what this campaign has done so far.
            raise StateUnwritable(
                problem.message,
                remedy=f"mend that, and `proctor resume {self.directory.name}` goes on from here",
            ) from problem
        # Whoever came meanwhile may have measured the file before these lines were in it.
        self._check()

    def close(self) -> None:
        """Commit, and let the next one in."""
        if self._closed:
            return
        try:
            self.commit()
        finally:
            self._end()

    def abandon(self) -> None:
        """Stop without committing; what is committed stands."""
        if not self._closed:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Small things ---------------------------------------------------------------------------

    def _check(self) -> None:
        self._lease.check()

    def _keep_text(self, text: Text) -> OutputRef:
        offset = self._output.end
        self._output.append(encode_text(text))
        return OutputRef(epoch=self.epoch, offset=offset, length=self._output.end - offset)

    def _end(self) -> None:
        self._closed = True
        self._lease.release()
        self._journal.close()
        self._output.close()


def _accept(directory: Path) -> dict[int, int]:
    """What of the earlier epochs counts from now on."""
    return {
        epoch: complete_bytes(ledger_path(directory, epoch)) if size is None else size
        for epoch, size in accepted_bytes(directory).items()
    }
