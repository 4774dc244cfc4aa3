"""What earlier campaigns measured, kept per project in one small file.

A cache: the ledgers hold the same facts. It is read before every campaign, so it is one JSON
file that loads in milliseconds, written whole at a campaign's end; the last writer wins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from . import predictions
from .dispatching.durations import NEVER_PASSED, CaseHistory, Durations, GroupHistory
from .predictions import NOTHING, Predictions
from .records import Attempt, Outcome

FORMAT = 1
FILE = "timings.json"
_TELLING = frozenset({Outcome.PASSED, Outcome.XFAILED, Outcome.XPASSED})
# A failure is no news of how long a pass takes: it ends early, or waits until it gives up. It
# serves only where no pass is known: who hung till its time was up is likely to do so again.
_UNTIL_IT_PASSES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED})


@dataclass(slots=True)
class Timings:
    """A project's histories; `durations()` makes predictions of them."""

    cases: dict[str, CaseHistory] = field(default_factory=dict[str, CaseHistory])
    groups: dict[str, GroupHistory] = field(default_factory=dict[str, GroupHistory])
    # Cases of the last finished campaign that failed, for --lf and --ff.
    last_failed: tuple[str, ...] = ()
    # Made of more than stands here, in the background; kept in a file of its own.
    predicted: Predictions = NOTHING

    def durations(self) -> Durations:
        return Durations(cases=self.cases, groups=self.groups, predicted=self.predicted)

    def take_in(self, attempts: Iterable[Attempt]) -> None:
        """Update histories with the attempts of one campaign."""
        for attempt in attempts:
            passed = attempt.outcome in _TELLING
            if not passed and attempt.outcome not in _UNTIL_IT_PASSES:
                continue
            usage = attempt.usage
            seconds = max(0.0, usage.wall_seconds - usage.shared_setup_seconds)
            history = self.cases.get(attempt.case, NEVER_PASSED)
            take = history.with_run if passed else history.with_failure
            self.cases[attempt.case] = take(
                seconds=seconds, peak_memory_bytes=usage.peak_memory_bytes
            )

    def take_in_group(self, group: str, *, collect_seconds: float, shared_seconds: float) -> None:
        old = self.groups.get(group, GroupHistory())
        self.groups[group] = GroupHistory(
            # None is no news: who collects a suite as a whole does not say what each file takes.
            collect_seconds=_blend(old.collect_seconds, collect_seconds or old.collect_seconds),
            shared_seconds=_blend(old.shared_seconds, shared_seconds),
        )


def _blend(old: float, new: float) -> float:
    return new if old == 0 else 0.5 * old + 0.5 * new


def load(project: Path) -> Timings:
    """The project's timings; empty ones if there are none that this version can read."""
    try:
        kept = orjson.loads((project / FILE).read_bytes())
        measured_at = (project / FILE).stat().st_mtime
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return Timings()
    if kept.get("format") != FORMAT:
        return Timings()
    return Timings(
        cases={
            case: CaseHistory(seconds=seconds, peak_memory_bytes=peak, runs=runs)
            for case, (seconds, peak, runs) in kept["cases"].items()
        },
        groups={
            group: GroupHistory(collect_seconds=collect, shared_seconds=shared)
            for group, (collect, shared) in kept["groups"].items()
        },
        last_failed=tuple(kept["last_failed"]),
        predicted=predictions.load(project, measured_at=measured_at),
    )


def save(timings: Timings, project: Path) -> None:
    """Write them whole or not at all."""
    project.mkdir(parents=True, exist_ok=True)
    beside = project / f"{FILE}.{os.getpid()}.new"
    beside.write_bytes(
        orjson.dumps(
            {
                "format": FORMAT,
                "cases": {
                    case: (round(history.seconds, 6), history.peak_memory_bytes, history.runs)
                    for case, history in timings.cases.items()
                },
                "groups": {
                    group: (round(history.collect_seconds, 6), round(history.shared_seconds, 6))
                    for group, history in timings.groups.items()
                },
                "last_failed": timings.last_failed,
            }
        )
    )
    beside.replace(project / FILE)
