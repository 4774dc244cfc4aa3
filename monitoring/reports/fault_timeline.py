"""One page that shows an experiment: what ran where, the faults shaded, and what came of it.

Self-contained: a picture and tables without a script, so that it can be read anywhere for years.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...infra.errors import ProctorError
from ...infra.faults.journal import ExperimentJournal
from ...infra.faults.lease import FaultFiles, past
from ...infra.ledgers.campaigns import campaigns_directory
from ...infra.ledgers.record import CampaignRecord, read_campaign
from .wording import one_line, span

if TYPE_CHECKING:
    from jinja2 import Template

WIDTH = 1100.0
LEFT = 130.0
ROW = 18.0
# Above the lanes: a line of results a second, and as many rows of labels as they need.
RATE = 46.0
LABEL = 12.0
# Of a label, on the average and a little more.
LETTER = 5.8
# Of a busy fleet's attempts the page draws so many; the ledger has all.
MOST_BARS = 8000
TICKS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From moments to places in the picture."""

    begin: float
    end: float

    def x(self, at: float) -> float:
        inside = min(max(at, self.begin), self.end)
        part = (inside - self.begin) / max(self.end - self.begin, 0.001)
        return round(LEFT + part * (WIDTH - LEFT - 10), 1)

    def ticks(self) -> list[tuple[float, str]]:
        length = self.end - self.begin
        step = next((each for each in TICKS if length / each <= 12), TICKS[-1])
        count = math.floor(length / step)
        return [
            (self.x(self.begin + number * step), f"{number * step:g} s")
            for number in range(count + 1)
        ]


def render_timeline(state: Path, journal: ExperimentJournal) -> str:
    """The page of an experiment that is over."""
    records = _records(state, journal.campaigns)
    undone = {
        lease.id: float(lease.detail.get("undone_at", lease.until))
        for lease, _ in past(FaultFiles(state=state))
    }
    last = max((record.last for record in records), default=journal.ended)
    scale = Scale(begin=journal.began, end=max(journal.ended, last))
    bars = _bars(records)
    lanes = sorted({lane for lane, *_ in bars})
    faults = [_fault(each, undone, scale, journal) for each in journal.faults]
    top = _place_labels(faults) * LABEL + RATE
    places = {lane: top + number * ROW for number, lane in enumerate(lanes)}
    height = top + max(len(lanes), 1) * ROW + 28
    return _template().render(
        title=journal.experiment.title,
        description=journal.experiment.description,
        validity=str(journal.validity),
        status=journal.status,
        seed=journal.experiment.seed,
        length=span(journal.ended - journal.began),
        width=WIDTH,
        left=LEFT,
        row=ROW,
        top=top,
        shade=top - RATE,
        height=height,
        ticks=scale.ticks(),
        lanes=[(lane, places[lane]) for lane in lanes],
        bars=[
            (
                scale.x(began),
                max(round(scale.x(ended) - scale.x(began), 1), 1.0),
                places[lane],
                outcome,
                text,
            )
            for lane, began, ended, outcome, text in bars[:MOST_BARS]
        ],
        left_out=max(0, len(bars) - MOST_BARS),
        faults=faults,
        news=_news(records, scale, places),
        rate=_rate(records, scale, top),
        findings=journal.findings,
        events=_events(records, journal),
        probes=[
            (when, getattr(each.step, "name", ""), each.tolerated, str(each.output))
            for when, several in (("before", journal.before), ("afterwards", journal.after))
            for each in several
        ],
    )


Bar = tuple[str, float, float, str, str]


def _records(state: Path, campaigns: Sequence[str]) -> list[CampaignRecord]:
    found: list[CampaignRecord] = []
    for campaign in campaigns:
        try:
            found.append(read_campaign(campaigns_directory(state) / campaign))
        except ProctorError:
            # The findings say so; the page shows the others.
            continue
    return found


def _bars(records: Sequence[CampaignRecord]) -> list[Bar]:
    return sorted(
        (
            (
                f"{attempt.worker}/{attempt.slot}",
                attempt.started,
                attempt.finished,
                str(attempt.outcome),
                one_line(f"{case}: {attempt.outcome} {attempt.message}"),
            )
            for record in records
            for case, attempts in record.attempts.items()
            for attempt in attempts
            if attempt.worker
        ),
        key=lambda bar: bar[1],
    )


def _fault(
    each: Mapping[str, Any], undone: Mapping[str, float], scale: Scale, journal: ExperimentJournal
) -> dict[str, Any]:
    ends = min(undone.get(each["id"], each["until"]), each["until"])
    begins = scale.x(each["begins"])
    return {
        "x": begins,
        "width": max(round(scale.x(ends) - begins, 1), 2.0),
        "kind": each["fault"],
        "target": each["target"],
        "from": f"{each['begins'] - journal.began:.1f} s",
        "length": f"{max(ends - each['begins'], 0):.1f} s",
        "commits": each["commits"],
    }


def _place_labels(faults: Sequence[dict[str, Any]]) -> int:
    """Give each label the first row in which it covers no other; how many rows that takes."""
    ends: list[float] = []
    for fault in faults:
        length = LETTER * (len(fault["kind"]) + len(fault["target"]) + 2)
        # One at the right edge stands to the left of its line.
        left = fault["x"] + length > WIDTH
        begin = fault["x"] - length if left else fault["x"]
        row = next((number for number, end in enumerate(ends) if end <= begin), len(ends))
        ends[row : row + 1] = [begin + length]
        fault.update(
            y=(row + 1) * LABEL - 2,
            anchor="end" if left else "start",
            label=fault["x"] - 3 if left else fault["x"] + 3,
        )
    return max(len(ends), 1)


def _news(
    records: Sequence[CampaignRecord], scale: Scale, places: Mapping[str, float]
) -> list[tuple[float, float, str, str]]:
    return [
        (
            scale.x(event.at),
            place,
            event.event,
            one_line(f"{event.worker} {event.event} {event.reason}"),
        )
        for record in records
        for event in record.workers
        for lane, place in places.items()
        if lane.rpartition("/")[0] == event.worker
    ]


def _events(
    records: Sequence[CampaignRecord], journal: ExperimentJournal
) -> list[tuple[str, str, str]]:
    told = [
        (event.at, event.worker, f"{event.event} {event.reason}")
        for record in records
        for event in record.workers
    ]
    took = [
        (header.at, record.campaign, f"taken up by writer {number}")
        for record in records
        for number, header in enumerate(record.headers, start=1)
    ]
    return [
        (f"{at - journal.began:.1f} s", who, one_line(what))
        for at, who, what in sorted(told + took)
    ]


def _rate(records: Sequence[CampaignRecord], scale: Scale, top: float) -> str:
    """Attempts that finished, second by second, as the points of a line."""
    seconds = max(1, math.ceil(scale.end - scale.begin))
    counts = [0] * seconds
    for record in records:
        for attempts in record.attempts.values():
            for attempt in attempts:
                place = int(attempt.finished - scale.begin)
                if attempt.outcome.is_result and 0 <= place < seconds:
                    counts[place] += 1
    most = max([*counts, 1])
    return " ".join(
        f"{scale.x(scale.begin + number + 0.5)},{round(top - 10 - 30 * count / most, 1)}"
        for number, count in enumerate(counts)
    )


@cache
def _template() -> Template:
    # Jinja2 costs 60 ms to import; most commands draw nothing.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(os.fspath(Path(__file__).parent))
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("fault_timeline.j2")
