"""Experiments: what must hold, what is done to a fleet under load, and how that is judged.

Read from JSON, YAML or TOML by a published schema, or from a Chaos Toolkit experiment; what is
wrong with one is said in a line, before anything is touched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from ..errors import BadTaskList, ProctorError
from ..quantities import parse_duration
from ..suggestions import guess
from ..tasks.task_file import read_task_file
from .catalogue import choose_kind
from .kinds import check_fits, check_length, read_parameters
from .targets import FaultRefused, Selector, parse_selector
from .verdict import RECORD, Limits

FILE = "experiment.schema.json"
INVARIANTS = ("ended", "sound", "none-lost", "none-blamed", "undone", RECORD)
# For a suite that is known to pass when nothing is done to it.
STRICT = tuple("none-failed" if each == "none-blamed" else each for each in INVARIANTS)
# Each step of a method has one of these fields.
STEPS = ("fault", "pause", "probe", "command")
DEADLINE_SECONDS = 300.0
FAULT_SECONDS = 5.0
WITHIN_SECONDS = 30.0
TIMEOUT_SECONDS = 30.0
# No fleet has more workers.
UNBOUNDED = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """When a fault is injected: once it is its turn, and this has come."""

    at: float | None = None
    # Commits to ledgers since the beginning.
    after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultStep:
    """Inject a fault; what lasts goes on beside the next steps."""

    name: str
    kind: str
    selector: Selector
    seconds: float
    trigger: Trigger = Trigger()
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseStep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStep:
    """Run a program."""

    name: str
    command: tuple[str, ...]
    timeout: float = TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStep:
    """Look at something; its answer is tolerated or not."""

    name: str
    # workers, scheduler, prefect, process or http.
    what: str
    tolerance: object = True
    command: tuple[str, ...] = ()
    url: str = ""
    timeout: float = TIMEOUT_SECONDS
    # How long it may take until it holds.
    within: float = WITHIN_SECONDS


Step = FaultStep | PauseStep | CommandStep | ProbeStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A campaign that runs meanwhile."""

    arguments: tuple[str, ...]
    directory: str = "."


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment, checked."""

    title: str
    method: tuple[Step, ...]
    description: str = ""
    seed: int = 0
    deadline: float = DEADLINE_SECONDS
    load: Load | None = None
    steady_state: tuple[ProbeStep, ...] = ()
    rollbacks: tuple[Step, ...] = ()
    invariants: tuple[str, ...] = INVARIANTS
    # What the record is held to.
    limits: Limits = field(default_factory=Limits)
    # As it was given, for the journal.
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])


@cache
def schema() -> dict[str, Any]:
    """The schema (JSON Schema, draft 2020-12)."""
    return json.loads(files(cast("str", __package__)).joinpath(FILE).read_text(encoding="utf-8"))


def read_experiment(path: Path) -> Experiment:
    """An experiment from a file, of either format."""
    try:
        document = read_task_file(path)
    except BadTaskList as problem:
        # The reader of task lists reads the same files, and speaks of task lists.
        message = problem.message.replace("task list", "experiment")
        raise FaultRefused(message, remedy=problem.remedy) from problem
    return parse_experiment(document, source=path.name, directory=path.parent)


def parse_experiment(document: object, *, source: str, directory: Path) -> Experiment:
    """An experiment from plain values; paths in it stand relative to the directory."""
    if not isinstance(document, dict):
        raise FaultRefused(f"{source} holds no experiment", remedy="it must be one object")
    given = cast("dict[str, Any]", document)
    if _is_foreign(given):
        from .chaostoolkit import translate

        given = {**translate(given, source=source)}
    check_document(given, source, schema())
    try:
        return _experiment(given, cast("dict[str, Any]", document), directory)
    except FaultRefused as problem:
        raise FaultRefused(f"{source}: {problem.message}", remedy=problem.remedy) from problem
    except ProctorError as problem:
        raise FaultRefused(f"{source}: {problem.message}", remedy=problem.remedy) from problem


def _is_foreign(given: Mapping[str, Any]) -> bool:
    """Whether it is a Chaos Toolkit experiment: those have activities, with a type each."""
    method = given.get("method")
    activities = cast("list[Any]", method) if isinstance(method, list) else []
    typed = any(isinstance(each, dict) and "type" in each for each in activities)
    return typed or "steady-state-hypothesis" in given


def _experiment(given: dict[str, Any], whole: dict[str, Any], directory: Path) -> Experiment:
    load = given.get("load")
    return Experiment(
        title=given["title"],
        description=given.get("description", ""),
        seed=given.get("seed", 0),
        deadline=_duration(given, "deadline", DEADLINE_SECONDS),
        load=None
        if load is None
        else Load(
            arguments=tuple(load["arguments"]),
            directory=str((directory / load.get("directory", ".")).resolve()),
        ),
        steady_state=tuple(map(_probe, given.get("steady_state", ()))),
        method=tuple(map(_step, given["method"])),
        rollbacks=tuple(map(_step, given.get("rollbacks", ()))),
        invariants=tuple(given.get("invariants", INVARIANTS)),
        limits=read_limits(given.get("limits", {})),
        given=whole,
    )


def _step(given: dict[str, Any]) -> Step:
    if "fault" in given:
        return _fault(given)
    if "pause" in given:
        return PauseStep(seconds=_duration(given, "pause", 0.0))
    if "probe" in given:
        return _probe(given)
    command = tuple(given["command"])
    return CommandStep(
        name=given.get("name", command[0]),
        command=command,
        timeout=_duration(given, "timeout", TIMEOUT_SECONDS),
    )


def _fault(given: dict[str, Any]) -> FaultStep:
    kind = choose_kind(given["fault"])
    selector = parse_selector(given["target"])
    check_fits(kind, selector.part)
    parameters: dict[str, object] = given.get("with", {})
    read_parameters(kind, parameters)
    at = _duration(given, "at", 0.0) if "at" in given else None
    length = _duration(given, "for", FAULT_SECONDS)
    # Before the first of them has acted, not when its turn comes.
    check_length(length)
    return FaultStep(
        name=given.get("name", f"{kind.name} {selector}"),
        kind=kind.name,
        selector=selector,
        seconds=length,
        trigger=Trigger(at=at, after=given.get("after")),
        parameters=parameters,
    )


def _probe(given: dict[str, Any]) -> ProbeStep:
    what: str = given["probe"]
    needed = {"workers": "at_least", "process": "command", "http": "url"}.get(what)
    if needed is not None and needed not in given and "tolerance" not in given:
        raise FaultRefused(f"probe {what} lacks {needed!r}", remedy=f"write {needed}")
    usual: object = {"process": 0, "http": 200}.get(what, True)
    if what == "workers":
        usual = {"type": "range", "range": [given.get("at_least", 0), UNBOUNDED]}
    return ProbeStep(
        name=given.get("name", what),
        what=what,
        tolerance=given.get("tolerance", usual),
        command=tuple(given.get("command", ())),
        url=given.get("url", ""),
        timeout=_duration(given, "timeout", TIMEOUT_SECONDS),
        within=_duration(given, "within", WITHIN_SECONDS),
    )


def read_limits(given: Mapping[str, Any]) -> Limits:
    """The limits that were given, and the usual ones for the rest."""
    usual = Limits()
    return replace(usual, **{name: _duration(given, name, getattr(usual, name)) for name in given})


def _duration(given: Mapping[str, Any], name: str, usual: float) -> float:
    return parse_duration(given[name], what=name) if name in given else usual


def check_document(given: Mapping[str, Any], source: str, wanted: Mapping[str, Any]) -> None:
    """Refuse, in a line, what a schema does not allow."""
    # Takes 0.1 s to import, for one verb of the command.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    problem: Any = best_match(Draft202012Validator(wanted).iter_errors(given))
    if problem is None:
        return
    field_ = ".".join(map(str, problem.absolute_path))
    place = f"{source}: {field_}" if field_ else source
    remedy = problem.schema.get("description", "")
    if problem.validator in {"additionalProperties", "required"}:
        if _is_step(problem.absolute_path):
            _check_kind(problem.instance, place)
        fields: Sequence[str] = list(problem.schema.get("properties", ()))
        unknown = next((key for key in problem.instance if key not in fields), None)
        # What is missing may be there by another name.
        if unknown is not None and fields:
            raise FaultRefused(
                f"{place}: there is no field {unknown!r}",
                remedy=guess(unknown, fields) or f"known: {', '.join(fields)}",
            )
    if problem.validator == "required":
        missing = next(key for key in problem.validator_value if key not in problem.instance)
        raise FaultRefused(f"{place}: the field {missing!r} is missing", remedy="write it")
    raise FaultRefused(f"{place}: {problem.message[:200]}", remedy=remedy or "mend it")


def _is_step(path: Sequence[str | int]) -> bool:
    return len(path) == 2 and path[0] in {"method", "rollbacks"}


def _check_kind(step: Mapping[str, Any], place: str) -> None:
    """Refuse a step of no kind; the schema takes it for the last of them, and misses its fields."""
    if any(kind in step for kind in STEPS):
        return
    for key in step:
        if hint := guess(key, STEPS):
            raise FaultRefused(f"{place}: there is no field {key!r}", remedy=hint)
    raise FaultRefused(
        f"{place}: it does not say what is done", remedy=f"a step is one of {', '.join(STEPS)}"
    )
