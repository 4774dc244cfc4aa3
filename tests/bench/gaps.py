"""Where the slots' time went in one campaign, from its ledger.

python tests/bench/gaps.py CAMPAIGN_DIRECTORY
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from proctor.infra.ledgers.ledger import CampaignRecord, read_campaign
from proctor.infra.records import Attempt


@dataclass(slots=True, kw_only=True)
class Gaps:
    """Slot-seconds by what they were spent on."""

    slots: int
    # From the campaign's first line to its last; times slots it is what there was to spend.
    span: float
    before_first: float = 0.0
    running: float = 0.0
    # Of the running: fixtures wider than a function, made again for each slot.
    shared_fixtures: float = 0.0
    within_batches: float = 0.0
    # Entering a file that the slot had not seen: it is imported and collected there.
    entering_files: float = 0.0
    between_batches: float = 0.0
    batches: int = 0
    after_last: float = 0.0
    # From the last case's end to the closing line.
    closing: float = 0.0


def measure(record: CampaignRecord) -> Gaps:
    """Follow each slot from the first line to the last."""
    slots: defaultdict[tuple[str, int], list[Attempt]] = defaultdict(list)
    for attempts in record.attempts.values():
        for attempt in attempts:
            if attempt.worker:
                slots[attempt.worker, attempt.slot].append(attempt)
    opened = record.headers[0].at
    closed = record.close.at if record.close else opened
    last = max(attempt.finished for each in slots.values() for attempt in each)
    gaps = Gaps(slots=len(slots), span=closed - opened, batches=len(record.batches))
    gaps.closing = closed - last
    for each in slots.values():
        each.sort(key=lambda attempt: attempt.started)
        gaps.before_first += each[0].started - opened
        gaps.after_last += last - each[-1].finished
        gaps.running += sum(attempt.finished - attempt.started for attempt in each)
        gaps.shared_fixtures += sum(attempt.usage.shared_setup_seconds for attempt in each)
        seen = {record.cases[each[0].case].group}
        for before, after in pairwise(each):
            gap = after.started - before.finished
            group = record.cases[after.case].group
            if group not in seen:
                seen.add(group)
                gaps.entering_files += gap
            elif before.batch == after.batch:
                gaps.within_batches += gap
            else:
                gaps.between_batches += gap
    return gaps


def main(argv: Sequence[str] | None = None) -> int:
    (directory,) = sys.argv[1:] if argv is None else argv
    gaps = measure(read_campaign(Path(directory)))
    whole = gaps.span * gaps.slots
    print(f"{gaps.slots} slots, {gaps.span:.2f} s, {gaps.batches} batches")
    for name in (
        "before_first",
        "running",
        "shared_fixtures",
        "entering_files",
        "within_batches",
        "between_batches",
        "after_last",
    ):
        seconds = getattr(gaps, name)
        print(f"  {name.replace('_', ' '):16}{seconds:9.2f} slot-seconds {seconds / whole:6.1%}")
    print(f"  {'closing':16}{gaps.closing:9.2f} seconds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
