"""Plays schedules of faults in the simulator, and says whether they hold.

The same schedule gives the same history, event by event, on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from ..dispatching.dispatcher import Dispatcher
from ..faults.experiment import FaultStep
from ..faults.schedule import FaultSchedule
from ..faults.verdict import Validity
from ..judge import judge_all, tally
from ..records import Judgement
from .effects import suffer
from .faulty_run import FaultyRun, MakeDispatcher

# The limits that a virtual clock can tell something of.
JUDGED = ("dead", "frozen", "recovery")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultySimulation:
    """What a schedule came to."""

    schedule: FaultSchedule
    history: tuple[str, ...]
    # Sentences; none when the schedule holds.
    problems: tuple[str, ...]
    # Why nobody can tell whether it does: what was not injected, and so shows nothing.
    unknown: tuple[str, ...]
    counts: Mapping[Judgement, int]
    seconds: float
    injected: tuple[FaultStep, ...]
    wasted: int

    @property
    def validity(self) -> Validity:
        """What it showed; one that left something out shows nothing good."""
        if self.problems:
            return Validity.INVALID
        return Validity.UNKNOWN if self.unknown else Validity.VALID

    @property
    def digest(self) -> str:
        """The same for the same history."""
        return hashlib.sha256("\n".join(self.history).encode()).hexdigest()

    def document(self) -> dict[str, object]:
        """As plain values."""
        return {
            "title": self.schedule.title,
            "seed": self.schedule.seed,
            "validity": str(self.validity),
            "digest": self.digest,
            "events": len(self.history),
            "injected": len(self.injected),
            "wasted": self.wasted,
            "seconds": round(self.seconds, 3),
            "counts": {str(kind): number for kind, number in self.counts.items()},
            "problems": list(self.problems),
            "unknown": list(self.unknown),
        }


def simulate_schedule(
    schedule: FaultSchedule,
    *,
    dispatcher: MakeDispatcher = lambda rules, durations: Dispatcher(
        rules=rules, durations=durations
    ),
) -> FaultySimulation:
    """Play a schedule to its end. Tests give a dispatcher of their own, with a bug in it."""
    run = FaultyRun(schedule, dispatcher, suffer)
    broken = ""
    try:
        run.play()
    except Exception as problem:  # noqa: BLE001 - whatever it breaks with is what was looked for.
        broken = f"it broke after {run.now:.1f} s: {type(problem).__name__}: {problem}"
    verdicts = judge_all(run.cases, run.attempts)
    wasted = run.executions - len(run.cases)
    problems = [*run.problems, *run.limits.problems]
    if broken:
        problems.append(broken)
    elif not run.is_over():
        problems.append(
            f"it hangs: {run.dispatcher.tallies.unsettled} cases are open after {run.now:.1f} s"
        )
    problems += [
        f"{verdict.case} is {verdict.judgement}, and passes without the faults"
        for verdict in verdicts.values()
        if verdict.judgement is not Judgement.PASSED
    ]
    if wasted > run.excused:
        problems.append(f"{wasted} executions were wasted, {run.excused} were cut off or repeated")
    return FaultySimulation(
        schedule=schedule,
        history=tuple(run.history),
        problems=tuple(problems),
        unknown=(*run.left_out, *_unjudged(schedule)),
        counts=tally(verdicts.values()),
        seconds=run.now,
        injected=tuple(run.injected),
        wasted=max(0, wasted),
    )


def _unjudged(schedule: FaultSchedule) -> list[str]:
    """Limits that were asked for and mean nothing here."""
    return [
        f"the limit {name} is not judged in a simulation"
        for name in schedule.limits
        if name not in JUDGED
    ]
