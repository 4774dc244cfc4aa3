"""What became of the campaigns of an experiment: valid, invalid, or unknown, which is no pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..errors import ProctorError
from ..judge import BLAMED, check_invariants, judge_record
from ..ledgers.campaigns import campaigns_directory
from ..ledgers.record import CampaignRecord, read_campaign
from ..records import Judgement, Verdict
from .baseline import baseline_of
from .lease import FaultFiles, held

# Judged by whoever can ask the ledgers in SQL; here it is only passed over.
RECORD = "record"


# Of cases about which nothing can be told, so many are named.
NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long things may take, in seconds, and how often they may happen."""

    # A worker that idles while a case waits that it could run.
    wait: float = 30.0
    # How often a case may be sent and come back unbegun.
    returns: int = 20
    # Until a killed worker, and a frozen one, is given up.
    dead: float = 3.0
    frozen: float = 10.0
    # Until what a lost worker was running comes before everything else.
    recovery: float = 1.0


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
    elif invariant == "none-blamed":
        return _blamed(records, state)
    else:
        find = {"ended": _open, "sound": _unsound, "none-lost": _lost, "none-failed": _failed}
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


def _blamed(records: Sequence[CampaignRecord], state: Path) -> Finding:
    """Cases that failed though they pass when nothing is done; those that fail anyway may."""
    mine = {record.campaign for record in records}
    wrong: list[str] = []
    untold: list[str] = []
    for record in records:
        failed = _failures(record)
        baseline = baseline_of(record, state=state, without=mine) if failed else None
        for case, verdict in failed.items():
            fails = baseline.fails(case) if baseline is not None else None
            if fails is None:
                untold.append(case)
            elif not fails:
                wrong.append(f"{case} is {verdict.judgement}: {verdict.message}")
    if wrong:
        return Finding(invariant="none-blamed", validity=Validity.INVALID, reasons=tuple(wrong))
    if untold:
        return Finding(
            invariant="none-blamed", validity=Validity.UNKNOWN, reasons=(_untold(untold),)
        )
    return Finding(invariant="none-blamed", validity=Validity.VALID)


def _untold(cases: Sequence[str]) -> str:
    more = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
    return (
        f"{', '.join(cases[:NAMED])}{more} failed, and no campaign without faults tells whether"
        " they do by themselves: run the suite once without faults first"
    )


def _failed(record: CampaignRecord) -> list[str]:
    """For suites that are known to pass when nothing is done to them."""
    return [
        f"{case} is {verdict.judgement}: {verdict.message}"
        for case, verdict in _failures(record).items()
    ]


def _failures(record: CampaignRecord) -> dict[str, Verdict]:
    bad = (*BLAMED, Judgement.FLAKY)
    return {
        case: verdict for case, verdict in _verdicts(record).items() if verdict.judgement in bad
    }


def _verdicts(record: CampaignRecord) -> dict[str, Verdict]:
    return judge_record(record)
