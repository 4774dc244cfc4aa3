"""What became of the campaigns of an experiment: valid, invalid, or unknown, which is no pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .campaigns import campaigns_directory
from .errors import ProctorError
from .fault_lease import FaultFiles, held
from .judge import BLAMED, check_invariants, judge_all
from .ledger_record import CampaignRecord, read_campaign
from .records import Judgement, Verdict

# Judged by whoever can ask the ledgers in SQL; here it is only passed over.
RECORD = "record"


class Validity(StrEnum):
    """What an experiment showed."""

    VALID = "valid"
    INVALID = "invalid"
    # It could not be seen: nothing ran, or something could not be read.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One invariant, and what was found."""

    invariant: str
    validity: Validity
    # Sentences: what violates it, or why it is unknown.
    reasons: tuple[str, ...] = ()


def overall(findings: Iterable[Finding]) -> Validity:
    """The worst of them; unknown when there are none."""
    found = {finding.validity for finding in findings}
    for worst in (Validity.INVALID, Validity.UNKNOWN, Validity.VALID):
        if worst in found:
            return worst
    return Validity.UNKNOWN


def examine(
    invariants: Sequence[str], *, state: Path, campaigns: Iterable[str]
) -> tuple[Finding, ...]:
    """Hold the invariants against the ledgers of the campaigns that ran."""
    records: list[CampaignRecord] = []
    unread: list[str] = []
    for campaign in sorted(campaigns):
        try:
            records.append(read_campaign(campaigns_directory(state) / campaign))
        except ProctorError as problem:
            unread.append(str(problem))
    return tuple(_finding(each, records, unread, state) for each in invariants if each != RECORD)


def _finding(
    invariant: str, records: Sequence[CampaignRecord], unread: Sequence[str], state: Path
) -> Finding:
    if invariant == "undone":
        reasons = [
            f"fault {lease.id} ({lease.kind} on {lease.target}) was not undone"
            for lease in held(FaultFiles(state=state))
        ]
    elif unread or not records:
        why = tuple(unread) or ("no campaign ran meanwhile",)
        return Finding(invariant=invariant, validity=Validity.UNKNOWN, reasons=why)
    else:
        find = {"ended": _open, "sound": _unsound, "none-lost": _lost, "none-blamed": _blamed}
        reasons = [reason for record in records for reason in find[invariant](record)]
    validity = Validity.INVALID if reasons else Validity.VALID
    return Finding(invariant=invariant, validity=validity, reasons=tuple(reasons))


def _open(record: CampaignRecord) -> list[str]:
    if record.close is not None and record.state == "completed":
        return []
    return [f"campaign {record.campaign} is {record.state}"]


def _unsound(record: CampaignRecord) -> list[str]:
    return [*check_invariants(record), *map(str, record.problems)]


def _lost(record: CampaignRecord) -> list[str]:
    none = (Judgement.INFRA_LOST, Judgement.NOT_RUN)
    return [
        f"{case} is {verdict.judgement}: {verdict.message}"
        for case, verdict in _verdicts(record).items()
        if verdict.judgement in none
    ]


def _blamed(record: CampaignRecord) -> list[str]:
    """For suites that pass when nothing is done to them, as those of experiments should."""
    bad = (*BLAMED, Judgement.FLAKY)
    return [
        f"{case} is {verdict.judgement}: {verdict.message}"
        for case, verdict in _verdicts(record).items()
        if verdict.judgement in bad
    ]


def _verdicts(record: CampaignRecord) -> dict[str, Verdict]:
    return judge_all(record.cases.values(), record.attempts, record.muted)
