"""Which case somebody means, and of which campaign: the last one may have run a part only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ...infra.errors import LedgerProblem, UnknownCase, UsageProblem
from ...infra.ledgers.campaigns import LAST, list_campaigns
from ...infra.ledgers.record import CampaignRecord, read_campaign
from ...infra.records import Case
from ...monitoring.reports.digest import Digest, digest_of
from ...monitoring.reports.find_case import find_case, may_be
from .chosen_campaign import chosen

# Each is read whole, and who has mistyped a name waits for it.
LOOKED_INTO = 20
LOOKING_SECONDS = 5.0

Found = tuple[CampaignRecord, Digest, Case]


def chosen_case(state: Path, campaign: str, text: str) -> Found:
    """Of the campaign that was named; unnamed, of the newest that has the case, which is said."""
    directory = chosen(state, campaign)
    try:
        return _chosen(read_campaign(directory), text)
    except UnknownCase as unknown:
        if campaign != LAST:
            raise
        end = time.monotonic() + LOOKING_SECONDS
        for earlier in _before(state, directory):
            if time.monotonic() > end:
                break
            with suppress(UsageProblem, LedgerProblem):
                record = read_campaign(earlier)
                if not any(may_be(case, text) for case in record.cases):
                    continue
                found = _chosen(record, text)
                print(f"{unknown.message}: this is of {earlier.name}", file=sys.stderr)
                return found
        raise UnknownCase(
            unknown.message, remedy=f"{unknown.remedy}; --campaign ID looks into another one"
        ) from unknown


def _chosen(record: CampaignRecord, text: str) -> Found:
    digest = digest_of(record)
    return record, digest, find_case(digest, text)


def _before(state: Path, last: Path) -> Iterator[Path]:
    """The campaigns of its project that ran before, the newest first."""
    there = [each for each in list_campaigns(state) if each.is_history]
    place = next((number for number, each in enumerate(there) if each.directory == last), None)
    if place is not None:
        project = there[place].project
        mine = [each.directory for each in there[place + 1 :] if each.project == project]
        yield from mine[:LOOKED_INTO]
