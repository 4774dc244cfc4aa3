"""Schedules: which faults come after which commits, as plain data that can be played again.

A schedule is an experiment whose method holds faults only, and the stage it is played on. It comes
from a seed or from a file; a fault is due after so many commits (or at a time), so that the same
schedule meets the same moments of a campaign on a machine of any speed, and in the simulator.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from ..errors import BadTaskList
from ..tasks.task_file import read_task_file
from .experiment import INVARIANTS, Experiment, FaultStep, check_document, parse_experiment, schema
from .targets import FaultRefused

DEADLINE_SECONDS = 90.0
# How long the workers may take to be there before a schedule begins.
WORKERS_WITHIN_SECONDS = 60.0
# What else an experiment's file says stays with its schedule.
KEPT = ("description", "load", "steady_state", "invariants", "rollbacks")
# Faults of one seed.
MOST_FAULTS = 4
# So many last commits of a stage are left alone: what comes after the end shows nothing.
QUIET_COMMITS = 10
SEEDED: Sequence[tuple[str, tuple[str, ...], float]] = (
    # Kind, targets, how often relative to the others.
    ("kill", ("worker:busy", "worker:#0", "worker:#1", "worker:all"), 5),
    ("kill", ("runner:busy",), 3),
    ("kill", ("scheduler",), 2),
    ("kill", ("campaign",), 3),
    ("kill", ("supervisor",), 0.7),
    ("restart", ("worker:busy", "scheduler"), 2),
    ("freeze", ("worker:busy", "runner:busy", "scheduler", "campaign"), 4),
    ("slow", ("worker:busy",), 1),
    ("latency", ("worker:any",), 2),
    ("bandwidth", ("worker:any",), 1),
    ("disconnect", ("worker:any",), 2),
    ("partition", ("worker:any",), 3),
    ("cpu", ("host",), 1),
    ("memory", ("host",), 0.5),
    ("disk", ("host",), 0.5),
    ("disk-full", ("worker:any", "campaign"), 1),
    ("clock", ("worker:any",), 1),
)
PARAMETERS: Mapping[str, Mapping[str, object]] = {
    "cpu": {"processes": 2},
    "memory": {"size": "128MB"},
    "clock": {"offset": "-90s"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a schedule is played on when nobody brings a suite: workers, and cases that sleep."""

    workers: int = 3
    files: int = 6
    cases_in_file: int = 15
    case_seconds: float = 0.04

    @property
    def cases(self) -> int:
        return self.files * self.cases_in_file


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSchedule:
    """Faults in the order of their turns."""

    title: str
    seed: int
    faults: tuple[FaultStep, ...]
    stage: Stage = Stage()
    deadline: float = DEADLINE_SECONDS
    # What the record is held to, as it was given.
    limits: Mapping[str, object] = field(default_factory=dict[str, object])
    # What else it has of an experiment, as it was given; its load's directory is absolute.
    kept: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def only(self, faults: Iterable[FaultStep]) -> FaultSchedule:
        """The same with other faults."""
        return replace(self, faults=tuple(faults))

    def document(self) -> dict[str, Any]:
        """As plain values; `parse_schedule` reads them back."""
        return {
            "title": self.title,
            "seed": self.seed,
            "deadline": self.deadline,
            **({"limits": dict(self.limits)} if self.limits else {}),
            **self.kept,
            # With a load of its own and the usual stage it is an experiment again.
            **({} if self.has_load and self.stage == Stage() else {"stage": asdict(self.stage)}),
            "method": [_document(fault) for fault in self.faults],
        }

    @property
    def has_load(self) -> bool:
        """Whether it says itself what runs meanwhile."""
        return "load" in self.kept

    def text(self) -> str:
        """As a file that people may read and change."""
        return json.dumps(self.document(), indent=2) + "\n"

    def experiment(
        self,
        directory: Path | None,
        *,
        arguments: Sequence[str] = (),
        workers: int | None = None,
        invariants: Sequence[str] = INVARIANTS,
    ) -> Experiment:
        """The experiment that plays it on a live fleet, with a suite that stands in a directory.

        Without a directory the load is its own. What else it has of an experiment stays.
        """
        told = {name: value for name, value in self.document().items() if name != "stage"}
        told.setdefault("invariants", [*invariants])
        if directory is not None:
            told["load"] = {"arguments": [*arguments], "directory": str(directory)}
        probe = {
            "probe": "workers",
            "at_least": self.stage.workers if workers is None else workers,
            "within": WORKERS_WITHIN_SECONDS,
        }
        told.setdefault("steady_state", [probe])
        return parse_experiment(told, source=self.title, directory=directory or Path())


def seeded(seed: int, *, stage: Stage = Stage(), most: int = MOST_FAULTS) -> FaultSchedule:
    """The faults of a seed: of kinds, targets, moments and lengths of their own."""
    chance = random.Random(seed)
    weights = [weight for *_, weight in SEEDED]
    count = chance.randint(1, most)
    last = max(3, stage.cases - QUIET_COMMITS)
    method: list[dict[str, object]] = []
    for moment in sorted(chance.randrange(2, last) for _ in range(count)):
        kind, targets, _ = chance.choices(SEEDED, weights)[0]
        step: dict[str, object] = {
            "fault": kind,
            "target": chance.choice(targets),
            "after": moment,
            "for": round(chance.uniform(0.3, 3.0), 2),
        }
        if kind in PARAMETERS:
            step["with"] = PARAMETERS[kind]
        method.append(step)
    document = {"title": f"seed {seed}", "seed": seed, "stage": asdict(stage), "method": method}
    return parse_schedule(document, source=f"seed {seed}")


def read_schedule(path: Path) -> FaultSchedule:
    """A schedule from a file; an experiment is one if nothing but faults is done in it."""
    try:
        document = read_task_file(path)
    except BadTaskList as problem:
        # The reader of task lists reads the same files, and speaks of task lists.
        message = problem.message.replace("task list", "schedule")
        raise FaultRefused(message, remedy=problem.remedy) from problem
    return parse_schedule(document, source=path.name, directory=path.parent)


def parse_schedule(document: object, *, source: str, directory: Path = Path()) -> FaultSchedule:
    """A schedule from plain values; paths in it stand relative to the directory."""
    if not isinstance(document, dict):
        raise FaultRefused(f"{source} holds no schedule", remedy="it must be one object")
    given = cast("dict[str, Any]", document)
    if isinstance(given.get("method"), list) and not given["method"]:
        # What shrinking may come to; an experiment that does nothing is refused as a mistake.
        check_document({**given, "method": [{"pause": 0}]}, source, _schema())
        experiment = None
    else:
        check_document(given, source, _schema())
        rest = {name: value for name, value in given.items() if name != "stage"}
        experiment = parse_experiment(rest, source=source, directory=directory)
    faults: list[FaultStep] = []
    for number, step in enumerate(experiment.method if experiment else ()):
        if not isinstance(step, FaultStep):
            raise FaultRefused(
                f"{source}: method.{number} is no fault, and a schedule holds nothing else",
                remedy="run it as an experiment with `proctor chaos run`",
            )
        faults.append(step)
    return FaultSchedule(
        title=given["title"],
        seed=given.get("seed", 0),
        faults=tuple(faults),
        stage=Stage(**given.get("stage", {})),
        # A load of its own takes as long as an experiment may.
        deadline=experiment.deadline
        if experiment and not {"deadline", "load"}.isdisjoint(given)
        else DEADLINE_SECONDS,
        limits=given.get("limits", {}),
        kept=_kept(given, directory),
    )


def _kept(given: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    kept = {name: given[name] for name in KEPT if name in given}
    if load := kept.get("load"):
        place = (directory / load.get("directory", ".")).resolve()
        kept["load"] = {**load, "directory": str(place)}
    return kept


def _document(fault: FaultStep) -> dict[str, Any]:
    told: dict[str, Any] = {"fault": fault.kind, "target": str(fault.selector)}
    if fault.name != f"{fault.kind} {fault.selector}":
        told["name"] = fault.name
    if fault.trigger.after is not None:
        told["after"] = fault.trigger.after
    if fault.trigger.at is not None:
        told["at"] = fault.trigger.at
    told["for"] = fault.seconds
    if fault.parameters:
        told["with"] = dict(fault.parameters)
    return told


@cache
def _schema() -> dict[str, Any]:
    """That of experiments, with a stage."""
    whole = schema()
    counts = {"type": "integer", "minimum": 1, "maximum": 10_000, "description": "a count"}
    stage: dict[str, Any] = {
        "type": "object",
        "description": "what it is played on when nobody brings a suite",
        "additionalProperties": False,
        "properties": {each.name: counts for each in fields(Stage)},
    }
    stage["properties"]["case_seconds"] = {
        "type": "number",
        "minimum": 0,
        "maximum": 60,
        "description": "how long each case sleeps",
    }
    return {**whole, "properties": {**whole["properties"], "stage": stage}}
