"""The journal of an experiment, in the format of Chaos Toolkit's, with our verdict in it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from .experiment import CommandStep, Experiment, FaultStep, ProbeStep, Step
from .probes import wanted
from .verdict import Finding, Validity, overall


def moment(at: float) -> str:
    """As Chaos Toolkit writes a time: ISO, UTC, without a zone."""
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat()


@dataclass(slots=True, kw_only=True)
class Done:
    """One activity that was done."""

    step: Step
    began: float
    ended: float
    status: str
    output: object = None
    tolerated: bool | None = None
    problem: str = ""
    # What is no problem, and has to be known to read the rest.
    note: str = ""


@dataclass(slots=True, kw_only=True)
class ExperimentJournal:
    """Everything that happened in one run of an experiment."""

    experiment: Experiment
    began: float
    ended: float = 0.0
    # completed, failed (the hypothesis did not hold at first), aborted or interrupted.
    status: str = "completed"
    before: list[Done] = field(default_factory=list[Done])
    run: list[Done] = field(default_factory=list[Done])
    after: list[Done] = field(default_factory=list[Done])
    rollbacks: list[Done] = field(default_factory=list[Done])
    findings: Sequence[Finding] = ()
    campaigns: Sequence[str] = ()
    # Why the load began no campaign, if it did not.
    load_problem: str = ""
    faults: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def validity(self) -> Validity:
        """What the run showed; one that was cut short or left something out shows nothing good."""
        found = overall(self.findings)
        if not _met(self.after) and self.status == "completed":
            return Validity.INVALID
        if (self.status != "completed" or self.undone) and found is Validity.VALID:
            return Validity.UNKNOWN
        return found

    @property
    def undone(self) -> list[Done]:
        """What was to be done and could not be: nobody knows what that would have shown."""
        acts = (FaultStep, CommandStep)
        return [each for each in self.run if each.problem and isinstance(each.step, acts)]

    @property
    def obstacles(self) -> list[str]:
        """Sentences on what kept the run from being what was asked for."""
        told = [self.load_problem] if self.load_problem else []
        for probes, when in ((self.before, "before"), (self.after, "afterwards")):
            for each in probes:
                if not each.tolerated and isinstance(each.step, ProbeStep):
                    seen = each.problem or f"{each.output}, {wanted(each.step.tolerance)} wanted"
                    told.append(f"{each.step.name} did not hold {when}: {seen}")
        return told + [
            f"{getattr(each.step, 'name', '')} was not done: {each.problem}" for each in self.undone
        ]

    def document(self, version: str) -> dict[str, Any]:
        """As Chaos Toolkit's reports read it; what is ours alone stands under `proctor`."""
        return {
            "chaoslib-version": version,
            "platform": platform.platform(),
            "node": platform.node(),
            "experiment": dict(self.experiment.given),
            "start": moment(self.began),
            "end": moment(self.ended),
            "duration": self.ended - self.began,
            "status": self.status,
            "deviated": self.status == "completed" and not _met(self.after),
            "steady_states": {
                "before": _steady(self.before),
                "after": _steady(self.after),
                "during": [],
            },
            "run": list(map(_activity, self.run)),
            "rollbacks": list(map(_activity, self.rollbacks)),
            "proctor": {
                "validity": str(self.validity),
                "seed": self.experiment.seed,
                "campaigns": list(self.campaigns),
                "findings": [asdict(finding) for finding in self.findings],
                "faults": list(self.faults),
                "obstacles": self.obstacles,
            },
        }


def _met(probes: Sequence[Done]) -> bool:
    return all(each.tolerated for each in probes)


def _steady(probes: Sequence[Done]) -> dict[str, Any]:
    return {
        "steady_state_met": _met(probes) if probes else None,
        "probes": list(map(_activity, probes)),
    }


def _activity(done: Done) -> dict[str, Any]:
    told: dict[str, Any] = {
        "activity": {
            "type": "probe" if isinstance(done.step, ProbeStep) else "action",
            "name": getattr(done.step, "name", "pause"),
        },
        "status": done.status,
        "output": done.output,
        "start": moment(done.began),
        "end": moment(done.ended),
        "duration": done.ended - done.began,
    }
    if done.tolerated is not None:
        told["tolerance_met"] = done.tolerated
    if done.problem:
        told["exception"] = [done.problem]
    if done.note:
        told["note"] = done.note
    return told
