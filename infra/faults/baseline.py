"""What the cases of a suite do when nothing is done to the fleet: whom faults can be blamed for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ..errors import ProctorError
from ..judge import BLAMED, judge_record
from ..ledgers.campaigns import CampaignSummary, list_campaigns
from ..ledgers.journal import JournalReader
from ..ledgers.record import CampaignRecord, read_campaign
from ..records import Judgement
from .lease import FaultFiles

# Results that a suite without failures has none of; a muted failure is one as well.
FAILING = frozenset({*BLAMED, Judgement.FLAKY, Judgement.MUTED})
_NO_RESULT = frozenset({Judgement.NOT_RUN, Judgement.INFRA_LOST})
# So many campaigns are read, the newest first: single ones may have run but a part of the suite.
MOST_CAMPAIGNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Results of campaigns of a suite to which nothing was done, newest first."""

    results: Mapping[str, Sequence[Judgement]] = field(
        default_factory=dict[str, Sequence[Judgement]]
    )

    def fails(self, case: str) -> bool | None:
        """Whether a case fails without faults; None where that cannot be told."""
        found = self.results.get(case, ())
        failures = [each in FAILING for each in found]
        if not failures:
            return None
        if failures[0]:
            return True
        # It passes, or did this time: what fails now and then says nothing of a fault.
        return None if any(failures) else False


def baseline_of(record: CampaignRecord, *, state: Path, without: Collection[str]) -> Baseline:
    """What the suite of a campaign does by itself, by other campaigns than those of a set."""
    results: dict[str, list[Judgement]] = {}
    for other in islice(_calm(record, state, without), MOST_CAMPAIGNS):
        for case, verdict in judge_record(other).items():
            if verdict.judgement not in _NO_RESULT:
                results.setdefault(case, []).append(verdict.judgement)
    return Baseline(results=results)


def _calm(
    record: CampaignRecord, state: Path, without: Collection[str]
) -> Iterator[CampaignRecord]:
    """Campaigns of the same suite to which nothing was done, newest first."""
    struck = sorted(_faults(FaultFiles(state=state)))
    wanted = (record.header.project, record.header.root)
    for each in list_campaigns(state):
        same = (each.project, each.root) == wanted and each.id not in without
        if not same or each.state != "completed" or _was_struck(each, struck):
            continue
        # A damaged ledger tells nothing, and others may.
        with suppress(ProctorError):
            yield read_campaign(each.directory)


def _was_struck(campaign: CampaignSummary, faults: Sequence[tuple[float, float]]) -> bool:
    ended = campaign.ended or campaign.started
    return any(begins <= ended and ends >= campaign.started for begins, ends in faults)


def _faults(files: FaultFiles) -> Iterator[tuple[float, float]]:
    """From when to when something was done to the fleet, as its journals tell."""
    begun: dict[str, tuple[float, float]] = {}
    ended: dict[str, float] = {}
    for path in sorted(files.recorders.glob("*.jsonl")):
        for line in JournalReader(path):
            if line["k"] != "fault":
                continue
            if line.get("event") == "undone":
                ended[line["id"]] = line["t"]
            else:
                begun.setdefault(line["id"], (line["t"], line.get("until", line["t"])))
    for fault, (begins, until) in begun.items():
        yield begins, max(begins, ended.get(fault, until))
