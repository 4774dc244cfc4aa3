"""Confirms without a checkout: the case runs again as it stands now, on the class of the finding.

Each run is a campaign of its own, with steady cases beside the one in question as a yardstick of
the machine. Which of the two levels of the history the runs belong to, `monitoring.known_levels`
decides after each of them.
"""

from __future__ import annotations

import math
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...infra.errors import UsageProblem
from ...infra.ledgers.record import CampaignRecord
from ...infra.provenance import revision_of
from ...monitoring.trends.known_levels import Side, Sided, side_of_levels
from ...monitoring.trends.measured_before import MeasuredBefore
from ..campaigns.fleet_choice import resident_fleet
from .measure import NotMeasured, Say, campaign_of, seconds_of

# Runs that cannot be compared, such as on another class, before we give up.
_MOST_VOID = 3
# So many hosts in the history say how much hosts differ; then another one is one of them.
_MANY_HOSTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One run: what the cases took, and where."""

    seconds: Mapping[str, float]
    host: str
    worker_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """What the runs said."""

    sided: Sided
    runs: int
    text: str


def run_again(
    known: MeasuredBefore, run: Callable[[], Beside], *, most: int, commit: str, say: Say
) -> Rerun:
    """Run it until its level is clear, at most so often; the first run warms caches."""
    values: list[float] = []
    void = 0
    sided = None
    run()
    while len(values) < most:
        here = run()
        value = _value(known, here)
        if value is None:
            void += 1
            if void == _MOST_VOID:
                raise NotMeasured(_why_void(known, here))
            continue
        values.append(value)
        sided = side_of_levels(values, known.levels)
        say(f"run {len(values)}: {_moved(sided)} beside the level before")
        if sided.side is not Side.OPEN:
            break
    if sided is None:
        raise UsageProblem(f"{most} runs are none", remedy="give --most a number above 4")
    return Rerun(sided=sided, runs=len(values), text=_text(known, sided, len(values), commit))


@dataclass(slots=True, kw_only=True)
class Campaigns:
    """Runs of the case and its yardsticks as the project's directory stands now."""

    known: MeasuredBefore
    directory: Path
    python: str
    scratch: Path
    # How the command line asks for the class.
    where: tuple[str, ...]
    # A time of time.monotonic().
    deadline: float
    number: int = field(default=0)

    def __call__(self) -> Beside:
        self.number += 1
        told = campaign_of(
            [self.known.case, *self.known.yardsticks],
            directory=self.directory,
            state=self.scratch / f"state-{self.number}",
            python=self.python,
            deadline=self.deadline,
            runs_before=self.number - 1,
            where=self.where,
        )
        return _beside(told, self.known.case, self.directory)


def confirm_as_it_stands(
    known: MeasuredBefore,
    *,
    directory: Path,
    state: Path,
    python: str,
    most: int,
    deadline: float,
    say: Say,
) -> Rerun:
    """Run the case again in the project's directory, on its class."""
    where = _where(known, state)
    with tempfile.TemporaryDirectory(prefix="proctor-again-") as scratch:
        run = Campaigns(
            known=known, directory=directory, python=python, scratch=Path(scratch), where=where,
            deadline=deadline,
        )  # fmt: skip
        return run_again(known, run, most=most, commit=revision_of(directory).commit, say=say)


def _where(known: MeasuredBefore, state: Path) -> tuple[str, ...]:
    """The fleet that is up, if it has the class; else a worker like those that the history saw."""
    resident = resident_fleet(state)
    if resident is not None and resident.counts.get(known.worker_class):
        return ("--fleet", resident.address)
    if not known.yardsticks and len(known.speeds) < _MANY_HOSTS:
        here = socket.gethostname()
        if here not in known.speeds:
            hosts = ", ".join(sorted(known.speeds)) or "an unknown machine"
            raise NotMeasured(
                f"{known.case} was measured on {hosts} with nothing steady beside it: runs on "
                f"{here} cannot be compared with that",
                remedy=f"run this there, or where `proctor up` has a worker of class "
                f"{known.worker_class or 'cpu'}",
            )
    return ("--fleet-class", known.worker) if known.worker else ("-n", "1")


def _beside(told: CampaignRecord, case: str, directory: Path) -> Beside:
    attempts = told.attempts.get(case, [])
    if not attempts:
        raise NotMeasured(
            f"there is no {case} in {directory}",
            remedy="give --directory the project that the campaigns tested",
        )
    if seconds_of(attempts[-1]) is None:
        raise NotMeasured(
            f"{case} does not pass as it stands now", remedy="durations of failures say nothing"
        )
    joined = {each.worker: each.facts for each in told.workers if each.facts is not None}
    facts = joined.get(attempts[-1].worker)
    took = {
        name: seconds
        for name, each in told.attempts.items()
        if each and (seconds := seconds_of(each[-1])) is not None
    }
    return Beside(
        seconds=took,
        host=facts.host if facts else "",
        worker_class=facts.worker_class if facts else "",
    )


def _value(known: MeasuredBefore, here: Beside) -> float | None:
    if known.worker_class and here.worker_class != known.worker_class:
        return None
    return known.value_of(here.seconds, here.host)


def _why_void(known: MeasuredBefore, here: Beside) -> str:
    if known.worker_class and here.worker_class != known.worker_class:
        return (
            f"{known.case} ran on class {here.worker_class or 'unknown'}, the finding is about "
            f"{known.worker_class}"
        )
    missing = known.yardsticks.keys() - here.seconds.keys()
    return f"the cases that ran beside {known.case} did not pass: {', '.join(sorted(missing))}"


def _text(known: MeasuredBefore, sided: Sided, runs: int, commit: str) -> str:
    words = {
        Side.AFTER: "confirmed",
        Side.BEFORE: "refuted",
        Side.NEITHER: "undecided",
        Side.OPEN: "undecided",
    }
    where = f" on class {known.worker_class}" if known.worker_class else ""
    at = f" ({commit[:10]})" if commit else ""
    least = math.expm1(known.levels.step)
    why = {
        Side.AFTER: f"as since the change ({least:+.1%})",
        Side.BEFORE: "as before the change",
        Side.NEITHER: f"unlike the level before it and the one since ({least:+.1%})",
        Side.OPEN: f"between the level before it and the one since ({least:+.1%})",
    }
    return (
        f"{words[sided.side]} by {runs} runs of the case as it stands now{at}{where}: "
        f"{_moved(sided)}, {why[sided.side]}"
    )


def _moved(sided: Sided) -> str:
    return f"{sided.ratio - 1:+.1%} ({sided.low - 1:+.1%} to {sided.high - 1:+.1%})"
